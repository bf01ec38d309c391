"""Records of an interval of the calendar become one record, whatever the format and wherever a run is cut."""

import json
import random
import signal
import statistics
import subprocess
import time
import unittest

from support import COIL, CoilTest, write_forecaster

START = 1700006400  # 2023-11-15T00:00:00Z, a Wednesday
HOUR = 3600
OF = {"mean": statistics.fmean, "last": lambda v: v[-1], "min": min, "max": max, "count": len}


def utc(seconds, form="%Y-%m-%dT%H:%M:%SZ"):
    return time.strftime(form, time.gmtime(seconds))


def readings(sensor="a", hours=300, step_s=600, seed=1):
    """(time, sensor, value), in the order of times"""
    rng = random.Random(f"{sensor} {seed}")
    return [(START + t, sensor, float(rng.randrange(-400, 400)) / 8) for t in range(0, hours * HOUR, step_s)]


def ndjson(rows):
    return "".join(json.dumps({"time": t, "sensor": s, "v": v}) + "\n" for t, s, v in rows)


def hourly(rows, aggregate="mean", length=HOUR):
    """The same rows, one for each sensor and interval, in the order in which the intervals end."""
    done, open_ = [], {}
    for t, s, v in rows:
        begin = t // length * length
        if s in open_ and open_[s][0] != begin:
            done.append((open_[s][0], s, OF[aggregate](open_[s][1])))
            del open_[s]
        if v is not None:
            open_.setdefault(s, (begin, []))[1].append(v)
    return done + [(begin, s, OF[aggregate](v)) for s, (begin, v) in sorted(open_.items())]


class Every(CoilTest):
    def setUp(self):
        super().setUp()
        self.model = self.path("forecaster.safetensors")
        write_forecaster(self.model, gain=0.5)

    def watch(self, text, *arguments, name="in"):
        self.path(name).write_text(text)
        return self.coil("stream", "-m", self.model, *arguments, name).decode().splitlines()

    def test_the_records_of_an_interval_are_one(self):
        rows = sorted(readings() + readings("b", step_s=420))
        for aggregate in OF:
            made = hourly(rows, aggregate)
            every = self.watch(ndjson(rows), "--key", "sensor", "--every", "1h", "--aggregate", aggregate)
            before = self.watch(ndjson(made).replace(".0}", "}"), "--key", "sensor", "--forecast", "1")
            self.assertEqual(len(every), len(before))
            for line, wanted in zip(every, before):
                line, wanted = json.loads(line), json.loads(wanted)
                self.assertEqual({**wanted, **line}, wanted)
        self.assertEqual(
            self.watch(ndjson(rows), "--key", "sensor", "--every", "1h"),
            self.watch(ndjson(rows), "--key", "sensor", "--every", "60min", "--aggregate", "mean", "--threads", "3"),
        )

    def test_every_format(self):
        rows = readings(hours=4)
        made = hourly(rows)
        comma = "when;sensor;v;note\n" + "".join(
            f"{utc(t, '%d.%m.%Y %H:%M')};{s};{str(v).replace('.', ',')};n{i}\n" for i, (t, s, v) in enumerate(rows)
        )
        form = ("--time", "when", "--time-format", "%d.%m.%Y %H:%M", "--key", "sensor")
        found = self.watch(comma, "--every", "1h", *form)
        number = lambda v: repr(v).removesuffix(".0").replace(".", ",")
        for i, (line, (t, s, v)) in enumerate(zip(found[1:], made, strict=True)):
            self.assertEqual(line.split(";")[:4], [utc(t, "%d.%m.%Y %H:%M"), s, number(v), f"n{6 * i + 5}"])
        line = "".join(f'm,s={s},x=a\\ b v={v},n="x" {t}000000000\n' for t, s, v in rows)
        found = self.watch(line, "--every", "1h")
        for row, (t, s, v) in zip(found, made, strict=True):
            self.assertTrue(row.startswith(f'm,s={s},x=a\\ b v={repr(v).removesuffix(".0")},n="x",'), row)
            self.assertTrue(row.endswith(f" {t}000000000"), row)
        rfc = "".join(json.dumps({"t": utc(t), "e": {"p": v}}) + "\n" for t, _, v in rows)
        found = [json.loads(row) for row in self.watch(rfc, "--every", "1h", "--time", "t", "--value", "e.p")]
        self.assertEqual([(row["t"], row["e.p"]) for row in found], [(utc(t), v) for t, _, v in made])
        found = self.watch(ndjson(rows), "--every", "1h", "--key", "sensor", "--output-format", "csv")
        self.assertEqual([row.split(",")[2] for row in found[1:]], [utc(t) for t, _, _ in made])

    def test_intervals_of_the_calendar(self):
        rows = readings(hours=24 * 20, step_s=HOUR)
        monday = START - 2 * 86400
        for length, first, seconds in (("1d", START, 86400), ("7d", monday, 7 * 86400), ("6h", START, 6 * HOUR)):
            found = [json.loads(row) for row in self.watch(ndjson(rows), "--key", "sensor", "--every", length)]
            begins = [row["time"] for row in found]
            self.assertEqual(begins, list(range(first, rows[-1][0] + 1, seconds)))
            within = [v for t, _, v in rows if begins[1] <= t < begins[1] + seconds]
            self.assertAlmostEqual(found[1]["v"], statistics.fmean(within))

    def test_late_records_and_repeated_ones(self):
        rows = readings(hours=6)
        mixed = rows[:12] + [rows[13], rows[12], *rows[14:20], rows[19], (rows[3][0] + 1, "a", 7.0), *rows[20:]]
        found = [json.loads(row) for row in self.watch(ndjson(mixed), "--key", "sensor", "--every", "1h", "--summary")]
        late = [row for row in found if row["status"] == "late"]
        self.assertEqual([(row["time"], row["v"]) for row in late], [(rows[3][0] + 1, 7.0)])
        self.assertEqual([row["v"] for row in found if row["status"] != "late"], [v for _, _, v in hourly(rows)])
        self.assertRegex(self.stderr, r"late +1\n")
        self.assertRegex(self.stderr, r"duplicates +1\n")
        self.assertRegex(self.stderr, r"records +6\n  of so many +36\n")

    def test_gaps(self):
        rows = readings(hours=10)
        rows = [row for row in rows if not 3 * HOUR <= row[0] - START < 6 * HOUR]
        nulls = [(t, s, None if 1 * HOUR <= t - START < 2 * HOUR else v) for t, s, v in rows]
        key = ("--key", "sensor", "--every", "1h")
        means = [json.loads(row) for row in self.watch(ndjson(nulls), *key)]
        self.assertEqual([(r["time"] - START) // HOUR for r in means], [0, 1, 2, 6, 7, 8, 9])
        self.assertEqual([r["v"] is None for r in means], [r["status"] == "missing" for r in means])
        self.assertEqual([r["v"] is None for r in means], [False, True] + 5 * [False])
        counts = [json.loads(row) for row in self.watch(ndjson(nulls), *key, "--aggregate", "count")]
        self.assertEqual([r["v"] for r in counts], [6, 0, 6, 0, 0, 0, 6, 6, 6, 6])
        self.assertEqual([(r["time"] - START) // HOUR for r in counts], list(range(10)))

    def test_silences_limits_and_maintenance(self):
        rows = sorted(readings("a", hours=30) + readings("b", hours=100))
        config = '[[sensor]]\nmatch = "b"\nmaintenance = ["02:10-02:50"]\nvalues.v = { high = 49 }\n'
        self.path("c.toml").write_text(config)
        key = ("--key", "sensor", "--every", "1h", "--config", "c.toml")
        found = [json.loads(row) for row in self.watch(ndjson(rows), *key, "--only", "episodes")]
        silent = [row for row in found if row["status"] == "silent"]
        self.assertEqual([(row["sensor"], row["time"]) for row in silent], [("a", START + 29 * HOUR + 3000 + 3600)])
        two = next(r for r in map(json.loads, self.watch(ndjson(rows), *key)) if r["time"] == START + 2 * HOUR)
        part = [v for t, s, v in rows if s == "b" and t - START in (2 * HOUR, 2 * HOUR + 3000)]
        if two["sensor"] == "b":
            self.assertAlmostEqual(two["v"], statistics.fmean(part))
        high = self.watch(ndjson(rows), *key, "--aggregate", "max", "--only", "anomaly")
        limits = [row for row in map(json.loads, high) if "limit" in row["cause"]]
        self.assertTrue(limits)
        self.assertTrue(all(row["v"] > 49 for row in limits))

    def test_a_run_that_is_cut_anywhere(self):
        rows = sorted(readings(hours=40) + readings("b", hours=40, step_s=1500))
        key = ("--key", "sensor", "--every", "1h", "--forecast", "2")
        whole = self.watch(ndjson(rows), *key)
        kept = self.watch(ndjson(rows), *key, "--state", "whole")
        self.assertEqual(kept, whole[:-2])  # the intervals that are not over wait
        text = ndjson(rows).splitlines(keepends=True)
        for cut in (1, 50, 123, len(text) - 1):
            parts = self.watch("".join(text[:cut]), *key, "--state", f"s{cut}", name="one")
            parts += self.watch("".join(text[cut:]), *key, "--state", f"s{cut}", name="two")
            self.assertEqual(parts, kept, cut)
        self.coil("stream", "-m", self.model, "--key", "sensor", "--state", "whole", "in", code=1)
        self.assertIn("--every 1 h --aggregate mean", self.stderr)
        self.coil("stream", "-m", self.model, *key, "--aggregate", "max", "--state", "whole", "in", code=1)

    def test_kill_at_any_moment(self):
        rows = sorted(readings(hours=60) + readings("b", hours=60, step_s=1500))
        key = ("--key", "sensor", "--every", "1h", "--state", "s", "--checkpoint-every", "7", "--follow", "grows")
        wanted = self.watch(ndjson(rows), *key[:4])[:-2]
        text = ndjson(rows).splitlines(keepends=True)
        self.path("grows").write_text("")
        found, rng = [], random.Random(3)
        for part in range(4):
            with open(self.path(f"out{part}"), "wb") as out:
                worker = subprocess.Popen([COIL, "stream", "-m", self.model, *key], cwd=self.folder, stdout=out)
            self.addCleanup(worker.kill)
            with open(self.path("grows"), "a") as file:
                for line in text[part * len(text) // 4 : (part + 1) * len(text) // 4]:
                    file.write(line)
            end = time.monotonic() + 20
            last = wanted[-1] if part == 3 else None
            while time.monotonic() < end:
                time.sleep(0.05 + rng.random() / 10)
                lines = self.path(f"out{part}").read_text().splitlines()
                if (last in lines) if last else len(lines) > 8:
                    break
            worker.send_signal(signal.SIGKILL)
            worker.wait()
            lines = self.path(f"out{part}").read_text()
            found += lines[: lines.rfind("\n") + 1].splitlines()
        self.assertEqual(set(found), set(wanted))
        self.assertEqual(list(dict.fromkeys(found)), wanted)

    def test_what_cannot_be_aggregated(self):
        text = "".join(json.dumps({"v": v}) + "\n" for _, _, v in readings(hours=5))
        found = [
            json.loads(row) for row in self.watch(text + ndjson(readings(hours=2)), "--every", "1h", "--value", "v")
        ]
        self.assertEqual([row["status"] for row in found], 30 * ["unscored"] + 2 * ["warmup"])
        self.assertIn("no time (--every): the record is passed on without a score", self.stderr)
        for arguments, message in (
            (["--every", "7min"], "--every 7min: wanted is a part of a day without remainder"),
            (["--every", "2d"], "--every 2d: wanted is a part of a day"),
            (["--every", "soon"], "--every soon: wanted is"),
            (["--aggregate", "max"], "--aggregate needs --every"),
            (["--every", "1h", "--reorder", "3"], "--reorder does not go with --every"),
        ):
            self.coil("stream", "-m", self.model, *arguments, input=b"", code=2)
            self.assertIn(message, self.stderr)


if __name__ == "__main__":
    unittest.main()
