"""Archives: manifests, shards, resuming after kill -9, retries, reports, and several processes at once."""

import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import threading
import time

from support import COIL, CoilTest, Wav, noise, sine, write_filter_model, write_wav


class Fleet(CoilTest):
    def setUp(self):
        super().setUp()
        write_filter_model(self.path("knobs.safetensors"), controls=True)

    def make_inputs(self, count, frames=2000, folder="in"):
        for i in range(count):
            write_wav(self.path(f"{folder}/{i:02}.wav"), [noise(frames + 10 * i, seed=i)])

    def write_manifest(self, lines, name="list.jsonl"):
        self.path(name).write_text(
            "".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines)
        )

    def manifest(self, *arguments, model="knobs.safetensors", code=0, name="list.jsonl", **options):
        return self.coil("process", "--manifest", name, "-m", model, *arguments, code=code, **options)

    def lines(self, name):
        return [json.loads(line) for line in self.path(name).read_text().splitlines()]

    def outputs(self, folder="out"):
        return {
            name: self.path(name).read_bytes()
            for name in self.names()
            if name.startswith(folder + "/") and name.endswith(".wav")
        }


class Manifests(Fleet):
    def test_each_line_is_a_file_with_controls_of_its_own(self):
        self.make_inputs(3)
        self.write_manifest(
            [
                {"input": "in/00.wav", "output": "out/a/x.wav"},
                "",
                {"input": "in/01.wav", "output": "out/y.wav", "set": {"drive": 9.5}},
                {"input": "in/01.wav", "output": "out/z.flac", "set": {"level": -20, "tone": 1}},
            ]
        )
        self.manifest("--set", "drive=2", "--report", "report.jsonl")
        self.assertEqual([line["status"] for line in self.lines("report.jsonl")], ["ok"] * 3)
        self.assertIn("3 files: 3 processed, 0 failed", self.stderr)
        for source, output, settings in (
            ("in/00.wav", "out/a/x.wav", ["drive=2"]),
            ("in/01.wav", "out/y.wav", ["drive=9.5"]),
        ):
            self.process(
                source,
                "alone.wav",
                *[word for setting in settings for word in ("--set", setting)],
                model="knobs.safetensors",
            )
            self.assertEqual(self.path("alone.wav").read_bytes(), self.path(output).read_bytes())
        self.assertTrue(self.path("out/z.flac").exists())

    def test_a_manifest_through_a_pipe(self):
        self.make_inputs(1)
        self.manifest(name="-", input=b'{"input": "in/00.wav", "output": "out/0.wav"}')
        self.assertEqual(Wav(self.path("out/0.wav")).frames, 2000)

    def test_what_is_wrong_is_said_with_its_line(self):
        self.make_inputs(2)
        good = {"input": "in/00.wav", "output": "out/0.wav"}
        for line, words in (
            ("{", ["is not JSON"]),
            ("[1]", ["not a JSON object"]),
            ({"input": "a.wav"}, ["'output'"]),
            ({"output": "a.wav"}, ["'input'"]),
            ({"input": 3, "output": "a.wav"}, ["'input'"]),
            ({**good, "gain": 3}, ["'gain'", "input, output, set"]),
            ({"input": "-", "output": "a.wav"}, ["'input'", "streams"]),
            ({"input": "in/01.wav", "output": "a.xyz"}, ["a.xyz", "--format"]),
            ({"input": "in/01.wav", "output": "a.wav", "set": {"drive": 11}}, ["drive=11", "0 to 10"]),
            ({"input": "in/01.wav", "output": "a.wav", "set": {"gain": 1}}, ["'gain'", "drive (0 to 10)"]),
            ({"input": "in/01.wav", "output": "a.wav", "set": {"drive": "7"}}, ["'drive'", "number"]),
            ({"input": "in/01.wav", "output": "a.wav", "set": [7]}, ["'set'"]),
            ({"input": "in/01.wav", "output": "./out/0.wav"}, ["out/0.wav", "line 1"]),
        ):
            with self.subTest(line):
                self.write_manifest([good, "", line])
                self.manifest(code=2)
                self.assertEqual(len(self.stderr.splitlines()), 1, self.stderr)
                for word in ["'list.jsonl', line 3", *words]:
                    self.assertIn(word, self.stderr)
        self.assertEqual(self.outputs(), {})
        self.write_manifest(
            [{"input": "in/00.wav", "output": "in/01.wav"}, {"input": "in/01.wav", "output": "out/1.wav"}]
        )
        self.manifest(code=2)
        self.assertIn("replace an input", self.stderr)
        self.write_manifest([])
        self.manifest(code=2)
        self.assertIn("no files", self.stderr)
        self.manifest(name="missing.jsonl", code=2)
        self.assertIn("missing.jsonl", self.stderr)
        self.coil("process", "in", "-o", "out", "--manifest", "list.jsonl", "-m", "knobs.safetensors", code=2)
        self.assertIn("--manifest", self.stderr)

    def test_devices(self):
        self.make_inputs(1)
        self.process("in/00.wav", "cpu.wav", "--device", "cpu", model="knobs.safetensors")
        self.process("in/00.wav", "auto.wav", "--device", "auto", model="knobs.safetensors")
        on_gpu = "runs on the CPU: " not in self.stderr
        for a, b in zip(Wav(self.path("cpu.wav")).channels[0], Wav(self.path("auto.wav")).channels[0]):
            self.assertAlmostEqual(a, b, delta=1e-5)
        if on_gpu:
            return
        self.assertEqual(self.stderr.count("runs on the CPU: "), 1)
        self.process("in/00.wav", "rounded.wav", "--precision", "tf32", model="knobs.safetensors", code=2)
        self.assertIn("--precision belongs to --device cuda", self.stderr)
        self.process("in/00.wav", "cuda.wav", "--device", "cuda", model="knobs.safetensors", code=4)
        self.assertIn("--device cuda: ", self.stderr)
        self.assertEqual(len(self.stderr.splitlines()), 1)
        self.assertNotIn("cuda.wav", self.names())

    def test_threads_inside_a_file_give_the_same_sound(self):
        write_wav(self.path("in.wav"), [noise(200000, seed=1), noise(200000, seed=2)], rate=44100)
        self.process("in.wav", "one.wav", model="knobs.safetensors")
        self.process("in.wav", "many.wav", "--threads", "4", model="knobs.safetensors")
        for one, many in zip(Wav(self.path("one.wav")).channels, Wav(self.path("many.wav")).channels):
            self.assertLess(max(abs(a - b) for a, b in zip(one, many)), 1e-5)


class Shards(Fleet):
    def test_shards_partition_the_list(self):
        self.make_inputs(11)
        lines = [{"input": f"in/{i:02}.wav", "output": f"out/{i:02}.wav"} for i in range(11)]
        random.Random(1).shuffle(lines)
        self.write_manifest(lines)
        for count in (1, 3, 11, 13):
            shutil.rmtree(self.path("out"), ignore_errors=True)
            seen = []
            for index in range(count):
                random.Random(index).shuffle(lines)  # the order of the list does not matter
                self.write_manifest(lines)
                done = [line["out"] for line in self.json_lines(self.manifest("--shard", f"{index}/{count}", "--json"))]
                self.assertLessEqual(abs(len(done) - 11 / count), 1)
                seen += done
            self.assertEqual(sorted(seen), [f"out/{i:02}.wav" for i in range(11)])

    def test_shards_of_a_folder(self):
        self.make_inputs(5)
        for index in range(2):
            self.process("in", "out", "--shard", f"{index}/2")
        self.assertEqual(len(self.outputs()), 5)

    def test_what_is_no_shard(self):
        self.make_inputs(1)
        for shard in ("2/2", "-1/2", "1", "1/", "a/2", "0/0", "0/2x"):
            self.process("in", "out", f"--shard={shard}", code=2)
            self.assertIn("--shard " + shard, self.stderr)
            self.assertIn("0/4", self.stderr)
        self.coil("process", "-", "-o", "-", "-m", "identity.safetensors", "--shard", "0/2", code=2)


class Resume(Fleet):
    def stamps(self):
        return {name: os.stat(self.path(name)).st_mtime_ns for name in self.outputs()}

    def test_done_files_are_left_alone_and_reported(self):
        self.make_inputs(4)
        self.process("in", "out", "--resume", "--report", "first.jsonl")
        before = self.stamps()
        self.process("in", "out", "--resume", "--report", "second.jsonl")
        self.assertEqual(self.stamps(), before)
        self.assertIn("0 processed, 4 done before, 0 failed", self.stderr)
        first, second = self.lines("first.jsonl"), self.lines("second.jsonl")
        self.assertTrue(all(line.pop("resumed") for line in second))
        by_name = lambda line: line["in"]
        self.assertEqual(sorted(first, key=by_name), sorted(second, key=by_name))

    def redone(self, *arguments, model="knobs.safetensors"):
        """The outputs that a resumed run made again."""
        lines = self.json_lines(self.process("in", "out", "--resume", "--json", *arguments, model=model))
        return sorted(line["out"] for line in lines if "resumed" not in line)

    def test_other_inputs_settings_or_outputs_are_done_again(self):
        self.make_inputs(3)
        everything = [f"out/{i:02}.wav" for i in range(3)]
        self.assertEqual(self.redone(), everything)
        self.assertEqual(self.redone(), [])
        write_wav(self.path("in/01.wav"), [noise(2010, seed=99)])  # same length as before
        self.assertEqual(self.redone(), ["out/01.wav"])
        os.utime(self.path("in/01.wav"))  # same content
        self.assertEqual(self.redone(), [])
        for changed in (
            ["--set", "drive=7"],
            ["--gain", "-3"],
            ["--bits", "24"],
            ["--bits", "16"],
            ["--no-dither"],
            ["--rate-scaling", "steps"],
            ["--weights", "bf16"],
            ["--device", "auto", "--precision", "bf16"],
        ):
            self.assertEqual(self.redone(*changed), everything, changed)
            self.assertEqual(self.redone(*changed), [], changed)
            self.assertEqual(self.redone("--jobs", "1", "--block", "100"), everything)  # as before
        self.assertEqual(self.redone("--jobs", "2", "--block", "50", "--threads", "3"), [])
        write_filter_model(self.path("knobs.safetensors"), controls=True, seed=2)
        self.assertEqual(self.redone(), everything)
        self.path("out/00.wav").unlink()
        self.path("out/02.wav").write_bytes(self.path("out/02.wav").read_bytes()[:-4])
        self.assertEqual(self.redone(), ["out/00.wav", "out/02.wav"])
        self.path("out/.01.wav.done").write_text('{"key": ')
        self.assertEqual(self.redone(), ["out/01.wav"])

    def test_a_run_without_resume_makes_old_marks_void(self):
        self.make_inputs(1)
        self.assertEqual(self.redone("--set", "drive=7"), ["out/00.wav"])
        expected = self.outputs()
        self.process("in", "out", "--set", "drive=1", model="knobs.safetensors")
        self.assertNotEqual(self.outputs(), expected)
        self.assertEqual(self.redone("--set", "drive=7"), ["out/00.wav"])
        self.assertEqual(self.outputs(), expected)

    def test_failed_files_are_tried_again_and_streams_refused(self):
        self.make_inputs(2)
        self.path("in/02.wav").write_bytes(b"RIFFgarbage")
        self.process("in", "out", "--resume", code=1)
        write_wav(self.path("in/02.wav"), [[0.5] * 10])
        self.assertEqual(self.redone(model="identity.safetensors"), ["out/02.wav"])
        self.coil("process", "-", "-o", "x.wav", "-m", "identity.safetensors", "--resume", code=2)
        self.assertIn("stream", self.stderr)

    def test_kill_9_at_any_moment_loses_nothing(self):
        self.make_inputs(12, frames=30000)
        self.process("in", "expected", model="knobs.safetensors")
        expected = {name.replace("expected", "out", 1): content for name, content in self.outputs("expected").items()}
        command = [COIL, "process", "in", "-o", "out", "-m", "knobs.safetensors", "--resume", "--jobs", "2"]
        rng = random.Random(1)
        begin = time.monotonic()
        self.process("in", "out", "--resume", "--jobs", "2", model="knobs.safetensors")
        whole_run_s = time.monotonic() - begin
        done, kills, parts = {}, 0, 0
        while kills < 25:
            if len(done) == len(expected) or kills == 0:  # start again from the beginning
                shutil.rmtree(self.path("out"))
                done = {}
            process = subprocess.Popen(command, cwd=self.folder, stderr=subprocess.DEVNULL)
            time.sleep(rng.uniform(0, 0.6 * whole_run_s))
            if process.poll() is not None:
                self.assertEqual(process.returncode, 0)
            process.send_signal(signal.SIGKILL)
            process.wait(timeout=30)
            kills += 1
            parts += any(name.endswith(".part") for name in self.names())
            for name, content in self.outputs().items():
                self.assertEqual(content, expected[name], f"{name} after kill {kills}")  # complete or missing
            stamps = self.stamps()
            for name, stamp in done.items():
                self.assertEqual(stamps[name], stamp, f"{name} was done again after kill {kills}")
            done = {
                name: stamp
                for name, stamp in stamps.items()
                if self.path("out/." + pathlib.Path(name).name + ".done").exists()
            }
        self.assertGreater(parts, 0, "no kill came while a file was written")
        self.process("in", "out", "--resume", model="knobs.safetensors")
        self.assertEqual(self.outputs(), expected)
        stamps = self.stamps()
        self.assertEqual({name: stamps[name] for name in done}, done)
        self.assertEqual([name for name in self.names() if name.endswith(".part")], [])

    def test_parts_of_the_living_stay_those_of_the_dead_go(self):
        write_wav(self.path("in/a.wav"), [[0.25] * 10])
        write_wav(self.path("in/b.wav"), [[0.25] * 10])
        stale = [".a.wav.123456789-0.part", "..a.wav.done.123456789-1.part"]
        others = [".a.wav.part", ".c.wav.123456789-0.part", ".a.wav.1-x.part", "a.wav.1-2.part"]
        for name in stale + others:
            self.path("out/" + name).write_bytes(b"half")
        living = subprocess.Popen(
            [COIL, "process", "-", "-o", "out/b.wav", "-m", "identity.safetensors"],
            cwd=self.folder,
            stdin=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self.addCleanup(living.kill)
        whole = self.path("in/a.wav").read_bytes()
        living.stdin.write(whole[:-4])
        living.stdin.flush()
        is_part = lambda name: name.startswith(f"out/.b.wav.{living.pid}-") and name.endswith(".part")
        for _ in range(1000):
            if any(map(is_part, self.names())):
                break
            time.sleep(0.01)
        self.process("in", "out", "--resume")
        left = [name for name in self.names() if name.endswith(".part")]
        self.assertEqual(sorted(name for name in left if not is_part(name)), sorted("out/" + name for name in others))
        self.assertEqual(len(list(filter(is_part, left))), 1)
        living.stdin.write(whole[-4:])
        living.stdin.close()
        self.assertEqual(living.wait(timeout=30), 0)

    def test_two_processes_on_one_folder(self):
        self.make_inputs(8, frames=20000)
        self.process("in", "expected")
        expected = {name.replace("expected", "out", 1): content for name, content in self.outputs("expected").items()}
        command = [COIL, "process", "in", "-o", "out", "-m", "identity.safetensors", "--resume", "--jobs", "2"]
        both = [subprocess.Popen(command, cwd=self.folder, stderr=subprocess.PIPE) for _ in range(2)]
        for process in both:
            error = process.communicate(timeout=120)[1]
            self.assertEqual(process.returncode, 0, error)
        self.assertEqual(self.outputs(), expected)
        self.assertEqual(len([name for name in self.names() if name.endswith(".done")]), 8)
        self.assertEqual([name for name in self.names() if name.endswith(".part")], [])


class Reports(Fleet):
    def test_retries_end_when_the_file_can_be_read(self):
        def appear():
            time.sleep(0.7)
            write_wav(self.path("ready.wav"), [[0.5] * 10])
            os.rename(self.path("ready.wav"), self.path("late.wav"))

        thread = threading.Thread(target=appear)
        thread.start()
        self.process("late.wav", "out.wav", "--retries", "4")
        thread.join()
        self.assertIn("late.wav", self.stderr)
        self.assertIn("more time", self.stderr)

    def test_retries_are_bounded(self):
        self.process("missing.wav", "out.wav", "--retries", "1", code=1)
        self.assertEqual(self.stderr.count("to be tried"), 1)
        self.assertEqual(self.stderr.count("coil: error: "), 1)

    def test_report(self):
        write_wav(self.path("in/a.wav"), [sine(48000, 997, 48000, amplitude=1)])
        write_wav(self.path("in/b.wav"), [[0.0] * 4800] * 2)
        self.path("in/c.wav").write_bytes(b"")
        self.process("in", "out", "--report", "report.jsonl", code=1)
        a, b, c = sorted(self.lines("report.jsonl"), key=lambda line: line["in"])
        self.assertEqual([line["status"] for line in (a, b, c)], ["ok", "ok", "failed"])
        self.assertEqual((a["frames"], a["seconds"], a["rate"], a["channels"]), (48000, 1.0, 48000, 1))
        self.assertAlmostEqual(a["peak_db"], 0, places=2)
        self.assertAlmostEqual(a["loudness_lufs"], -3.01, places=1)  # the loudness of this tone by BS.1770
        self.assertGreater(a["wall_seconds"], 0)
        self.assertEqual((b["peak_db"], b["loudness_lufs"], b["channels"]), (None, None, 2))
        self.assertIn("c.wav", c["error"])
        self.assertIn("3 files: 2 processed, 1 failed", self.stderr)
        self.assertEqual(
            self.json_lines(self.process("in", "again", "--report", "-", "--jobs", "1", code=1))[2],
            c | {"out": "again/c.wav"},
        )

    def test_report_that_cannot_be_written(self):
        self.make_inputs(1)
        self.process("in", "out", "--report", "missing/report.jsonl", code=2)
        self.assertIn("missing/report.jsonl", self.stderr)
        self.assertEqual(self.outputs(), {})
        self.process("in", "out", "--report", "/dev/full", code=1)
        self.assertIn("/dev/full", self.stderr)
        self.process("in", "out", "--json", "--report", "x.jsonl", code=2)

    def test_output_folder_that_cannot_be_written(self):
        self.make_inputs(2)
        self.path("file").write_text("")
        self.process("in", "file/out", "--resume", "--report", "report.jsonl", code=1)
        self.assertEqual([line["status"] for line in self.lines("report.jsonl")], ["failed", "failed"])

    def test_full_disk(self):
        """Files that fit are complete and marked; the others fail and leave nothing. Once there is space, the next
        run makes them."""
        disk = self.path("disk/x").parent
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", disk], capture_output=True)
        if mounted.returncode != 0:
            self.skipTest("a small disk cannot be mounted: " + mounted.stderr.decode().strip())
        self.addCleanup(subprocess.run, ["umount", "-l", disk])
        self.make_inputs(6, frames=20000)
        self.process("in", "expected")
        self.process("in", "disk/out", "--resume", "--jobs", "2", "--report", "report.jsonl", code=1)
        states = [line["status"] for line in self.lines("report.jsonl")]
        self.assertIn("ok", states)
        self.assertIn("failed", states)
        made = self.outputs("disk")
        self.assertEqual([name for name in self.names() if name.endswith(".part")], [])
        for name, content in made.items():
            self.assertEqual(content, self.path(name.replace("disk/out", "expected")).read_bytes())
        subprocess.run(["mount", "-o", "remount,size=10m", disk], check=True)
        self.process("in", "disk/out", "--resume")
        self.assertEqual(len(self.outputs("disk")), 6)


if __name__ == "__main__":
    import unittest

    unittest.main()
