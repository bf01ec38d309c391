"""`coil stream` keeps its state: checkpoints, kill -9 at any moment, damaged files, sensors that move to disk and
back.

"""

import lzma
import math
import os
import pathlib
import random
import signal
import subprocess
import time

from support import COIL, CoilTest, sensor_lines, write_forecaster

CASES = pathlib.Path(__file__).resolve().parents[1] / "cases"


class SensorState(CoilTest):
    def setUp(self):
        super().setUp()
        self.model = self.path("forecaster.safetensors")
        write_forecaster(self.model)
        self.common = ["stream", "-m", self.model, "--key", "sensor"]

    def stream(self, text, *arguments, **options):
        return self.coil(*self.common, *arguments, input=text, **options)

    def stream_file(self, text, *arguments, **options):
        """The same from a file, which can be read from any position."""
        self.path("input").write_bytes(text)
        with open(self.path("input"), "rb") as file:
            return self.coil(*self.common, *arguments, stdin=file, **options)

    def test_kill_at_random_moments(self):
        rng = random.Random(7)
        lines = sensor_lines(sensors=9, records=400, seed=3, gaps=True)
        self.path("input").write_bytes(b"".join(lines))
        expected = self.stream(b"".join(lines), "--reorder", "2", "--state", "uninterrupted").splitlines(keepends=True)
        for trial in range(6):
            state = self.path(f"state{trial}")
            written, kills = [], 0
            while True:
                arguments = [
                    *self.common,
                    "--reorder",
                    "2",
                    "--state",
                    state,
                    "--resume",
                    "--checkpoint-every",
                    "37",
                    "--threads",
                    str(1 + trial % 2),
                ]
                if trial % 3 == 2:
                    arguments += ["--max-series", "3"]
                killed = kills < 8
                with open(self.path("input"), "rb") as source, open(self.path("out"), "wb") as output:
                    process = subprocess.Popen(
                        [COIL, *map(str, arguments)],
                        cwd=self.folder,
                        stdin=source,
                        stdout=output,
                        stderr=subprocess.PIPE,
                    )
                if killed:
                    time.sleep(rng.uniform(0, 0.05))
                    process.kill()
                errors = process.communicate(timeout=120)[1]
                if killed and process.returncode == 0:  # it had finished before
                    killed = False
                self.assertEqual((process.returncode, errors), (-signal.SIGKILL if killed else 0, b""))
                written.append(self.path("out").read_bytes().splitlines(keepends=True))
                if not killed:
                    break
                kills += 1
            self.check_union(written, expected)

    def test_end_by_signal_keeps_everything(self):
        lines = sensor_lines(sensors=3, records=100, seed=1)
        expected = self.stream(b"".join(lines))
        process = subprocess.Popen(
            [COIL, *map(str, self.common), "--state", "s", "--checkpoint-every", "1000s"],
            cwd=self.folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        process.stdin.write(b"".join(lines[:120]))
        process.stdin.flush()
        first = b"".join(process.stdout.readline() for _ in range(120))
        process.terminate()
        self.assertEqual(process.wait(timeout=30), 130)
        process.stdin.close()
        process.stdout.close()
        self.assertEqual(first + self.stream(b"".join(lines[120:]), "--state", "s"), expected)

    def test_without_resume_the_sensors_go_on_with_a_new_input(self):
        lines = sensor_lines(sensors=3, records=100, seed=1)
        expected = self.stream(b"".join(lines))
        first = self.stream(b"".join(lines[:150]), "--state", "s")
        self.assertEqual(first + self.stream(b"".join(lines[150:]), "--state", "s"), expected)

    def test_a_state_within_a_gap_or_after_a_clock_was_set_goes_on_to_the_bit(self):
        rng = random.Random(4)
        off = [0] * 150 + [-60] * 3 + [0] * 47 + [-100000] * 60  # minutes
        lines = []
        for t, by in enumerate(off):
            if 40 <= t < 60 or 180 <= t < 190:
                continue
            value = "null" if 120 <= t < 140 else round(10 * math.sin(t / 4) + rng.gauss(0, 1), 3)
            lines.append(f'{{"sensor":"a","time":{1700000000 + 60 * (t + by)},"value":{value}}}\n'.encode())
        expected = self.stream(b"".join(lines))
        self.assertNotIn(b'"late"', expected)
        for cut in (39, 40, 41, 110, 120, 130, 131, 132, 133, 134, 170, 171, len(lines) - 1):
            with self.subTest(cut):
                first = self.stream(b"".join(lines[:cut]), "--state", f"s{cut}")
                self.assertEqual(first + self.stream(b"".join(lines[cut:]), "--state", f"s{cut}"), expected)

    def test_a_state_of_version_4_is_read(self):
        """Numbers may differ in their last digits, because the state was made on another machine. It has no fitted
        bounds.
        """
        for name in ("forecaster.safetensors.xz", "state", "state.series.xz"):
            data = (CASES / "state_of_version_4" / name).read_bytes()
            self.path(name.removesuffix(".xz")).write_bytes(lzma.decompress(data) if name.endswith(".xz") else data)
        lines = sensor_lines(sensors=2, records=200, seed=11, gaps=True)
        common = ["stream", "-m", "forecaster.safetensors", "--key", "sensor", "--reorder", "2"]
        whole = self.coil(*common, "--state", "new", input=b"".join(lines))
        rest = self.coil(*common, "--state", "state", input=b"".join(lines[300:]))
        self.assertGreater(len(rest.splitlines()), 50)
        expected = self.json_lines(whole)[-len(rest.splitlines()) :]
        for result, wanted in zip(self.json_lines(rest), expected):
            for name, value in wanted.items():
                if name in ("value_low", "value_high"):
                    continue
                if name == "cause" and value:
                    self.assertEqual(result[name].split(", expected")[0], value.split(", expected")[0])
                elif isinstance(value, float):
                    self.assertAlmostEqual(result[name], value, delta=1e-3 * max(1, abs(value)), msg=name)
                else:
                    self.assertEqual(result[name], value, name)
        self.assertTrue(self.path("state").read_bytes().startswith(b"coil stream state 5\n"))

    def test_a_state_of_another_version_says_what_to_do(self):
        self.path("s").write_bytes(b"coil stream state 3\n" + bytes(100))
        self.coil("stream", "-m", self.model, "--state", "s", code=1, input=b"")
        self.assertIn("move it and 's.series' away, or name another one with --state", self.stderr)

    def test_csv_goes_on_without_a_second_header(self):
        text = "time,sensor,value\n" + "".join(f"{1700000000 + 60 * t},a,{t % 7}\n" for t in range(50))
        lines = text.encode().splitlines(keepends=True)
        expected = self.stream(text.encode())
        first = self.stream_file(b"".join(lines[:20]), "--state", "s", "--resume")
        self.assertEqual(first + self.stream_file(text.encode(), "--state", "s", "--resume"), expected)

    def test_sensors_move_to_disk_and_back_to_the_bit(self):
        text = b"".join(sensor_lines(sensors=40, records=30, seed=2))
        expected = self.stream(text)
        for arguments in (
            ["--max-series", "1"],
            ["--max-series", "5", "--threads", "2"],
            ["--max-series", "7", "--state", "s", "--checkpoint-every", "100"],
        ):
            with self.subTest(arguments):
                self.assertEqual(self.stream(text, *arguments, "--summary"), expected)
                self.assertRegex(self.stderr, r"evictions +\d\d")
                self.assertRegex(self.stderr, r"returns +\d\d")

    def test_bounds_go_on_as_they_were_fitted(self):
        lines = sensor_lines(sensors=6, records=60, seed=3)
        asked = ["--forecast", "2,9"]
        expected = self.stream(b"".join(lines), *asked)
        self.assertNotEqual(self.json_lines(expected)[-1]["value_forecast_9_low"], None)
        self.assertEqual(self.stream(b"".join(lines), *asked, "--max-series", "2"), expected)
        first = self.stream(b"".join(lines[:200]), *asked, "--state", "s")
        self.assertEqual(first + self.stream(b"".join(lines[200:]), *asked, "--state", "s"), expected)
        rest = self.json_lines(self.stream(b"".join(lines[:12]), "--forecast", "3", "--state", "s"))  # another horizon
        self.assertIn("value_forecast_3_low", rest[-1])

    def test_the_file_of_series_does_not_grow_without_end(self):
        lines = sensor_lines(sensors=10, records=400, seed=2)
        self.stream(b"".join(lines[:1000]), "--state", "s", "--checkpoint-every", "50", "--max-series", "3")
        before = os.path.getsize(self.path("s.series"))
        self.stream(b"".join(lines[1000:]), "--state", "s", "--checkpoint-every", "50", "--max-series", "3")
        self.assertLess(os.path.getsize(self.path("s.series")), 3 * before)

    def fails(self, words, *arguments, code=1):
        self.assertEqual(self.coil(*self.common, *arguments, input=b'{"sensor":"a","value":1}\n', code=code), b"")
        self.assertEqual(len(self.stderr.splitlines()), 1, self.stderr)
        for word in words:
            self.assertIn(word, self.stderr)

    def test_states_that_are_damaged_or_foreign(self):
        self.stream(b"".join(sensor_lines(sensors=3, records=20, seed=1)), "--state", "s")
        good = self.path("s").read_bytes()
        for name, content in (
            ("empty", b""),
            ("cut", good[:-9]),
            ("short", good[:22]),
            ("other", b"RIFF" + good),
            ("flipped", good[:60] + b"?" + good[61:]),
        ):
            with self.subTest(name):
                self.path("s").write_bytes(content)
                self.fails(["'s'"], "--state", "s")
        self.path("s").write_bytes(good)
        series = self.path("s.series").read_bytes()
        self.path("s.series").write_bytes(series[:100] + b"?????" + series[105:])
        self.assertIn("s.series", self.damaged_sensor())
        self.path("s.series").write_bytes(series[:100])
        self.assertIn("s.series", self.damaged_sensor())
        self.path("s.series").write_bytes(series)
        write_forecaster(self.path("other.safetensors"), seed=2)
        self.common[2] = "other.safetensors"
        self.fails(["'s'", "belongs to model"], "--state", "s")
        self.fails(["nowhere"], "--state", "nowhere/s")

    def damaged_sensor(self):
        self.coil(*self.common, "--state", "s", input=b"".join(sensor_lines(sensors=3, records=1, seed=1)), code=1)
        self.assertEqual(len(self.stderr.splitlines()), 1, self.stderr)
        return self.stderr

    def test_a_state_belongs_to_one_process(self):
        first = subprocess.Popen(
            [COIL, *map(str, self.common), "--state", "s"],
            cwd=self.folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        first.stdin.write(b'{"sensor":"a","value":1}\n')
        first.stdin.flush()
        first.stdout.readline()
        self.fails(["'s'", "in use"], "--state", "s")
        first.communicate(timeout=30)
        self.assertEqual(first.returncode, 0)
        self.assertRegex(
            self.stream(b'{"sensor":"a","value":2}\n{"sensor":"a","value":3}\n', "--state", "s"), rb'"value_expected":2'
        )
