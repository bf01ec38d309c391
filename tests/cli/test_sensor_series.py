"""How `coil stream` handles series: order, gaps, duplicates, clocks, episodes; prefixes, keys, scales, plots.

"""

import json
import math
import random

from support import CoilTest, sensor_lines, write_forecaster


class SensorSeries(CoilTest):
    def setUp(self):
        super().setUp()
        write_forecaster(self.path("forecaster.safetensors"))

    def stream(self, lines, *arguments):
        return self.coil("stream", "-m", "forecaster.safetensors", *arguments, input=b"".join(lines)).splitlines()

    def records(self, lines, *arguments):
        return [json.loads(line) for line in self.stream(lines, *arguments)]

    @staticmethod
    def line(t, value, **more):
        return (json.dumps({"time": 1700000000 + 60 * t, "value": value, **more}) + "\n").encode()

    def counts(self):
        return dict(
            (line[2:20].strip(), int(line[20:])) for line in self.stderr.partition("coil: sensors")[0].splitlines()[1:]
        )

    def test_the_output_of_a_prefix_is_the_prefix_of_the_output(self):
        rng = random.Random(5)
        for seed in range(4):
            lines = sensor_lines(sensors=5, records=150, seed=seed, gaps=True)
            rng.shuffle(lines[300:340])
            arguments = ["--key", "sensor", "--forecast", "1,64", "--threads", str(1 + seed % 2)]
            whole = self.stream(lines, *arguments)
            for _ in range(4):
                cut = rng.randrange(len(lines))
                part = self.stream(lines[:cut], *arguments)
                self.assertEqual(part, whole[: len(part)])
                self.assertGreaterEqual(len(part), cut - 40)

    def test_sensors_do_not_disturb_one_another(self):
        lines = sensor_lines(sensors=6, records=200, seed=11, gaps=True)
        together = self.stream(lines, "--key", "sensor")
        for s in range(6):
            name = f'"s{s}"'.encode()
            alone = self.stream([line for line in lines if name in line], "--key", "sensor")
            self.assertEqual(alone, [line for line in together if name in line])

    def test_what_comes_every_day_at_the_same_time_is_no_event(self):
        write_forecaster(self.path("forecaster.safetensors"), gain=0)
        rng = random.Random(1)
        lines, per_day = [], 288
        for t in range(13 * per_day):
            jump = 30 if 360 <= t % per_day * 5 < 400 else 0
            lines.append(self.line(5 * t, round(20 + jump + rng.gauss(0, 1), 2)))
        results = self.records(lines)
        days = [
            t // per_day for t, result in enumerate(results) if (result["cause"] or "").startswith("value jump: up")
        ]
        self.assertEqual(days, [1, 2, 3])
        for cut in (4 * per_day, 8 * per_day + 70):
            parts = self.stream(lines[:cut], "--state", f"s{cut}") + self.stream(lines[cut:], "--state", f"s{cut}")
            self.assertEqual([json.loads(line) for line in parts], results, cut)

    def test_scale_and_offset_of_values_and_shift_of_time_hardly_move_the_score(self):
        rng = random.Random(3)
        values = [10 * math.sin(t / 4) + rng.gauss(0, 1) + (60 if t == 350 else 0) for t in range(400)]
        expected = [r["score"] for r in self.records([self.line(t, v) for t, v in enumerate(values)])]
        self.assertGreater(expected[350], 0.5)
        for scale, offset, shift in ((1000, 0, 0), (1e-6, 0, 0), (-1, 0, 0), (1, 300, 0), (1, 0, 10**6)):
            with self.subTest((scale, offset, shift)):
                got = [
                    r["score"]
                    for r in self.records([self.line(t + shift, scale * v + offset) for t, v in enumerate(values)])
                ]
                # the sign changes the output of a random network
                if scale == -1:
                    self.assertGreater(got[350], 0.5)
                else:
                    self.assertLess(max(abs(a - b) for a, b in zip(got, expected)), 0.02)

    def test_duplicates_are_dropped_late_records_marked(self):
        lines = [self.line(t, t % 7) for t in range(40)]
        expected = self.stream(lines)
        disturbed = lines[:20] + [lines[19], self.line(10, 99)] + lines[20:30] + [lines[29]] + lines[30:]
        got = self.stream(disturbed, "--summary")
        self.assertEqual((self.counts()["duplicates"], self.counts()["late"]), (2, 1))
        late = [line for line in got if json.loads(line)["status"] == "late"]
        self.assertEqual((len(late), json.loads(late[0])["score"]), (1, None))
        self.assertEqual([line for line in got if line not in late], expected)

    def test_reorder_window_puts_records_in_order(self):
        lines = [self.line(t, (t * t) % 11) for t in range(60)]
        expected = self.stream(lines)
        rng = random.Random(1)
        shuffled = [line for _, line in sorted((t + rng.uniform(0, 2.9), line) for t, line in enumerate(lines))]
        self.assertNotEqual(shuffled, lines)
        self.assertEqual(self.stream(shuffled, "--reorder", "4", "--summary"), expected)
        self.assertNotIn("late", self.counts())
        self.stream(shuffled, "--summary")
        self.assertIn("late", self.counts())

    def test_a_clock_that_is_set_stops_nothing(self):
        straight = [self.line(t, t % 5) for t in range(80)]
        expected = [(r["score"], r["status"]) for r in self.records(straight)]
        for minutes, count, reorder in (
            (-60, 30, 0),
            (-100000, 30, 0),
            (-60, 1, 0),
            (-100000, 3, 0),
            (5256000, 1, 0),
            (5256000, 2, 0),
            (-100000, 30, 3),
        ):
            with self.subTest((minutes, count, reorder)):
                lines = [self.line(t + (minutes if 50 <= t < 50 + count else 0), t % 5) for t in range(80)]
                got = self.records(lines, "--reorder", str(reorder), "--summary")
                self.assertEqual([r["value"] for r in got], [t % 5 for t in range(80)])
                self.assertNotIn("late", self.counts())
                self.assertEqual(self.counts()["clock jumps"], (minutes < 0) + (count < 30))
                if minutes < 0:
                    self.assertEqual([(r["score"], r["status"]) for r in got], expected)

    def test_records_too_far_ahead_are_believed_when_eight_agree(self):
        lines = [self.line(t + (10**6 if t in (20, 30) or t >= 50 else 0), t % 5) for t in range(80)]
        statuses = [r["status"] for r in self.records(lines, "--future", "86400", "--summary")]
        self.assertEqual([t for t, status in enumerate(statuses) if status == "future"], [20, 30, *range(50, 57)])

    def test_what_is_sent_again_is_late(self):
        lines = [self.line(t, (t * t) % 11) for t in range(60)]
        expected = self.stream(lines)
        got = self.stream(lines[:40] + lines[30:40] + lines[40:], "--summary")
        self.assertEqual((self.counts()["late"], self.counts()["duplicates"]), (9, 1))
        self.assertEqual([line for line in got if json.loads(line)["status"] != "late"], expected)

    def test_gaps_are_filled_and_missing_values_counted(self):
        lines = [self.line(t, t % 5) for t in range(100) if t not in (50, 51, 52)]
        self.records(lines, "--summary")
        self.assertEqual(self.counts()["filled steps"], 3)
        # for the model, missing records and records with null values are the same
        told = [self.line(t, None if t in (50, 51, 52) else t % 5) for t in range(100)]
        after = self.records(told, "--summary")
        self.assertEqual(self.counts()["missing values"], 3)
        self.assertEqual([r for r in after if r["value"] is not None], self.records(lines))
        self.records([self.line(t + (500 if t > 50 else 0), t % 5) for t in range(100)], "--summary")
        self.assertEqual(self.counts()["long gaps"], 1)
        rng = random.Random(1)
        irregular = [rng.expovariate(1) for _ in range(100)]
        self.records([self.line(round(sum(irregular[:t]), 3), t % 5) for t in range(100)], "--summary")
        self.assertLess(self.counts().get("filled steps", 0), 10)

    def test_bounds_widen_over_a_gap(self):
        rng = random.Random(2)
        values = [10 * math.sin(t / 8) + rng.gauss(0, 0.3) for t in range(400)]
        for gap in (1, 2, 10, 80, 300):
            lines = [self.line(t if t < 300 else t + gap, v) for t, v in enumerate(values)]
            nulls = [*lines[:300], *(self.line(300 + i, None) for i in range(gap)), *lines[300:]]
            widths = [r["value_high"] - r["value_low"] for r in self.records(nulls)[299:]]
            self.assertGreater(min(widths[2 : gap + 2]), 1.05 * widths[0])
            absent = self.records(lines)[300]
            self.assertGreater(absent["value_high"] - absent["value_low"], 1.05 * widths[0])

    def test_nan_is_a_missing_value_and_many_at_the_start_do_no_harm(self):
        lines = [self.line(t, float("nan") if t < 20 else t % 5) for t in range(150)]
        statuses = [r["status"] for r in self.records(lines)]
        self.assertEqual(statuses[:20], ["missing"] * 20)
        self.assertEqual(statuses[20], "warmup")
        self.assertEqual(statuses[-1], "ok")

    def test_values_far_out(self):
        for value in (1e300, -1e300, 1e-300, 0.0):
            records = self.records([self.line(t, value if t % 50 == 0 else t % 5) for t in range(200)])
            for record in records:
                self.assertTrue(record["score"] is None or 0 <= record["score"] <= 1)
        for record in self.records([self.line(t, 5) for t in range(300)])[110:]:
            self.assertEqual((record["score"], record["status"]), (0, "ok"))

    def test_episodes_begin_go_on_and_end(self):
        rng = random.Random(8)
        lines = [self.line(t, rng.gauss(0, 1) + (60 if 300 <= t < 305 else 0)) for t in range(360)]
        episodes = [r["episode"] for r in self.records(lines, "--hold-off", "12")]
        self.assertEqual(episodes[300], "begin")
        end = episodes.index("end", 300)
        self.assertTrue(311 <= end <= 330, end)
        self.assertEqual(set(episodes[301:end]), {"on"})
        self.assertEqual(episodes[end + 1], None)
        self.assertEqual(episodes.count("begin"), episodes.count("end"))

    def test_several_values_have_scores_of_their_own(self):
        rng = random.Random(8)
        lines = [self.line(t, rng.gauss(0, 1), other=rng.gauss(5, 1) + (80 if t == 250 else 0)) for t in range(300)]
        record = self.records(lines)[250]
        self.assertGreater(record["other_score"], 0.5)
        self.assertLess(record["value_score"], 0.5)
        self.assertEqual(record["status"], "anomaly")
        self.assertTrue(0.4 < record["score"] <= record["other_score"])

    def test_plot(self):
        lines = sensor_lines(sensors=2, records=300, seed=1, gaps=True)
        self.path("in.ndjson").write_bytes(b"".join(lines))
        self.assertEqual(
            self.coil("stream", "-m", "forecaster.safetensors", "--key", "sensor", "--plot", "out.html", "in.ndjson"),
            b"",
        )
        html = self.path("out.html").read_text()
        self.assertIn("<svg", html)
        self.assertIn("s1: value", html)
        self.assertNotIn("http", html.replace("http://www.w3.org/2000/svg", ""))
        self.coil("stream", "-m", "forecaster.safetensors", "--key", "sensor", "--plot", "out.png", "in.ndjson")
        self.assertEqual(self.path("out.png").read_bytes()[:8], b"\x89PNG\r\n\x1a\n")
        self.coil("stream", "-m", "forecaster.safetensors", "--plot", "empty.png", input=b"", code=1)
        self.assertEqual(self.names(), ["in.ndjson", "out.html", "out.png"])
