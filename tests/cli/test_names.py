"""Names and trees: which file a name means, what a folder contains, and where an output goes."""

import ctypes
import os
import resource
import shutil
import stat
import subprocess
import threading

from support import COIL, CoilTest, Wav, noise, sine, write_wav


def without_privileges():
    """Removes an administrator's privileges from the process after its exec, so that file permissions apply."""
    for capability in (1, 2):  # the capabilities to write and read any file
        ctypes.CDLL(None).prctl(24, capability, 0, 0, 0)


def smallest_files():
    """Files larger than 4 kB cannot be written; the signal ends the program, as in a shell."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))


class Presets(CoilTest):
    def test_a_preset_comes_before_a_folder_of_its_name(self):
        write_wav(self.path("in.wav"), [noise(200, seed=1)])
        self.process("in.wav", "expected.wav", model="green_overdrive")
        self.path("green_overdrive/in.wav").write_bytes(
            b""
        )  # the result of: coil process takes -o green_overdrive -m green_overdrive
        self.process("in.wav", "out.wav", model="green_overdrive")
        self.assertEqual(self.path("out.wav").read_bytes(), self.path("expected.wav").read_bytes())
        self.assertNotIn("./green_overdrive", self.stderr)
        for command in (["info", "green_overdrive"], ["process", "in.wav", "-o", "out.wav", "-m", "green_overdrive"]):
            shutil.rmtree(self.path("green_overdrive"), ignore_errors=True)
            self.path("green_overdrive/config.json").write_text("{}")
            self.coil(*command)
            self.assertIn("the file here is ./green_overdrive", self.stderr)
        self.process("in.wav", "out.wav", model="./green_overdrive", code=3)
        self.process("in.wav", "out.wav", model="green_overdrive/", code=3)

    def test_a_file_here_with_its_ending_comes_before_a_preset(self):
        write_wav(self.path("in.wav"), [[0.25, 0.5]])
        shutil.copy(self.path("identity.safetensors"), self.path("green_overdrive.safetensors"))
        self.process("in.wav", "out.wav", model="green_overdrive.safetensors")
        self.assertEqual(Wav(self.path("out.wav")).channels, [[0.25, 0.5]])
        os.unlink(self.path("green_overdrive.safetensors"))
        self.path("green_overdrive.safetensors").mkdir()
        self.process("in.wav", "out.wav", model="green_overdrive.safetensors")


class LongNames(CoilTest):
    def test_names_up_to_the_limit(self):
        for length in (200, 228, 250, 255):
            name = "x" * (length - 4) + ".wav"
            write_wav(self.path("in/" + name), [[0.25] * 3])
        write_wav(self.path("in/" + "\u266b" * 83 + ".wav"), [[0.25] * 3])
        for run in range(2):
            lines = self.json_lines(self.process("in", "out", "--resume", "--json"))
            self.assertEqual([line["status"] for line in lines], ["ok"] * 5)
            self.assertEqual(sum("resumed" in line for line in lines), 5 * run)
        self.assertEqual(
            sorted(os.listdir(self.path("in"))),
            sorted(name for name in os.listdir(self.path("out")) if not name.startswith(".")),
        )
        self.assertEqual(len([name for name in os.listdir(self.path("out")) if name.endswith(".done")]), 5)

    def test_pictures(self):
        write_wav(self.path("in.wav"), [sine(5000, 440, 48000)])
        self.coil("plot", "in.wav", "in.wav", "-o", "p" * 251 + ".png")
        self.assertIn("p" * 251 + ".png", self.names())

    def test_names_beyond_it(self):
        write_wav(self.path("in/" + "x" * 251 + ".wav"), [[0.25] * 3])
        self.process("in", "out", "--format", "flac", code=1)
        self.assertIn("File name too long", self.stderr)

    def test_a_killed_run_leaves_no_part_of_a_long_name(self):
        name = "x" * 251 + ".wav"
        write_wav(self.path("in/" + name), [[0.25] * 3])
        living = subprocess.Popen(
            [COIL, "process", "-", "-o", name, "-m", "../identity.safetensors"],
            cwd=self.path("out/x").parent,
            stdin=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        living.stdin.write(self.path("in/" + name).read_bytes()[:-4])
        living.stdin.flush()
        while not any(part.endswith(".part") for part in os.listdir(self.path("out"))):
            self.assertIsNone(living.poll())
        living.kill()
        living.wait()
        living.stdin.close()
        self.process("in", "out", "--resume")
        self.assertEqual([part for part in os.listdir(self.path("out")) if part.endswith(".part")], [])


class Trees(CoilTest):
    def test_what_cannot_be_read_is_said_and_fails(self):
        for name in ("a.wav", "sub/b.wav", "locked/c.wav", "sub/locked/d.wav"):
            write_wav(self.path("in/" + name), [[0.25]])
        for name in ("in/locked", "in/sub/locked"):
            os.chmod(self.path(name), 0)
            self.addCleanup(os.chmod, self.path(name), 0o755)
        lines = self.json_lines(self.process("in", "out", "--json", code=1, preexec_fn=without_privileges))
        self.assertEqual(sorted(line["in"] for line in lines), ["in/a.wav", "in/sub/b.wav"])
        self.assertTrue(all(line["status"] == "ok" for line in lines))
        for name in ("in/locked", "in/sub/locked"):
            self.assertIn(f"'{name}': cannot be read: Permission denied", self.stderr)
        self.assertIn("2 folders that cannot be read", self.stderr)
        self.process("in/locked", "out", code=1, preexec_fn=without_privileges)
        self.assertEqual(len(self.stderr.splitlines()), 1)

    def test_linked_folders_are_followed_once(self):
        for name in ("in/a.wav", "in/sub/b.wav", "elsewhere/c.wav", "elsewhere/deep/d.wav"):
            write_wav(self.path(name), [[0.25]])
        for link, target in (
            ("in/again", "sub"),
            ("in/there", "../elsewhere"),
            ("in/too", "../elsewhere"),
            ("in/up", ".."),
            ("in/sub/circle", ".."),
            ("elsewhere/back", "../in"),
            ("elsewhere/self", "."),
            ("in/linked.wav", "../elsewhere/c.wav"),
        ):
            os.symlink(target, self.path(link))
        lines = self.json_lines(self.process("in", "out", "--json"))
        # in/up links to the parent folder. The only new folder there is "elsewhere", which was already visited through
        # in/there.
        self.assertEqual(
            sorted(line["in"] for line in lines),
            ["in/a.wav", "in/linked.wav", "in/sub/b.wav", "in/there/c.wav", "in/there/deep/d.wav"],
        )
        self.assertEqual(len([name for name in self.names() if name.startswith("out/")]), 5)

    def test_links_that_lead_nowhere_fail(self):
        write_wav(self.path("in/a.wav"), [[0.25]])
        os.symlink("gone.wav", self.path("in/b.wav"))
        lines = self.json_lines(self.process("in", "out", "--json", code=1))
        self.assertEqual({line["in"]: line["status"] for line in lines}, {"in/a.wav": "ok", "in/b.wav": "failed"})

    def test_files_with_other_endings_are_counted(self):
        for name in ("in/a.wav", "in/sub/b.flac"):
            write_wav(self.path(name), [[0.25]])
        for name in ("in/a.m4a", "in/notes.txt", "in/sub/cover.jpg", "in/.hidden.txt"):
            self.path(name).write_bytes(b"")
        self.process("in", "out")
        self.assertIn("2 files: 2 processed, 0 failed", self.stderr)
        self.assertIn("left out: 3 files for the ending", self.stderr)
        self.process("in/sub", "out2")  # even if only one file remains
        self.assertIn("1 file: 1 processed", self.stderr)
        self.assertIn("left out: 1 file for the ending", self.stderr)

    def test_a_pipe_among_files_is_not_waited_for(self):
        write_wav(self.path("in/a.wav"), [[0.25]])
        os.mkfifo(self.path("in/b.wav"))
        self.process("in", "out", code=1)
        self.assertIn("in/b.wav", self.stderr)

    def test_a_file_as_output_of_a_folder(self):
        write_wav(self.path("in/a.wav"), [[0.25]])
        write_wav(self.path("b.wav"), [[0.5]])
        before = self.path("b.wav").read_bytes()
        for inputs in (["in"], ["in/a.wav", "in"]):
            self.coil("process", *inputs, "-o", "b.wav", "-m", "identity.safetensors", code=2)
            self.assertIn("is a file", self.stderr)
        self.assertEqual(self.path("b.wav").read_bytes(), before)


class EarlierOutputs(CoilTest):
    def setUp(self):
        super().setUp()
        for name in ("in/a.wav", "in/sub/b.wav"):
            write_wav(self.path(name), [[0.25] * 10])

    def inputs(self, *arguments):
        return sorted(
            line["in"]
            for line in self.json_lines(
                self.coil("process", *arguments, "-m", "identity.safetensors", "--resume", "--json")
            )
        )

    def test_in_another_format_beside_the_inputs(self):
        for run in range(2):
            self.assertEqual(self.inputs("in", "-o", "in", "--format", "flac"), ["in/a.wav", "in/sub/b.wav"])
        self.assertIn("2 done before", self.stderr)
        self.assertIn("left out: 2 outputs of earlier runs", self.stderr)
        self.assertEqual(self.inputs("in", "-o", "in", "--format", "aiff"), ["in/a.wav", "in/sub/b.wav"])
        self.assertEqual(self.inputs("in", "-o", "in/elsewhere"), ["in/a.wav", "in/sub/b.wav"])

    def test_in_a_sibling_folder(self):
        self.assertEqual(self.inputs(".", "-o", "one"), ["./in/a.wav", "./in/sub/b.wav"])
        self.assertEqual(self.inputs(".", "-o", "two"), ["./in/a.wav", "./in/sub/b.wav"])
        shutil.move(self.folder, str(self.folder) + "-moved")
        self.folder = self.folder.with_name(self.folder.name + "-moved")
        self.addCleanup(shutil.rmtree, self.folder)
        self.assertEqual(
            self.inputs(self.folder, "-o", "three"), [f"{self.folder}/in/a.wav", f"{self.folder}/in/sub/b.wav"]
        )

    def test_outputs_are_inputs_of_a_next_stage(self):
        self.inputs("in", "-o", "one")
        self.assertEqual(self.inputs("one", "-o", "two"), ["one/a.wav", "one/sub/b.wav"])
        self.assertNotIn("left out", self.stderr)

    def test_a_recording_in_the_place_of_an_output_is_an_input(self):
        self.inputs("in", "-o", "in", "--format", "flac")
        os.unlink(self.path("in/a.wav"))
        write_wav(self.path("new.wav"), [[0.5] * 20])
        self.process("new.wav", "in/a.flac")
        self.assertEqual(self.inputs("in", "-o", "out"), ["in/a.flac", "in/sub/b.wav"])

    def test_nothing_else_is_there(self):
        self.inputs("in", "-o", "in", "--format", "flac")
        for name in ("in/a.wav", "in/sub/b.wav"):
            os.unlink(self.path(name))
        self.coil("process", "in", "-o", "out", "-m", "identity.safetensors", "--resume", code=2)
        self.assertIn("outputs of earlier runs", self.stderr)


class EarlierOutputsWithoutMarks(CoilTest):
    """Even without --resume, a run does not process the outputs of earlier runs from the same recordings."""

    def setUp(self):
        super().setUp()
        for name in ("in/a.wav", "in/sub/b.wav"):
            write_wav(self.path(name), [[0.25] * 10])
        try:
            os.setxattr(self.path("in/a.wav"), "user.coil.test", b"")
        except OSError as error:
            self.skipTest(f"no extended attributes here: {error}")

    def inputs(self, *arguments, code=0):
        return sorted(
            line["in"]
            for line in self.json_lines(
                self.coil("process", *arguments, "-m", "identity.safetensors", "--json", code=code)
            )
        )

    def test_the_second_run_does_what_the_first_did(self):
        for arguments in (
            ["in", "-o", "in", "--format", "flac"],
            ["in", "-o", "in/out"],
            ["in", "-o", "in/other"],
            [".", "-o", "one"],
            [".", "-o", "two"],
            ["in", "-o", "three", "--format", "aiff"],
        ):
            runs = []
            for run in range(2):
                runs.append(self.inputs(*arguments))
                runs.append(self.names())
            self.assertEqual(runs[:2], runs[2:], arguments)
            self.assertEqual([name[-8:] for name in runs[0]], ["in/a.wav", "ub/b.wav"])
        self.assertIn("outputs of earlier runs", self.stderr)

    def test_one_beside_its_input(self):
        self.process("in/a.wav", "in/a_driven.wav")
        self.assertEqual(self.inputs("in", "-o", "out"), ["in/a.wav", "in/sub/b.wav"])
        self.assertIn("left out: 1 output of earlier runs", self.stderr)
        self.assertEqual(
            self.inputs("in/a_driven.wav", "in/a.wav", "-o", "out"), ["in/a.wav", "in/a_driven.wav"]
        )  # given by name

    def test_names_that_a_shell_found(self):
        write_wav(self.path("in/c.wav"), [[0.25] * 10])
        for run in range(2):
            names = sorted(f"in/{name}" for name in os.listdir(self.path("in")) if name != "sub")
            self.assertEqual(len(names), 2 + 2 * run)
            self.assertEqual(self.inputs(*names, "-o", "in", "--format", "flac"), ["in/a.wav", "in/c.wav"])

    def test_recordings_are_inputs(self):
        self.inputs("in", "-o", "in", "--format", "flac")
        write_wav(self.path("new.wav"), [[0.5] * 20])
        self.process("new.wav", "in/a.flac")  # replaced by another file
        os.unlink(self.path("in/sub/b.wav"))  # now its output is the only copy
        self.assertEqual(self.inputs("in", "-o", "out", "--format", "aiff", code=2), [])  # both would become out/a.aiff
        os.unlink(self.path("in/a.wav"))
        self.assertEqual(self.inputs("in", "-o", "out", "--format", "aiff"), ["in/a.flac", "in/sub/b.flac"])

    def test_a_recording_is_not_replaced(self):
        write_wav(self.path("in/a.flac"), [[0.5] * 20])
        before = self.path("in/a.flac").read_bytes()
        self.assertEqual(self.inputs("in", "-o", "in", "--format", "flac", code=2), [])
        self.assertIn("replace an input", self.stderr)
        self.assertEqual(self.path("in/a.flac").read_bytes(), before)


class Outputs(CoilTest):
    def setUp(self):
        super().setUp()
        write_wav(self.path("in.wav"), [noise(50000, seed=1)])

    def test_links_are_written_through(self):
        self.path("store/old.wav").write_bytes(b"old")
        os.symlink("store/old.wav", self.path("out.wav"))
        os.symlink("store/new.wav", self.path("new.wav"))
        os.symlink("store/p.png", self.path("p.png"))
        os.symlink("store", self.path("folder"))
        for name in ("out.wav", "new.wav", "folder/third.wav"):
            self.process("in.wav", name)
        self.coil("plot", "in.wav", "in.wav", "-o", "p.png")
        for name in ("out.wav", "new.wav", "p.png", "folder"):
            self.assertTrue(self.path(name).is_symlink(), name)
        for name in ("old", "new", "third"):
            self.assertEqual(Wav(self.path(f"store/{name}.wav")).frames, 50000)
        self.assertEqual(self.path("store/p.png").read_bytes()[:4], b"\x89PNG")
        self.assertEqual(sorted(os.listdir(self.path("store"))), ["new.wav", "old.wav", "p.png", "third.wav"])

    def test_links_to_an_input_or_to_one_file_are_refused(self):
        os.symlink("in.wav", self.path("out.wav"))
        self.process("in.wav", "out.wav", code=2)
        self.assertIn("replace an input", self.stderr)
        write_wav(self.path("in/a.wav"), [[0.25]])
        write_wav(self.path("in/b.wav"), [[0.25]])
        self.path("out/x")
        for name in "ab":
            os.symlink("../one.wav", self.path(f"out/{name}.wav"))
        self.process("in", "out", code=2)
        self.assertIn("would both be written", self.stderr)

    def test_marks_of_linked_outputs(self):
        write_wav(self.path("in/a.wav"), [[0.25]])
        self.path("store/x")
        self.path("out/x")
        os.symlink("../store/a.wav", self.path("out/a.wav"))
        for run in range(2):
            self.process("in", "out", "--resume")
        self.assertIn("1 done before", self.stderr)

    def test_read_only_files_are_refused(self):
        for name in ("kept.wav", "kept.png", "kept.html"):
            self.path(name).write_bytes(b"kept")
            os.chmod(self.path(name), 0o444)
        write_wav(self.path("in/kept.wav"), [[0.25]])
        self.process("in.wav", "kept.wav", code=1)
        self.assertIn("'kept.wav': cannot be written: is read-only", self.stderr)
        self.process("in", ".", code=1)
        self.coil("plot", "in.wav", "in.wav", "-o", "kept.png", code=1)
        records = b"".join(b'{"time": %d, "value": %d}\n' % (i, i % 7) for i in range(50))
        self.coil("stream", "--plot", "kept.html", input=records, code=1)
        for name in ("kept.wav", "kept.png", "kept.html"):
            self.assertEqual(self.path(name).read_bytes(), b"kept")
        self.assertEqual([name for name in self.names() if name.endswith(".part")], [])
        self.assertEqual(len(self.stderr.splitlines()), 1)

    def test_permissions_of_an_older_file_are_kept(self):
        self.path("out.wav").write_bytes(b"private")
        os.chmod(self.path("out.wav"), 0o600)
        self.process("in.wav", "out.wav")
        self.assertEqual(stat.S_IMODE(os.stat(self.path("out.wav")).st_mode), 0o600)

    def test_devices_and_pipes(self):
        self.process("in.wav", "/dev/null")
        self.process("in.wav", "/dev/null", "--format", "flac")
        self.coil("plot", "in.wav", "in.wav", "-o", "/dev/null")
        self.coil("stream", "--plot", "/dev/null", input=b'{"time": 1, "value": 1}\n{"time": 2, "value": 1}\n')
        for arguments in ([], ["--format", "flac"]):
            self.process("in.wav", "/dev/full", *arguments, code=1)
            self.assertIn("'/dev/full': writing failed: No space left on device", self.stderr)
        self.coil("plot", "in.wav", "in.wav", "-o", "/dev/full", code=1)
        self.assertTrue(stat.S_ISCHR(os.stat("/dev/null").st_mode) and stat.S_ISCHR(os.stat("/dev/full").st_mode))
        self.process("in.wav", "/dev/null", "--resume", code=2)
        self.assertFalse(os.path.exists("/dev/.null.done"))
        self.path("list.jsonl").write_text('{"input": "in.wav", "output": "/dev/null"}\n' * 2)
        self.coil("process", "--manifest", "list.jsonl", "-m", "identity.safetensors")
        self.process("in.wav", "out.wav")
        expected = Wav(self.path("out.wav")).channels
        os.mkfifo(self.path("pipe"))
        for arguments, magic in (([], b"RIFF"), (["--format", "aiff"], b"FORM")):
            got = []
            reader = threading.Thread(target=lambda: got.append(self.path("pipe").read_bytes()))
            reader.start()
            self.process("in.wav", "pipe", *arguments)
            reader.join()
            self.assertEqual(got[0][:4], magic)
        self.process("in.wav", "out.aiff")
        self.assertEqual(got[0], self.path("out.aiff").read_bytes())
        with open(self.path("shell.wav"), "wb") as shell:
            subprocess.run(
                [COIL, "process", "in.wav", "-o", "/dev/stdout", "-m", "identity.safetensors", "-q"],
                cwd=self.folder,
                stdout=shell,
                check=True,
            )
        self.assertEqual(Wav(self.path("shell.wav")).channels, expected)

    def test_a_limit_on_file_sizes(self):
        for name in ("out.wav", "out.flac", "out.ogg", "out.mp3", "out.aiff", "out.caf"):
            with self.subTest(name):
                self.process("in.wav", name, code=1, preexec_fn=smallest_files)
                self.assertEqual(self.stderr.splitlines(), [f"coil: error: '{name}': writing failed: File too large"])
        self.coil("plot", "in.wav", "in.wav", "-o", "out.png", code=1, preexec_fn=smallest_files)
        records = b"".join(b'{"time": %d, "value": %d}\n' % (i, i % 7) for i in range(500))
        self.coil("stream", "--plot", "out.html", input=records, code=1, preexec_fn=smallest_files)
        self.coil("stream", "--state", "out.state", input=records, code=1, preexec_fn=smallest_files)
        self.assertEqual(len(self.stderr.splitlines()), 1, self.stderr)
        self.assertEqual([name for name in self.names() if name.startswith(".")], [])
        self.assertEqual([name for name in self.names() if name.startswith("out") and not name.endswith(".series")], [])

    def mount(self, command, why):
        """The folder "disk", with its own mounted file system."""
        disk = self.path("disk/x").parent
        mounted = subprocess.run([*command, disk], capture_output=True)
        if mounted.returncode != 0:
            self.skipTest(f"{why} cannot be mounted: {mounted.stderr.decode().strip()}")
        self.addCleanup(subprocess.run, ["umount", "-l", disk])

    def test_a_full_disk(self):
        self.mount(["mount", "-t", "tmpfs", "-o", "size=8k", "tmpfs"], "a small disk")
        for name in ("out.wav", "out.flac", "out.ogg", "out.mp3"):
            self.process("in.wav", "disk/" + name, code=1)
            self.assertEqual(
                self.stderr.splitlines(), [f"coil: error: 'disk/{name}': writing failed: No space left on device"]
            )
        self.coil("plot", "in.wav", "in.wav", "-o", "disk/out.png", code=1)
        self.assertEqual(os.listdir(self.path("disk")), [])

    def test_names_that_differ_in_case_alone(self):
        for name in ("in/A.wav", "in/a.wav"):
            write_wav(self.path(name), [[0.25]])
        self.process("in", "out")  # two different files on this file system
        self.assertEqual(sorted(os.listdir(self.path("out"))), ["A.wav", "a.wav"])
        if shutil.which("mkntfs") is None or shutil.which("lowntfs-3g") is None:
            self.skipTest("no file system that takes capital and small letters for the same: ntfs-3g is missing")
        with open(self.path("image"), "wb") as image:
            image.truncate(4 << 20)
        subprocess.run(["mkntfs", "-q", "-F", self.path("image")], capture_output=True, check=True)
        self.mount(["lowntfs-3g", "-o", "ignore_case", self.path("image")], "a file system that ignores case")
        self.process("in", "disk/out", code=2)
        self.assertIn("'in/A.wav' and 'in/a.wav' would both be written to 'disk/out/a.wav'", self.stderr)
        self.assertEqual(os.listdir(self.path("disk")), [])
        write_wav(self.path("disk/a.wav"), [[0.25]])
        self.process("disk/a.wav", "disk/A.wav", code=2)
        self.assertIn("replace an input", self.stderr)
        self.process("in/a.wav", "disk/A.wav")


if __name__ == "__main__":
    import unittest

    unittest.main()
