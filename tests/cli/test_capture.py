"""`coil capture`: from two recordings to a model that plays; interrupted, killed, with knobs, and with unusable
input.

"""

import json
import math
import random
import signal
import subprocess

from support import COIL, CoilTest, Wav, write_wav

FRAMES = 60000


def device(seed, frames=FRAMES, drive=4.0):
    """Decaying tones, and their output from a soft clipper with a low-pass."""
    rng = random.Random(seed)
    dry, wet, phase, step, level, smooth = [], [], 0.0, 0.0, 0.0, 0.0
    for t in range(frames):
        if t % 4000 == 0:
            step, level = 0.01 + 0.2 * rng.random(), 0.1 + 0.4 * rng.random()
        phase += step
        level *= 0.9997
        x = 0.0 if t < 100 else level * (math.sin(phase) + 0.05 * rng.gauss(0, 1))
        smooth += 0.4 * (math.tanh(drive * x) - smooth)
        dry.append(x)
        wet.append(0.5 * smooth)
    return dry, wet


def esr(found, wanted):
    return sum((a - b) ** 2 for a, b in zip(found, wanted)) / sum(b * b for b in wanted)


class Capture(CoilTest):
    def setUp(self):
        super().setUp()
        for name, seed in (("", 1), ("_test", 2)):
            self.dry, self.wet = device(seed)
            write_wav(self.path(f"dry{name}.wav"), [self.dry])
            write_wav(self.path(f"wet{name}.wav"), [self.wet])
        self.path("test.csv").write_text("wet,dry\nwet_test.wav,dry_test.wav\n")

    def capture(self, *arguments):
        return self.coil("capture", *arguments, "--quality", "lite", "--threads", "1")

    def test_as_is_takes_out_no_delay(self):
        write_wav(self.path("late.wav"), [[0.0] * 300 + self.wet[:-300]])
        training = ("dry.wav", "late.wav", "-o", "late.safetensors", "--million-frames", "1", "-q", "--no-report")
        self.coil("capture", *training, code=1)
        self.assertIn("has nothing of", self.stderr)
        self.capture(*training, "--as-is")
        write_wav(self.path("short.wav"), [self.wet[:-1]])
        write_wav(self.path("rate.wav"), [self.wet], rate=44100)
        for name, word in (("short.wav", "as long as"), ("rate.wav", "48000 Hz")):
            self.coil("capture", "dry.wav", name, "-o", "x.safetensors", "--as-is", code=1)
            self.assertIn(word, self.stderr)

    def test_the_network_can_be_chosen(self):
        for network in ("plain", "slow-path", "filter", "stage", "slow-stage", "fixed-slow-path", "fixed-slow-stage"):
            name = f"{network}.safetensors"
            training = ("-o", name, "--million-frames", "1", "--network", network, "--as-is", "-q", "--no-report")
            self.capture("dry.wav", "wet.wav", *training)
            content = self.path(name).read_bytes()
            head = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
            config = json.loads(head["__metadata__"]["config"])
            self.assertEqual("slow_path" in config, "slow" in network)
            if "slow" in network:
                begin = 8 + int.from_bytes(content[:8], "little")
                for part, still in (("gate", "fixed" in network), ("recurrent", "fixed" in network), ("value", False)):
                    first, end = head[f"slow.layers.0.units.{part}.weight"]["data_offsets"]
                    self.assertEqual(not any(content[begin + first : begin + end]), still)
            self.assertEqual(len(config["layers"]), 2 if network == "filter" else 1)
            self.assertEqual(config["direct"], network in ("plain", "slow-path", "fixed-slow-path"))
            self.assertEqual("backbone.direct.weight" in head, config["direct"])
            self.coil("process", "dry.wav", "-o", f"{network}.wav", "-m", f"./{name}", "-q")
            found = Wav(self.path(f"{network}.wav")).channels[0]
            self.assertLess(max(abs(x) for x in found[:100]), 1e-3 * max(abs(x) for x in found))
        self.coil("capture", "dry.wav", "wet.wav", "-o", "x.safetensors", "--network", "deep", code=2)

    def test_the_layers_can_be_chosen(self):
        training = ("-o", "two.safetensors", "--million-frames", "1", "--layers", "2", "--as-is", "-q", "--no-report")
        self.capture("dry.wav", "wet.wav", *training)
        content = self.path("two.safetensors").read_bytes()
        head = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        self.assertEqual(json.loads(head["__metadata__"]["config"])["layers"][0]["repeat"], 2)
        self.coil("capture", "dry.wav", "wet.wav", "-o", "x.safetensors", "--layers", "13", code=2)

    def test_two_files_become_a_model_that_gives_the_error_it_says(self):
        result = json.loads(
            self.capture(
                "dry.wav",
                "wet.wav",
                "-o",
                "amp.safetensors",
                "--million-frames",
                "12",
                "--test-table",
                "test.csv",
                "--json",
                "-q",
            )
        )
        self.assertLess(result["esr_held_out"], 0.1)
        self.coil("process", "dry_test.wav", "-o", "out.wav", "-m", "./amp.safetensors")
        found = esr(Wav(self.path("out.wav")).channels[0], self.wet)
        self.assertAlmostEqual(found, result["esr_test"][0], delta=1e-6)
        self.assertLess(found, 0.2)
        card = json.loads(self.coil("info", "./amp.safetensors", "--json"))["card"]
        self.assertEqual(card["training"]["data"], ["wet.wav"])
        self.assertEqual(card["metrics"]["esr_test"]["wet_test.wav"], result["esr_test"][0])
        self.assertEqual([p.name for p in self.path(".").iterdir() if p.name.startswith(".")], [])

    def test_late_recordings_of_another_rate_and_channel(self):
        late = [0.0] * 700 + self.wet
        half = [sum(late[2 * i : 2 * i + 2]) / 2 for i in range(len(late) // 2)]
        write_wav(self.path("late.wav"), [[0.0] * len(half), half], rate=24000)
        self.capture("dry_test.wav", "late.wav", "-o", "amp.safetensors", "--million-frames", "8")
        self.assertIn("lies behind the dry one", self.stderr)
        self.assertIn("the others are empty", self.stderr)
        self.assertRegex(self.stderr, r"100 %, held-out ESR 0\.[01]")

    def test_check_finds_what_is_wrong_without_training(self):
        clipped = [0.0] * 960 + [-max(-0.2, min(0.2, x)) for x in self.wet]
        write_wav(self.path("bad.wav"), [clipped])
        report = json.loads(self.coil("capture", "--check", "dry_test.wav", "bad.wav", "--json"))
        self.assertTrue(report["usable"])
        self.assertTrue(report["inverted"])
        self.assertAlmostEqual(report["delay_ms"], 20, delta=0.3)
        self.assertIn("clipping", [finding["kind"] for finding in report["findings"]])
        write_wav(self.path("silent.wav"), [[0.0] * FRAMES])
        out = self.coil("capture", "--check", "dry.wav", "silent.wav", code=1)
        self.assertIn(b"'silent.wav' is silent", out)
        self.coil("capture", "dry.wav", "silent.wav", "-o", "amp.safetensors", code=1)
        self.assertIn("'silent.wav' is silent", self.stderr)
        self.assertFalse(self.path("amp.safetensors").exists())

    def test_signal_is_written_whole_and_recognised(self):
        self.assertIn(b"peak -1 dBFS", self.coil("capture", "--signal", "signal.wav"))
        signal = Wav(self.path("signal.wav")).channels[0]
        self.assertAlmostEqual(max(abs(x) for x in signal) / 2**23, 10 ** (-1 / 20), delta=1e-3)
        write_wav(self.path("back.wav"), [[0.5 * math.tanh(4 * x / 2**23) for x in signal]])
        out = self.coil("capture", "--check", "back.wav", "signal.wav", code=1)
        self.assertIn(b"is the test signal itself", out)
        out = self.coil("capture", "--check", "signal.wav", "back.wav")
        self.assertIn(b"no problems were found", out)

    def test_killed_training_goes_on_exactly(self):
        self.capture("dry.wav", "wet.wav", "-o", "whole.safetensors", "--million-frames", "10", "-q")
        command = [
            "capture",
            "dry.wav",
            "wet.wav",
            "-o",
            "amp.safetensors",
            "--million-frames",
            "10",
            "--quality",
            "lite",
            "--threads",
            "1",
        ]
        process = subprocess.Popen([COIL, *command], cwd=self.path("."), stderr=subprocess.PIPE)
        self.wait_for_a_look(process)
        process.kill()
        process.wait()
        process.stderr.close()
        self.assertTrue(self.path(".amp.safetensors.training").exists())
        self.coil("process", "dry.wav", "-o", "out.wav", "-m", "./amp.safetensors")  # playable already
        self.coil(*command, "--resume", "-q")
        self.assertEqual(self.tensors("amp.safetensors"), self.tensors("whole.safetensors"))
        self.assertFalse(self.path(".amp.safetensors.training").exists())

    def wait_for_a_look(self, process):
        self.assertIn(b"learning lite from 1 take", process.stderr.readline())
        self.assertIn(b"held-out ESR", process.stderr.readline())

    def tensors(self, name):
        content = self.path(name).read_bytes()
        return content[8 + int.from_bytes(content[:8], "little") :]

    def test_interrupt_keeps_the_best(self):
        process = subprocess.Popen(
            [COIL, "capture", "dry.wav", "wet.wav", "-o", "amp.safetensors", "--quality", "lite", "--threads", "1"],
            cwd=self.path("."),
            stderr=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self.wait_for_a_look(process)
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 0)
        self.assertIn(b"ended early, --resume continues", out)
        self.coil("info", "./amp.safetensors")

    def test_table_with_knobs(self):
        rows = ["wet,dry,drive,volume"]
        for i, drive in enumerate((1, 2, 4)):
            dry, wet = device(i, 50000, drive)
            write_wav(self.path(f"dry{i}.wav"), [dry])
            write_wav(self.path(f"wet{i}.wav"), [wet])
            rows.append(f'"wet{i}.wav",dry{i}.wav,{drive},5')
        self.path("knobs.csv").write_text("\n".join(rows) + "\n")
        self.capture("--table", "knobs.csv", "-o", "amp.safetensors", "--million-frames", "0.5", "-q")
        self.assertIn("'volume' is the same in all rows", self.stderr)
        self.assertIn("drive was not recorded between 2 and 4", self.stderr)
        self.assertIn("record these settings next:\nwet,dry,drive\n", self.stderr)

    def test_model_with_knobs_gives_the_error_it_says(self):
        rows = ["wet,dry,drive"]
        for i, drive in enumerate((1, 2, 4)):
            dry, wet = device(i, 50000, drive)
            write_wav(self.path(f"dry{i}.wav"), [dry])
            write_wav(self.path(f"wet{i}.wav"), [wet])
            rows.append(f"wet{i}.wav,dry{i}.wav,{drive}")
        self.path("knobs.csv").write_text("\n".join(rows) + "\n")
        result = json.loads(
            self.capture(
                "--table",
                "knobs.csv",
                "-o",
                "amp.safetensors",
                "--million-frames",
                "3",
                "-q",
                "--json",
                "--test-table",
                "knobs.csv",
            )
        )
        for i, drive in enumerate((1, 2, 4)):
            self.coil(
                "process", f"dry{i}.wav", "-o", f"out{i}.wav", "-m", "./amp.safetensors", "--set", f"drive={drive}"
            )
            found = esr(Wav(self.path(f"out{i}.wav")).channels[0], Wav(self.path(f"wet{i}.wav")).channels[0])
            self.assertAlmostEqual(found, result["esr_test"][i], delta=1e-6)

    def test_tables_as_people_write_them(self):
        for text, warning in (
            (
                "\ufeffWet;Dry;Drive\nwet.wav;dry.wav;1,5\nwet_test.wav;dry_test.wav;2,5\n",
                "Drive was not recorded between 1.5 and 2.5",
            ),
            (
                "# mine\nWET\tDRY\tdrive\r\n wet.wav\tdry.wav\t+1\r\nwet_test.wav\tdry_test.wav\t2.\r\n",
                "drive was not recorded between 1 and 2",
            ),
            (
                '"wet","dry","drive ""x"""\n"wet.wav","dry.wav","1"\n"wet_test.wav","dry_test.wav",2\n',
                'wet,dry,"drive ""x"""',
            ),
            ("wet,dry,drive,note\nwet.wav,dry.wav,1,loud\nwet_test.wav,dry_test.wav,2,\n", "'note' holds no numbers"),
            (
                "wet,dry,drive\nwet.wav,dry.wav,1\nwet.wav,dry.wav,1\nwet_test.wav,dry_test.wav,2\n",
                "lines 2 and 3 have the same wet file",
            ),
        ):
            with self.subTest(text):
                self.path("knobs.csv").write_text(text, newline="")
                self.capture(
                    "--table", "knobs.csv", "-o", "amp.safetensors", "--million-frames", "0.1", "-q", "--no-report"
                )
                self.assertIn(warning, self.stderr)
                self.assertEqual(
                    len(json.loads(self.coil("info", "./amp.safetensors", "--json"))["card"]["controls"]), 1
                )

    def test_lossy_recordings_are_named(self):
        self.coil("process", "wet_test.wav", "-o", "wet.mp3", "-m", "identity.safetensors")
        report = json.loads(self.coil("capture", "--check", "dry_test.wav", "wet.mp3", "--json"))
        self.assertIn("encoding", [finding["kind"] for finding in report["findings"]])
        content = self.path("wet_test.wav").read_bytes()
        self.path("cut.wav").write_bytes(content[: len(content) * 9 // 10])
        report = json.loads(self.coil("capture", "--check", "dry_test.wav", "cut.wav", "--json"))
        self.assertLessEqual({"damage"}, {finding["kind"] for finding in report["findings"]})

    def test_plan(self):
        lines = self.coil("capture", "--plan", "drive=0..10", "tone=1..2", "--takes", "9").decode().splitlines()
        self.assertEqual(lines[:2], ["wet,dry,drive,tone", "take_01.wav,dry.wav,0,1"])
        self.assertEqual(len(lines), 10)
        self.assertIn("take_04.wav,dry.wav,10,2", lines)

    def test_errors(self):
        self.path("head.csv").write_text("wet,dry,drive\nwet.wav,dry.wav,full\n")
        self.path("column.csv").write_text("wet,gain\nwet.wav,3\n")
        self.path("twice.csv").write_text("wet,dry,drive,drive\nwet.wav,dry.wav,1,2\n")
        self.path("quote.csv").write_text('wet,dry,drive\n"wet.wav,dry.wav,1\n')
        self.path("gone.csv").write_text("wet,dry,drive\nwet.wav,dry.wav,1\ngone.wav,gone_dry.wav,2\n")
        self.path("two.csv").write_text("wet,dry,drive\nwet.wav,dry.wav,1\nwet.wav,dry.wav,2\n")
        self.path("empty.csv").write_text("wet,dry,drive\nwet.wav,dry.wav,1\nwet_test.wav,dry_test.wav,\n")
        self.path("cells.csv").write_text("wet,dry\nwet.wav\n")
        write_wav(self.path("short.wav"), [[0.1] * 100])
        write_wav(self.path("silent.wav"), [[0.0] * FRAMES])
        for arguments, code, words in (
            (["dry.wav", "-o", "a.safetensors"], 2, "a wet recording is needed"),
            (["-o", "a.safetensors"], 2, "either a dry and a wet recording are needed, or a capture such as amp.nam"),
            (["dry.wav", "wet.wav"], 2, "--output is needed"),
            (["dry.wav", "wet.wav", "-o", "no/a.safetensors"], 2, "there is no folder"),
            (["dry.wav", "gone.wav", "-o", "a.safetensors"], 1, "gone.wav"),
            (["dry.wav", "short.wav", "-o", "a.safetensors"], 1, "a capture needs a second at least"),
            (["dry.wav", "silent.wav", "-o", "a.safetensors"], 1, "silent"),
            (
                ["--table", "head.csv", "-o", "a.safetensors"],
                1,
                "line 2, column 'drive': a knob's position must be a number, found 'full'",
            ),
            (["--table", "column.csv", "-o", "a.safetensors"], 1, "has no column 'dry'; its columns are wet, gain"),
            (["--table", "cells.csv", "-o", "a.safetensors"], 1, "line 2 has 1 cell, the head has 2"),
            (["--table", "twice.csv", "-o", "a.safetensors"], 1, "two columns are called 'drive'"),
            (["--table", "quote.csv", "-o", "a.safetensors"], 1, "line 2 has a quote that does not end"),
            (
                ["--table", "gone.csv", "-o", "a.safetensors"],
                1,
                "there is no file 'gone.wav' (line 3), 'gone_dry.wav' (line 3)",
            ),
            (
                ["--table", "two.csv", "-o", "a.safetensors"],
                1,
                "lines 2 and 3 have one wet file, 'wet.wav', at two settings",
            ),
            (
                ["--table", "empty.csv", "-o", "a.safetensors"],
                1,
                "line 3, column 'drive': a knob's position must be a number, found ''",
            ),
            (["--plan", "drive"], 2, "must be a knob and its range"),
            (["dry.wav", "wet.wav", "-o", "a.safetensors", "--target", "Z80"], 1, "this machine has"),
        ):
            with self.subTest(arguments):
                self.coil("capture", *arguments, code=code)
                self.assertIn(words, self.stderr)
                self.assertFalse(self.path("a.safetensors").exists())
