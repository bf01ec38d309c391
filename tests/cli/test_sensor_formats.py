"""`coil stream` reads and writes NDJSON, CSV and line protocol, and reports and skips malformed records."""

import csv
import io
import json

from support import CoilTest, write_forecaster


class SensorFormats(CoilTest):
    def setUp(self):
        super().setUp()
        write_forecaster(self.path("forecaster.safetensors"))

    def stream(self, text, *arguments, **options):
        return self.coil("stream", "-m", "forecaster.safetensors", *arguments, input=text.encode(), **options).decode()

    def scores(self, output, *path):
        return [json.loads(line)["score"] for line in output.splitlines()]

    def test_ndjson_goes_out_as_it_came_with_fields_added(self):
        lines = [
            '{"time": 1700000000, "room": "a\\"b", "value": 1.50, "more": {"x": [1, 2]}, "on": true}',
            '{"time":1700000060,"value":null }',
            '{"value":3}',
            '{"value":4}',
        ]
        output = self.stream("\n".join(lines)).splitlines()
        self.assertEqual(len(output), 4)
        for came, goes in zip(lines, output):
            self.assertTrue(goes.startswith(came.rstrip()[:-1].rstrip()), goes)
            self.assertEqual({**json.loads(came), **json.loads(goes)}, json.loads(goes))
        first, second, _, last = map(json.loads, output)
        self.assertEqual(
            (first["value_expected"], first["status"], second["status"], second["score"]),
            (None, "warmup", "missing", None),
        )
        self.assertLess(last["value_low"], last["value_expected"])
        self.assertLess(last["value_expected"], last["value_high"])

    def test_csv_keeps_rows_and_adds_columns(self):
        text = (
            'time,name,value,"a, note"\n'
            + "".join(f'2024-01-01 00:{t:02d}:00,x,{t},"x, ""y"""\n' for t in range(5))
            + "2024-01-01 00:05:00,x,,n\n"
        )
        output = self.stream(text, "--key", "name").splitlines()
        for came, goes in zip(text.splitlines(), output):
            self.assertTrue(goes.startswith(came + ","), goes)
        rows = list(csv.DictReader(io.StringIO("\n".join(output))))
        self.assertEqual(len(rows), 6)
        self.assertEqual([row["status"] for row in rows], ["warmup"] * 5 + ["missing"])
        self.assertEqual(rows[3]["a, note"], 'x, "y"')
        self.assertEqual(rows[5]["score"], "")

    def test_line_protocol_keeps_the_line_and_its_time_at_the_end(self):
        lines = [
            *(rf'weather,place=north\ pole temp=1.5,wind={t}i {1699999880 + 60 * t}000000000' for t in range(2)),
            r'weather,place=north\ pole temp=1.5,wind=3i 1700000000000000000',
            r'weather,place=north\ pole temp=2.5,wind=4i,note="a, \"b\" c" 1700000060000000000',
            'weather,place=rome temp=20',
        ]
        output = self.stream("\n".join(lines), "--summary").splitlines()
        for came, goes in zip(lines[:-1], output):
            head, _, time = came.rpartition(" ")
            self.assertTrue(goes.startswith(head + ","), goes)
            self.assertTrue(goes.endswith(" " + time), goes)
        self.assertIn('status="warmup"', output[0])
        self.assertNotIn("expected", output[0])  # null is omitted
        self.assertRegex(output[3], r"temp_expected=1.5\d*,")
        self.assertTrue(output[4].startswith("weather,place=rome temp=20,"))
        self.assertRegex(self.stderr, r"sensors +2\n +series in memory +3")

    def test_the_three_formats_give_the_same_scores(self):
        values = [(t * 37 % 11) + (50 if t == 180 else 0) for t in range(200)]
        ndjson = "".join(
            json.dumps({"time": 1700000000 + 60 * t, "sensor": "a", "value": v}) + "\n" for t, v in enumerate(values)
        )
        table = "time,sensor,value\n" + "".join(f"{1700000000 + 60 * t},a,{v}\n" for t, v in enumerate(values))
        line = "".join(f"m,sensor=a value={v} {1700000000 + 60 * t}000000000\n" for t, v in enumerate(values))
        expected = self.scores(self.stream(ndjson))
        self.assertGreater(max(expected), 0.5)
        self.assertEqual(self.scores(self.stream(table, "--output-format", "ndjson")), expected)
        self.assertEqual(self.scores(self.stream(line, "--output-format", "ndjson")), expected)
        # through every other format and back to NDJSON; the fields of the first pass are kept
        for via in ("csv", "line"):
            converted = self.stream(ndjson, "--output-format", via)
            back = self.stream(
                converted, "--value", "value", "--prefix", "again_", "--output-format", "ndjson"
            ).splitlines()
            self.assertEqual(len(back), len(values))
            for t in (0, 180, 199):
                record = json.loads(back[t])
                self.assertEqual(
                    (record["value"], record["again_score"], record["score"]), (values[t], expected[t], expected[t])
                )
                self.assertEqual(record["time"][:10], "2023-11-1" + record["time"][9])

    def test_times_in_all_forms_are_the_same_time(self):
        def run(form):
            lines = [
                json.dumps({"t": form(1700000000 + 60 * t + (60000 if t > 20 else 0)), "v": t % 5}) for t in range(30)
            ]
            return self.scores(self.stream("\n".join(lines), "--time", "t", "--summary")), self.stderr

        from datetime import datetime, timezone

        forms = [
            lambda s: s,
            lambda s: s * 1000,
            lambda s: s * 10**6,
            lambda s: s * 10**9,
            float,
            str,
            lambda s: f"{s}.000",
            lambda s: datetime.fromtimestamp(s, timezone.utc).isoformat(),
            lambda s: datetime.fromtimestamp(s, timezone.utc).strftime("%Y-%m-%d %H:%M:%S"),
            lambda s: datetime.fromtimestamp(s + 5400, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.0+01:30"),
        ]
        expected = run(forms[0])
        self.assertIn("long gaps", expected[1])
        for form in forms[1:]:
            self.assertEqual(run(form), expected)

    def test_malformed_records_are_told_and_passed_over(self):
        good = '{"k":"a","time":1700000000,"v":1}'
        bad = {
            "nothing": "expected '{'",
            '{"k":"a"': "end of the line",
            '{"k":"a","v":01}': "begins with 0",
            '{"k":"a","v":1}x': "text after",
            '{"k":"a","v":"x\\q"}': "escape",
            '{"k":"a" "v":1}': "column 10",
            '{"k":"a","v":}': "expected a value",
            '{"k":"a","v":' + "[" * 50 + "]" * 50 + "}": "nested deeper",
            '{"k":"a","v":1,"v":2}': "'v' comes twice",
            '{"k":"a","o":{"v":1,"v":2}}': "'o.v' comes twice",
        }
        unscored = {
            '{"v":1,"time":1700000000}': "'k'",
            '{"k":"a","time":"soon","v":1}': "RFC 3339",
            '{"k":"a","time":1}': "no field 'v'",
        }
        missing = {'{"k":"a","v":"high"}': "'high' is not a number"}
        lines, comments = [good], {}
        for line, words in {**bad, **unscored, **missing}.items():
            comments[len(lines) + 1] = words
            lines += [line, "", good.replace("1700000000", str(1700000000 + 60 * len(lines)))]
        output = self.stream("\n".join(lines), "--key", "k", "--value", "v", "--summary").splitlines()
        self.assertEqual(len(output), 1 + len(bad) + 2 * len(unscored) + 2 * len(missing))
        for line, status in [*((line, "unscored") for line in unscored), *((line, "missing") for line in missing)]:
            came_out = [json.loads(goes) for goes in output if goes.startswith(line[:-1] + ",")]
            self.assertEqual([(record["status"], record["score"]) for record in came_out], [(status, None)], line)
        errors = [line for line in self.stderr.splitlines() if line.startswith("coil: warning: line ")]
        self.assertEqual(len(errors), len(comments), self.stderr)
        for (number, words), error in zip(comments.items(), errors):
            self.assertIn(f"coil: warning: line {number}: ", error)
            self.assertIn(words, error)
        self.assertRegex(self.stderr, rf"malformed +{len(bad)}\n +unscored +{len(unscored)}\n")

    def test_malformed_csv_and_line_protocol(self):
        output = self.stream(
            'time,v\n1700000000,1\n1700000060\n1700000120,1,2\n1700000180,"1\n1700000240,high\n1700000300,2\n'
        ).splitlines()
        self.assertEqual(
            [row.split(",")[:2] for row in output[1:]],
            [["1700000000", "1"], ["1700000060", ""], ["1700000240", "high"], ["1700000300", "2"]],
        )
        self.assertEqual([row.split(",")[6] for row in output[1:]], ["warmup", "missing", "missing", "warmup"])
        for line, words in (
            (3, "1 cell, the header has 2"),
            (4, "3 cells"),
            (5, "without an end"),
            (6, "'high' is not a number"),
        ):
            self.assertRegex(self.stderr, f"coil: warning: line {line}: .*{words}")
        output = self.stream(
            "m,a=b v=1 1\nm,a=b\nm,a= v=1\nm v=\nm v=1x\nm v=1 soon\n,a=b v=1\nm v=1,v=2\nm,a=b v=2 2\n"
        )
        self.assertEqual(len(output.splitlines()), 2)
        for line, words in (
            (2, "fields"),
            (3, "'a' is empty"),
            (4, "not a number"),
            (5, "'1x'"),
            (6, "nanoseconds"),
            (7, "measurement"),
            (8, "'v' comes twice"),
        ):
            self.assertRegex(self.stderr, f"coil: warning: line {line}: .*{words}")

    def test_options(self):
        stream = ["stream", "-m", "forecaster.safetensors"]
        for words, arguments in (
            (["--forecast 65", "1 and 64"], ["--forecast", "65"]),
            (["--resume", "--state"], ["--resume"]),
            (["--checkpoint-every soon", "30s"], ["--checkpoint-every", "soon"]),
            (["--plot", ".html"], ["--plot", "x.jpg"]),
            (["--output-format"], ["--output-format", "xml"]),
        ):
            self.coil(*stream, *arguments, input=b"", code=2)
            for word in words:
                self.assertIn(word, self.stderr)
        self.coil("stream", "-m", "identity.safetensors", input=b"", code=3)
        self.assertIn("not a forecaster", self.stderr)
        self.coil(*stream, "missing.csv", code=1)
        self.assertIn(b"bytes", self.coil(*stream, "--describe"))
        output = json.loads(self.stream('{"value":1}\n{"value":2}', "--forecast", "1,16").splitlines()[1])
        self.assertLess(
            output["value_forecast_1_high"] - output["value_forecast_1_low"],
            output["value_forecast_16_high"] - output["value_forecast_16_low"],
        )

    def test_nothing_in_nothing_out(self):
        for text in ("", "\n\n", "# a comment\n", "a,b\n"):
            self.assertEqual(self.stream(text), "")
