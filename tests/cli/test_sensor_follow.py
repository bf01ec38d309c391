"""`coil stream --follow`: files that grow, are rotated, truncated and made anew, over restarts and kill -9; and
files with --resume.
"""

import gzip
import json
import os
import random
import resource
import shutil
import subprocess
import time

from brokers import wait_until
from support import COIL, CoilTest, sensor_lines, write_forecaster


class Follow(CoilTest):
    def setUp(self):
        super().setUp()
        self.model = self.path("forecaster.safetensors")
        write_forecaster(self.model)
        self.runs = 0

    def expected(self, lines, *arguments):
        """The output without files, rotation and restarts."""
        return self.coil("stream", "-m", self.model, *arguments, input=b"".join(lines)).splitlines(keepends=True)

    def follow(self, *arguments, **options):
        """A running stream that writes its results to a file."""
        self.runs += 1
        self.output = self.path(f"results/{self.runs}")
        with open(self.output, "wb") as output:
            process = subprocess.Popen(
                [COIL, "stream", "-m", str(self.model), *map(str, arguments)],
                cwd=self.folder,
                stdout=output,
                stderr=subprocess.PIPE,
                stdin=subprocess.DEVNULL,
                **options,
            )
        self.addCleanup(self.kill, process)
        return process

    @staticmethod
    def kill(process):
        process.kill()
        process.wait()
        process.stderr.close()

    def results(self):
        return self.output.read_bytes().splitlines(keepends=True)

    def wait_for(self, count):
        wait_until(lambda: len(self.results()) >= count, lambda: f"{count} results, there are {len(self.results())}")

    def end(self, process):
        """Ends it as systemd does; returns its messages."""
        process.terminate()
        said = process.communicate(timeout=30)[1].decode()
        self.assertEqual(process.returncode, 130, said)
        return said

    def run_until(self, count, *arguments):
        """Follows until there are `count` results, then ends the stream; returns results and messages."""
        process = self.follow(*arguments)
        self.wait_for(count)
        said = self.end(process)
        self.assertEqual(len(self.results()), count)
        return self.results(), said

    def append(self, name, data):
        with open(self.path(name), "ab") as file:
            file.write(b"".join(data) if isinstance(data, list) else data)

    def rotate(self, name, by_copy=False):
        """Rotates like logrotate: NAME.2 to NAME.3, NAME.1 to NAME.2, NAME to NAME.1."""
        for number in range(30, 0, -1):
            if self.path(f"{name}.{number}").exists():
                os.rename(self.path(f"{name}.{number}"), self.path(f"{name}.{number + 1}"))
        if by_copy:
            shutil.copyfile(self.path(name), self.path(f"{name}.1"))
            os.truncate(self.path(name), 0)
        else:
            os.rename(self.path(name), self.path(f"{name}.1"))
            self.path(name).touch()

    def test_kill_at_random_moments_while_the_file_grows_and_is_rotated(self):
        lines = sensor_lines(sensors=5, records=300, seed=4)
        expected = self.expected(lines, "--key", "sensor")
        text = b"".join(lines)
        for by_copy in (False, True):
            with self.subTest(by_copy=by_copy):
                rng = random.Random(1)
                name = f"{by_copy}/meters.ndjson"
                arguments = [
                    "--follow",
                    name,
                    "--key",
                    "sensor",
                    "--state",
                    f"state{by_copy}",
                    "--checkpoint-every",
                    "23",
                ]
                self.path(name).touch()
                written, place, process = [], 0, self.follow(*arguments)
                wait_until(self.path(f"state{by_copy}").exists, "the first state")
                while place < len(text):
                    end = min(len(text), place + rng.randrange(1, 6000))  # also in the middle of a line
                    if rng.random() < 0.3:
                        end = text.index(b"\n", end - 1) + 1
                    self.append(name, text[place:end])
                    place = end
                    time.sleep(rng.choice((0, 0.03)))
                    if rng.random() < 0.3:
                        process.kill()
                        self.assertEqual(process.communicate()[1], b"")
                        written.append(self.results())
                        process = self.follow(*arguments)
                    if text[place - 1 : place] == b"\n":
                        self.rotate(name, by_copy)
                wait_until(
                    lambda: self.results()[-1:] == expected[-1:],
                    lambda: f"the last record; {len(self.results())} results",
                )
                self.assertEqual(self.end(process), "")
                written.append(self.results())
                self.assertGreater(len(written), 5)
                self.check_union(written, expected)

    def compress(self, name):
        """Compresses like logrotate's `compress`."""
        with open(self.path(name), "rb") as plain, gzip.open(self.path(name + ".gz"), "wb") as packed:
            shutil.copyfileobj(plain, packed)
        os.unlink(self.path(name))

    def test_rotated_and_compressed_while_nobody_looked(self):
        lines = sensor_lines(sensors=1, records=90, seed=1)
        expected = self.expected(lines)
        arguments = ["--follow", "f", "--state", "s"]
        self.append("f", lines[:30] + [lines[30][:20]])
        got, said = self.run_until(30, *arguments)
        self.append("f", [lines[30][20:]] + lines[31:40])
        os.rename(self.path("f"), self.path("f.3"))
        self.compress("f.3")
        self.append("f.2", b"another file\n" * 1000)
        self.compress("f.2")
        os.utime(self.path("f.2.gz"), (1, 1))
        self.append("f.1", lines[40:60])
        self.append("f", lines[60:70])
        more, said_then = self.run_until(40, *arguments)
        self.assertEqual(got + more, expected[:70])
        self.assertEqual(said + said_then, "")
        self.append("f", lines[70:])  # its position is known again
        more, said = self.run_until(20, *arguments)
        self.assertEqual((more, said), (expected[70:], ""))

    def test_rotated_and_compressed_before_it_was_begun(self):
        lines = sensor_lines(sensors=1, records=90, seed=1)
        expected = self.expected(lines)
        for runs in (1, 2):  # the second run ends while it reads a compressed file
            with self.subTest(runs=runs):
                name = f"{runs}/f"
                arguments = ["--follow", name, "--state", f"{runs}/s", "--checkpoint-every", "7"]
                self.append(f"{name}.9", b"older than the first start\n")
                self.compress(f"{name}.9")
                os.utime(self.path(f"{name}.9.gz"), (1, 1))
                self.append(name, lines[:30])
                got, said = self.run_until(30, *arguments)
                for number, part in ((3, lines[30:45]), (2, lines[45:60])):
                    self.append(f"{name}.{number}", part)
                os.rename(self.path(name), self.path(f"{name}.4"))
                for number in (4, 3, 2):
                    self.compress(f"{name}.{number}")
                    os.utime(self.path(f"{name}.{number}.gz"), (time.time() + 10 - number,) * 2)
                self.append(f"{name}.1", lines[60:70])
                os.utime(self.path(f"{name}.1"), (time.time() + 20,) * 2)
                self.append(name, lines[70:80])
                os.utime(self.path(name), (time.time() + 30,) * 2)
                if runs == 2:
                    process = self.follow(*arguments)
                    wait_until(lambda: self.results(), "a result")
                    self.kill(process)
                    self.check_union([got, self.results(), self.run_until_end(expected[79], *arguments)], expected[:80])
                else:
                    more, said_then = self.run_until(50, *arguments)
                    self.assertEqual((got + more, said + said_then), (expected[:80], ""))
                self.append(name, lines[80:])
                more, said = self.run_until(10, *arguments)
                self.assertEqual((more, said), (expected[80:], ""))

    def test_a_new_file_with_the_number_of_one_that_was_compressed(self):
        """The system reuses the number of a deleted file: it looks as if the same file had been truncated and
        rewritten."""
        lines = sensor_lines(sensors=1, records=80, seed=1)
        expected = self.expected(lines)
        self.append("f", lines[:30])
        arguments = ["--follow", "f", "--state", "s", "--checkpoint-every", "7"]
        got, said = self.run_until(30, *arguments)
        for number, part in ((4, lines[:30]), (3, lines[30:45]), (2, lines[45:60])):
            self.append(f"f.{number}", part)
            self.compress(f"f.{number}")
            os.utime(self.path(f"f.{number}.gz"), (time.time() + 10 - number,) * 2)
        self.append("f.1", lines[60:70])
        os.utime(self.path("f.1"), (time.time() + 20,) * 2)
        self.path("f").write_bytes(b"".join(lines[70:80]))  # keeps its number
        os.utime(self.path("f"), (time.time() + 30,) * 2)
        more, said_then = self.run_until(50, *arguments)
        self.assertEqual((got + more, said + said_then), (expected, ""))

    def run_until_end(self, last, *arguments):
        """Follows until there is this result; returns the results."""
        process = self.follow(*arguments)
        wait_until(lambda: self.results()[-1:] == [last], lambda: f"{last}, there are {len(self.results())} results")
        self.end(process)
        return self.results()

    def test_a_compressed_file_is_followed(self):
        lines = sensor_lines(sensors=1, records=40, seed=1)
        expected = self.expected(lines)
        self.append("f", b"".join(lines[:30]).rstrip(b"\n"))
        self.compress("f")
        arguments = ["--follow", "f.gz", "--state", "s"]
        got, said = self.run_until(30, *arguments)
        self.assertEqual((got, said), (expected[:30], ""))
        with gzip.open(self.path("f.gz"), "ab") as more:
            more.write(b"\n" + b"".join(lines[30:]))
        got, said = self.run_until(10, *arguments)
        self.assertEqual((got, said), (expected[30:], ""))

    def test_what_was_rotated_and_cannot_be_unpacked_is_said(self):
        lines = sensor_lines(sensors=1, records=50, seed=1)
        arguments = ["--follow", "f", "--state", "s"]
        self.append("f", lines[:30])
        got, _ = self.run_until(30, *arguments)
        self.append("f", lines[30:40])
        os.rename(self.path("f"), self.path("f.1"))
        self.compress("f.1")
        os.truncate(self.path("f.1.gz"), 100)
        self.append("f", lines[40:])
        more, said = self.run_until(10, *arguments)
        self.assertEqual(len(more), 10)
        self.assertRegex(said, "cannot be found any more|written anew")  # if the file system reuses its number

    def test_compressed_and_its_number_given_to_the_next(self):
        lines = sensor_lines(sensors=1, records=60, seed=1)
        arguments = ["--follow", "f", "--state", "s"]
        self.append("f", lines[:30])
        got, _ = self.run_until(30, *arguments)
        self.append("f", lines[30:40])
        shutil.copyfile(self.path("f"), self.path("f.1"))
        self.compress("f.1")
        self.path("f").write_bytes(b"".join(lines[40:]))
        more, said = self.run_until(30, *arguments)
        self.assertEqual((got + more, said), (self.expected(lines), ""))

    def test_rotated_several_times_while_nobody_looked(self):
        lines = sensor_lines(sensors=1, records=120, seed=1)
        expected = self.expected(lines)
        for by_copy in (False, True):
            with self.subTest(by_copy=by_copy):
                name, arguments = f"{by_copy}/f", ["--follow", f"{by_copy}/f", "--state", f"s{by_copy}"]
                self.append(name + ".1", b"older, and never asked for\n")
                self.append(name, lines[:30])
                got, said = self.run_until(30, *arguments)
                for begin in (30, 50, 70):
                    self.append(name, lines[begin : begin + 20])
                    self.rotate(name, by_copy)
                self.append(name, lines[90:])
                more, said_then = self.run_until(90, *arguments)
                self.assertEqual((got + more, said + said_then), (expected, ""))

    def test_who_writes_may_go_on_with_the_renamed_file(self):
        lines = sensor_lines(sensors=1, records=60, seed=1)
        expected = self.expected(lines)
        self.append("f", lines[:20] + [lines[20][:10]])
        process = self.follow("--follow", "f", "--state", "s")
        self.wait_for(20)
        self.rotate("f")
        self.append("f.1", [lines[20][10:], *lines[21:40]])
        self.wait_for(40)
        self.append("f", lines[40:])
        self.wait_for(60)
        self.assertEqual((self.end(process), self.results()), ("", expected))

    def test_truncated_and_written_anew(self):
        lines = sensor_lines(sensors=1, records=90, seed=1)
        expected = self.expected(lines)
        self.append("f", lines[:30])
        process = self.follow("--follow", "f", "--state", "s")
        self.wait_for(30)
        self.path("f").write_bytes(b"".join(lines[30:32]))  # shorter than before
        self.wait_for(32)
        self.path("f").write_bytes(b"".join(lines[32:60]))  # longer, with other bytes at the old end
        self.wait_for(60)
        said = self.end(process)
        got = self.results()
        self.path("f").write_bytes(b"".join(lines[60:]))
        more, said_then = self.run_until(30, "--follow", "f", "--state", "s")
        self.assertEqual(got + more, expected)
        self.assertEqual((said + said_then).count("truncated or written anew"), 3)

    def test_deleted_and_made_anew(self):
        lines = sensor_lines(sensors=1, records=90, seed=1)
        process = self.follow("--follow", "new/f", "--state", "s")
        self.assertIn("does not exist yet", process.stderr.readline().decode())
        for begin in (0, 30):
            self.append("part", lines[begin : begin + 30])
            os.makedirs(self.path("new"), exist_ok=True)
            os.rename(self.path("part"), self.path("new/f"))
            self.wait_for(begin + 30)
            os.unlink(self.path("new/f"))
        said, got = self.end(process), self.results()
        self.append("new/f", lines[60:])
        more, said_then = self.run_until(30, "--follow", "new/f", "--state", "s")
        self.assertEqual(got + more, self.expected(lines))
        self.assertEqual(said, "")
        self.assertIn("cannot be found any more", said_then)

    def test_a_line_waits_for_its_end(self):
        lines = sensor_lines(sensors=1, records=3, seed=1)
        self.append("f", [lines[0], lines[1][:20]])
        process = self.follow("--follow", "f", "--state", "s")
        self.wait_for(1)
        time.sleep(0.2)
        self.assertEqual((len(self.results()), self.end(process)), (1, ""))
        got = self.results()
        self.append("f", [lines[1][20:], lines[2]])
        self.assertEqual(got + self.run_until(2, "--follow", "f", "--state", "s")[0], self.expected(lines))

    def test_folders_and_patterns(self):
        lines = sensor_lines(sensors=1, records=80, seed=1)
        expected = self.expected(lines)
        self.append("logs/a.ndjson", lines[:10])
        self.append("logs/old.ndjson.gz", b"\x1f\x8b")
        self.append("logs/.hidden.ndjson", b"?\n")
        for names in (["logs"], ["logs/*.ndjson"], ["logs/a.ndjson", "logs/b*", "logs/[c-z]*on"]):
            with self.subTest(names):
                for name in ("b", "c", "d"):
                    self.path(f"logs/{name}.ndjson").unlink(missing_ok=True)
                self.path("s").unlink(missing_ok=True)
                self.path("logs/a.ndjson").write_bytes(b"".join(lines[:10]))
                process = self.follow("--follow", *names, "--state", "s")
                self.wait_for(10)
                self.append("logs/b.ndjson", lines[10:20])
                self.wait_for(20)
                self.append("logs/a.ndjson", lines[20:30])
                self.wait_for(30)
                os.rename(self.path("logs/b.ndjson"), self.path("logs/d.ndjson"))
                self.append("logs/d.ndjson", lines[30:40])
                self.wait_for(40)
                got, said = self.results(), self.end(process)
                self.append("logs/a.ndjson", lines[40:50])
                self.append("logs/d.ndjson", lines[50:60])
                self.append("logs/c.ndjson", lines[60:70])
                process = self.follow("--follow", *names, "--state", "s")
                self.wait_for(30)
                self.append("logs/c.ndjson", lines[70:])
                self.wait_for(40)
                said += self.end(process)
                self.assertEqual(got + self.results(), expected)
                self.assertEqual(said.count("\n"), 2 * (names == ["logs"]), said)
                self.assertEqual("compressed files are not read" in said, names == ["logs"])

    def test_a_folder_whose_files_are_rotated(self):
        lines = sensor_lines(sensors=1, records=90, seed=1)
        for by_copy in (False, True):
            with self.subTest(by_copy=by_copy):
                arguments = ["--follow", f"logs{by_copy}", "--state", f"s{by_copy}"]
                name = f"logs{by_copy}/a"
                self.append(name, lines[:20])
                process = self.follow(*arguments)
                self.wait_for(20)
                for begin in (20, 40):
                    self.rotate(name, by_copy)
                    self.append(name, lines[begin : begin + 20])
                    self.wait_for(begin + 20)
                said, got = self.end(process), self.results()
                self.rotate(name, by_copy)
                self.append(name, lines[60:])
                more, said_then = self.run_until(30, *arguments)
                self.assertEqual((got + more, said + said_then), (self.expected(lines), ""))

    def test_more_files_than_descriptors(self):
        lines = sensor_lines(sensors=1, records=700, seed=1)
        for i in range(300):
            self.append(f"many/{i:03}.ndjson", [lines[2 * i][:9]])
            os.utime(self.path(f"many/{i:03}.ndjson"), (i + 1, i + 1))
        few = {"preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))}
        process = self.follow("--follow", "many", "--state", "s", **few)
        for i in range(300):
            self.append(f"many/{i:03}.ndjson", [lines[2 * i][9:], lines[2 * i + 1]])
        self.wait_for(600)
        self.assertEqual(self.end(process), "")
        first = self.results()
        process = self.follow("--follow", "many", "--state", "s", **few)
        for i in range(100):
            self.append(f"many/{3 * i:03}.ndjson", [lines[600 + i]])
        self.wait_for(100)
        self.assertEqual(self.end(process), "")
        came = sorted(json.loads(line)["time"] for line in first + self.results())
        self.assertEqual(came, [json.loads(line)["time"] for line in lines])

    def rows(self, begin, end):
        return [f"{1700000000 + 60 * t},a{t % 2},{t % 7},x\n".encode() for t in range(begin, end)]

    def test_csv_has_a_header_in_every_file(self):
        header = b"time,sensor,value,note\n"
        expected = self.expected([header, *self.rows(0, 90)], "--key", "sensor")
        arguments = ["--follow", "f.csv", "--state", "s", "--key", "sensor"]
        self.append("f.csv", [header, *self.rows(0, 20)])
        process = self.follow(*arguments)
        self.wait_for(21)
        self.rotate("f.csv")
        self.append("f.csv", [header, *self.rows(20, 30)])  # repeats its header
        self.wait_for(31)
        self.rotate("f.csv", by_copy=True)
        self.append("f.csv", self.rows(30, 40))  # without a header
        self.wait_for(41)
        got, said = self.results(), self.end(process)
        self.rotate("f.csv")
        moved = [b",".join(row.strip().split(b",")[i] for i in (3, 2, 1, 0)) + b"\n" for row in self.rows(40, 70)]
        self.append("f.csv", [b"note,value,sensor,time\n", *moved[:15]])  # in another order
        more, said_then = self.run_until(25 - 10, *arguments)
        self.append("f.csv", moved[15:])
        last, said_last = self.run_until(15, *arguments)
        self.assertEqual((said + said_then + said_last, got + more + last), ("", expected[:71]))
        self.rotate("f.csv")
        wide = [row.strip() + b",7\n" for row in self.rows(70, 90)]
        self.append("f.csv", [b"time,sensor,value,note,extra\n", *wide])  # with a new column
        more, said = self.run_until(20, *arguments)
        self.assertEqual(more, expected[71:])
        self.assertIn("'extra'", said)
        self.assertEqual(len(said.splitlines()), 1)

    def test_malformed_lines_are_named_with_their_files(self):
        self.append("logs/a", b'{"value":1}\n?\n')
        self.append("logs/b", b'\n\n{"value":\n')
        process = self.follow("--follow", "logs/a", "logs/b")
        wait_until(lambda: len(self.results()) == 1, "one result")
        said = self.end(process)
        self.assertIn("logs/a: line 2", said)
        self.assertIn("logs/b: line 3", said)

    def test_what_cannot_be_followed(self):
        self.append("f.xz", b"\xfd7zXZ\0")
        os.mkfifo(self.path("pipe"))
        for words, arguments, code in (
            (["f.xz", "compressed"], ["--follow", "f.xz"], 1),
            (["pipe", "not a regular file"], ["--follow", "pipe"], 1),
            (["one source"], ["--follow", "f", "--mqtt", "localhost/t"], 2),
            (["one source"], ["f", "--follow", "f"], 2),
        ):
            with self.subTest(arguments):
                self.coil("stream", "-m", self.model, *arguments, code=code, input=b"")
                self.assertEqual(len(self.stderr.splitlines()), 1, self.stderr)
                for word in words:
                    self.assertIn(word, self.stderr)
        with open(self.path("both"), "w") as output:
            done = subprocess.run(
                [COIL, "stream", "-m", self.model, "--follow", "both"],
                cwd=self.folder,
                stdout=output,
                stderr=subprocess.PIPE,
            )
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"results go", done.stderr)

    def test_a_pipe_that_begins_again_loses_nothing(self):
        """When `tail -F FILE | coil stream` is restarted, it starts with the last ten lines."""
        csv = [b"time,sensor,value,note\n", *self.rows(0, 60)]
        for lines, resume in (
            (sensor_lines(sensors=1, records=60, seed=1), []),
            (sensor_lines(sensors=1, records=60, seed=1), ["--resume"]),
            (csv, []),
            (csv, ["--resume"]),
        ):
            with self.subTest(first=lines[0], resume=resume):
                self.path("s").unlink(missing_ok=True)
                key = ["--key", "sensor", "--state", "s", *resume]
                expected = self.expected(lines, "--key", "sensor")
                first = self.coil("stream", "-m", self.model, *key, input=b"".join(lines[:30])).splitlines(
                    keepends=True
                )
                then = self.coil("stream", "-m", self.model, *key, input=b"".join(lines[20:])).splitlines(keepends=True)
                self.assertEqual(first, expected[:30])
                for line, result in zip(lines[30:], then[30 - len(lines) :], strict=True):
                    self.assertTrue(result.startswith(line.rstrip(b"}\n")), result)
                self.assertEqual("a pipe begins where it begins" in self.stderr, bool(resume))

    def test_resume_is_for_the_file_of_the_state(self):
        lines = sensor_lines(sensors=1, records=60, seed=1)
        expected = self.expected(lines)
        coil = ["stream", "-m", self.model, "--state", "s", "--resume"]
        self.append("f", lines[:20])
        self.append("f", lines[20][:-1])  # the last line counts without a line end
        got = self.coil(*coil, "f")
        self.append("f", [b"\n", *lines[21:40]])
        with open(self.path("f"), "rb") as file:
            got += self.coil(*coil, stdin=file)
        self.append("f", lines[40:])
        got += self.coil(*coil, "f")
        self.assertEqual(got.splitlines(keepends=True), expected)
        self.assertEqual(self.coil(*coil, "f"), b"")
        for content in (b"".join(lines)[:-20], b"".join(lines[30:]) * 3):
            self.path("f").write_bytes(content)
            self.coil(*coil, "f", code=1)
            self.assertIn("is not the file that the state has seen up to byte", self.stderr)
            self.assertEqual(len(self.stderr.splitlines()), 1)
        self.coil("stream", "-m", self.model, "--state", "s", "f")
