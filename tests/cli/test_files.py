"""Folders, names, and what remains after errors."""

import os
import pathlib
import resource
import signal
import struct
import subprocess
import time

from support import COIL, CoilTest, Wav, floats, noise, wav_bytes, write_wav


class Files(CoilTest):
    def test_folder_to_folder_keeps_the_tree(self):
        for name in ("a.wav", "sub/b.wav", "sub/deep/c.WAV"):
            write_wav(self.path("in/" + name), [[0.25] * 10])
        self.path("in/sub/notes.txt").write_text("not sound")
        self.path("in/._a.wav").write_bytes(b"not sound either")
        lines = self.json_lines(self.process("in", "out", "--json"))
        self.assertEqual(
            [name for name in self.names() if name.startswith("out/")],
            ["out/a.wav", "out/sub/b.wav", "out/sub/deep/c.WAV"],
        )
        self.assertEqual(sorted(line["out"] for line in lines), ["out/a.wav", "out/sub/b.wav", "out/sub/deep/c.WAV"])
        self.assertTrue(all(line["status"] == "ok" and line["frames"] == 10 for line in lines))

    def test_ways_to_name_a_folder(self):
        write_wav(self.path("in/sub/a.wav"), [[0.25]])
        for number, name in enumerate(("in", "in/", "./in", "in/../in", self.folder / "in")):
            self.process(name, f"out{number}")
            self.assertIn(f"out{number}/sub/a.wav", self.names())

    def test_several_inputs_go_into_a_folder(self):
        write_wav(self.path("a.wav"), [[0.25]])
        write_wav(self.path("in/b.wav"), [[0.5]])
        self.process("a.wav", "out", "in", "--format", "flac")
        self.assertEqual([name for name in self.names() if name.startswith("out/")], ["out/a.flac", "out/b.flac"])

    def test_one_file_into_a_folder(self):
        write_wav(self.path("a.wav"), [[0.25]])
        self.process("a.wav", "new/")
        self.assertIn("new/a.wav", self.names())

    def test_output_folder_inside_the_input_folder_is_not_an_input(self):
        write_wav(self.path("in/a.wav"), [[0.25]])
        for _ in range(2):
            self.assertEqual(len(self.json_lines(self.process("in", "in/out", "--json"))), 1)
        self.assertEqual(self.names(), ["in/a.wav", "in/out/a.wav"])

    def test_names_that_collide_are_refused(self):
        write_wav(self.path("in/a.wav"), [[0.25]])
        write_wav(self.path("in/a.flac"), [[0.25]])  # a separate recording, not the output of an earlier run
        self.process("in", "out", "--format", "wav", code=2)
        self.assertIn("a.flac", self.stderr)
        self.assertIn("a.wav", self.stderr)
        self.process("in/a.wav", "out", "in/a.wav", code=2)
        self.assertEqual(self.names(), ["in/a.flac", "in/a.wav"])

    def test_an_input_is_never_replaced(self):
        write_wav(self.path("a.wav"), [[0.25]])
        write_wav(self.path("b.wav"), [[0.25]])
        os.symlink("a.wav", self.path("link.wav"))
        before = self.path("a.wav").read_bytes()
        for arguments in (["a.wav", "a.wav"], ["a.wav", "./a.wav"], ["link.wav", "a.wav"], ["a.wav", ".", "b.wav"]):
            self.process(*arguments, code=2)
            self.assertIn("replace an input", self.stderr)
        self.assertEqual(self.path("a.wav").read_bytes(), before)

    def test_an_older_output_is_replaced_only_on_success(self):
        write_wav(self.path("in.wav"), [[0.25] * 3])
        write_wav(self.path("bad.wav"), [[0.25]])
        self.path("bad.wav").write_bytes(b"RIFFgarbage")
        self.path("out.wav").write_bytes(b"old")
        self.process("bad.wav", "out.wav", code=1)
        self.assertEqual(self.path("out.wav").read_bytes(), b"old")
        self.process("in.wav", "out.wav")
        self.assertEqual(Wav(self.path("out.wav")).frames, 3)

    def test_one_bad_file_does_not_stop_the_others(self):
        for name in ("a", "c", "e"):
            write_wav(self.path(f"in/{name}.wav"), [[0.25] * 5])
        self.path("in/b.wav").write_bytes(b"")
        self.path("in/d.flac").write_bytes(b"fLaC damaged")
        for jobs in ("1", "4"):
            lines = self.json_lines(self.process("in", "out" + jobs, "--json", "--jobs", jobs, code=1))
            self.assertEqual(
                {line["in"]: line["status"] for line in lines},
                {"in/a.wav": "ok", "in/b.wav": "failed", "in/c.wav": "ok", "in/d.flac": "failed", "in/e.wav": "ok"},
            )
            self.assertTrue(all("error" in line for line in lines if line["status"] == "failed"))
            self.assertEqual(
                [name for name in self.names() if name.startswith(f"out{jobs}/")],
                [f"out{jobs}/{name}.wav" for name in "ace"],
            )

    def test_names_of_any_bytes(self):
        for name in ("with space.wav", "gr\u00fcn \u266b.wav", "'quote\".wav", os.fsdecode(b"latin-\xff.wav")):
            write_wav(self.path("in/" + name), [[0.25]])
        lines = self.json_lines(self.process("in", "out", "--json"))
        self.assertEqual(len(lines), 4)
        self.assertIn("in/gr\u00fcn \u266b.wav", [line["in"] for line in lines])
        self.assertIn(os.fsdecode(b"out/latin-\xff.wav"), self.names())

    def test_jobs_give_the_same_files(self):
        for i in range(9):
            write_wav(self.path(f"in/{i}.wav"), [noise(3000, seed=i)], rate=44100)
        self.process("in", "one", "--jobs", "1")
        self.process("in", "many", "--jobs", "5")
        for i in range(9):
            self.assertEqual(self.path(f"one/{i}.wav").read_bytes(), self.path(f"many/{i}.wav").read_bytes())

    def test_empty_file_and_one_sample(self):
        for frames in (0, 1):
            for name in ("out.wav", "out.flac", "out.aiff"):
                write_wav(self.path("in.wav"), [[0.5] * frames] * 2)
                report = self.json_lines(self.process("in.wav", name, "--json"))[0]
                self.assertEqual((report["frames"], report["channels"]), (frames, 2))

    def test_truncated_wav_is_processed_and_reported(self):
        write_wav(self.path("whole.wav"), [[0.5] * 1000])
        self.path("in.wav").write_bytes(self.path("whole.wav").read_bytes()[:-400])
        report = self.json_lines(self.process("in.wav", "out.wav", "--json"))[0]
        self.assertEqual((report["frames"], report["truncated"]), (900, True))
        self.assertIn("ends before", self.stderr)
        self.assertFalse(self.json_lines(self.process("whole.wav", "out.wav", "--json"))[0]["truncated"])

    def test_truncated_flac_is_processed_and_reported(self):
        write_wav(self.path("whole.wav"), [[round(30000 * x) for x in noise(50000, seed=1, amplitude=1)]], kind=16)
        self.process("whole.wav", "whole.flac", "--no-dither")
        content = self.path("whole.flac").read_bytes()
        self.path("in.flac").write_bytes(content[: len(content) // 2])
        report = self.json_lines(self.process("in.flac", "out.wav", "--json", "--no-dither"))[0]
        self.assertTrue(report["truncated"])
        self.assertGreater(report["frames"], 10000)
        self.assertLess(report["frames"], 50000)
        self.assertFalse(self.json_lines(self.process("whole.flac", "out.wav", "--json"))[0]["truncated"])

    def test_flac_of_unknown_length(self):
        write_wav(self.path("in.wav"), [[100, 200, 300] * 10000], kind=16)
        self.process("in.wav", "known.flac", "--no-dither")
        content = bytearray(self.path("known.flac").read_bytes())
        content[21] &= 0xF0  # the 36 bits of STREAMINFO that count samples
        content[22:26] = bytes(4)
        self.path("unknown.flac").write_bytes(content)
        report = self.json_lines(self.process("unknown.flac", "out.wav", "--json", "--no-dither"))[0]
        self.assertEqual((report["frames"], report["truncated"]), (30000, False))
        self.assertIn("WAV", report["format"])
        self.assertEqual(Wav(self.path("out.wav")).channels, [[100, 200, 300] * 10000])
        self.coil("plot", "unknown.flac", "out.wav", "-o", "out.png", code=1)

    def test_truncated_ogg_is_reported(self):
        write_wav(self.path("in.wav"), [noise(200000, seed=1)])
        self.process("in.wav", "whole.ogg")
        content = self.path("whole.ogg").read_bytes()
        self.path("cut.ogg").write_bytes(content[: len(content) // 2])
        self.assertFalse(self.json_lines(self.process("whole.ogg", "out.wav", "--json"))[0]["truncated"])
        self.assertTrue(self.json_lines(self.process("cut.ogg", "out.wav", "--json"))[0]["truncated"])

    def test_outputs_that_cannot_be_written(self):
        write_wav(self.path("in.wav"), [[0.5] * 10])
        self.path("file").write_text("")
        for output, code in (
            ("missing/out.wav", 1),
            ("/proc/out.wav", 1),
            ("file/out.wav", 1),
            ("out.xyz", 2),
            ("out", 2),
        ):
            with self.subTest(output):
                self.process("in.wav", output, code=code)
                self.assertIn(output, self.stderr)
        self.assertEqual(self.names(), ["file", "in.wav"])

    def test_full_disk_leaves_nothing(self):
        write_wav(self.path("in.wav"), [noise(100000, seed=2)])

        def limit():
            resource.setrlimit(resource.RLIMIT_FSIZE, (100000, 100000))

        for name in ("out.wav", "out.flac"):
            # Python ignores SIGXFSZ, and so does this process, so that writing fails with an error.
            self.process("in.wav", name, code=1, preexec_fn=limit, restore_signals=False)
            self.assertIn("writing failed", self.stderr)
            self.assertEqual(self.names(), ["in.wav"])

    def test_full_output_stream(self):
        write_wav(self.path("in.wav"), [noise(10000, seed=3)])
        with open("/dev/full", "wb") as full:
            done = subprocess.run(
                [COIL, "process", "in.wav", "-o", "-", "-m", "identity.safetensors"],
                cwd=self.folder,
                stdout=full,
                stderr=subprocess.PIPE,
                timeout=60,
            )
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"standard output", done.stderr)

    def wait_for_part(self, process):
        for _ in range(3000):
            if any(name.endswith(".part") for name in self.names()):
                return
            self.assertIsNone(process.poll(), "ended before it was interrupted")
            time.sleep(0.01)
        self.fail("no partial file appeared")

    def wait_until_idle(self, process):
        """Waits until repeated checks over a while find the process asleep, waiting for input."""
        stat, asleep = pathlib.Path(f"/proc/{process.pid}/stat"), 0
        while stat.exists() and asleep < 30:
            asleep = asleep + 1 if stat.read_text().rsplit(")", 1)[1].split()[0] == "S" else 0
            time.sleep(0.01)

    def test_interrupt_while_waiting_for_input_leaves_nothing(self):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            process = subprocess.Popen(
                [COIL, "process", "-", "-o", "out.wav", "-m", "identity.safetensors"],
                cwd=self.folder,
                stdin=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
            self.addCleanup(process.kill)
            process.stdin.write(wav_bytes(floats([0.5] * 50000), 3, 32, 1, 48000, size=0xFFFFFFFF))
            process.stdin.flush()
            self.wait_for_part(process)
            self.wait_until_idle(process)
            process.send_signal(number)
            self.assertEqual(process.wait(timeout=30), 130)
            self.assertEqual(self.names(), [])
            process.stdin.close()
            self.assertIn(b"interrupted", process.stderr.read())
            process.stderr.close()

    def test_interrupt_keeps_what_was_complete(self):
        write_wav(self.path("in/a.wav"), [[0.5] * 10])
        # Hours of silence that take no space on the disk.
        size = 0x70000000
        header = wav_bytes(b"", 3, 32, 1, 48000)
        header = header[:4] + struct.pack("<I", size + len(header) - 8) + header[8:-4] + struct.pack("<I", size)
        self.path("in/b.wav").write_bytes(header)
        os.truncate(self.path("in/b.wav"), len(header) + size)
        process = subprocess.Popen(
            [COIL, "process", "in", "-o", "out", "-m", "identity.safetensors", "--jobs", "2", "--bits", "16"],
            cwd=self.folder,
            stderr=subprocess.PIPE,
        )
        self.addCleanup(process.kill)
        self.wait_for_part(process)
        while "out/a.wav" not in self.names():
            self.assertIsNone(process.poll())
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(timeout=60), 130)
        process.stderr.close()
        self.assertEqual([name for name in self.names() if name.startswith("out/")], ["out/a.wav"])
        self.assertEqual(Wav(self.path("out/a.wav")).frames, 10)
