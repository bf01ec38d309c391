"""`coil stream` reads the notations of people and devices, and passes on records that it cannot score."""

import csv
import gzip
import io
import itertools
import json

from support import CoilTest, write_forecaster

MISSING = ["", "-", "?", "n/a", "NA", "nan", "NULL", "none", "unavailable", "Unknown", "undefined", "#N/A", "inf"]


class SensorRecords(CoilTest):
    def setUp(self):
        super().setUp()
        write_forecaster(self.path("forecaster.safetensors"))

    def stream(self, text, *arguments, **options):
        data = text if isinstance(text, bytes) else text.encode()
        return self.coil("stream", "-m", "forecaster.safetensors", *arguments, input=data, **options).decode(
            errors="replace"
        )

    def json_records(self, text, *arguments, **options):
        return [
            json.loads(line)
            for line in self.stream(text, *arguments, "--output-format", "ndjson", **options).splitlines()
        ]

    def rows(self, text, *arguments, delimiter=",", **options):
        return list(csv.DictReader(io.StringIO(self.stream(text, *arguments, **options)), delimiter=delimiter))

    # CSV

    def test_dialects_are_one_table(self):
        table = [
            ("2024-01-01T00:00:00Z", 12.5, 3),
            ("2024-01-01T00:01:00Z", 12.75, 4),
            ("2024-01-01T00:02:00Z", 1013.25, 5),
        ]
        expected = self.json_records("time,temp,n\n" + "".join(f"{t},{v},{n}\n" for t, v, n in table))
        self.assertIsNotNone(expected[2]["temp_expected"])
        decimals = {",": ".", ";": ".,", "\t": ".,", "|": ".,"}
        preambles = [
            "",
            "sep={0}\n",
            "Logger 5\nSerial: 12\n\n",
            "Station{0}12345\nBegin{0}2024-01-01\n\n",
            "# made by a logger\n",
            "A long line of text, with; many | signs\n",
        ]
        units = ["", "{0}°C{0}\n", "[ISO]{0}[°C]{0}[1]\n", "yyyy-mm-dd{0}degC{0}-\n"]
        encodings = ["utf-8", "utf-8-sig", "utf-16", "utf-16-be-bom"]
        ends = ["\n", "\r\n", "\r"]
        choices = list(itertools.product(decimals, preambles, units, encodings, ends))
        for i, (separator, preamble, unit, encoding, end) in enumerate(choices[::13]):
            decimal = decimals[separator][i % len(decimals[separator])]
            header = ("#" if i % 5 == 0 and not preamble else "") + separator.join(["time", "temp", "n"]) + "\n"
            body = "".join(separator.join([t, str(v).replace(".", decimal), str(n)]) + "\n" for t, v, n in table)
            text = (preamble.format(separator) + header + unit.format(separator) + body).replace("\n", end)
            data = b"\xfe\xff" + text.encode("utf-16-be") if encoding == "utf-16-be-bom" else text.encode(encoding)
            with self.subTest((separator, decimal, preamble, unit, encoding, end)):
                self.assertEqual(self.json_records(data), expected, text)
                self.assertEqual(self.stderr, "")

    def test_a_compressed_file(self):
        text = "time,temp\n" + "".join(f"{1700000000 + 60 * i},{20 + i % 7}.5\n" for i in range(300))
        expected = self.stream(text)
        # two members, as in joined files
        packed = gzip.compress(text[:2000].encode()) + gzip.compress(text[2000:].encode())
        self.path("t.csv.gz").write_bytes(packed)
        self.assertEqual(self.stream("", "t.csv.gz"), expected)
        self.assertEqual(self.stderr, "")
        with open(self.path("t.csv.gz"), "rb") as file:
            self.assertEqual(self.coil("stream", "-m", "forecaster.safetensors", stdin=file).decode(), expected)
        self.path("t.csv.gz").write_bytes(packed[:-40])
        begin = self.stream("", "t.csv.gz")
        self.assertTrue(expected.startswith(begin.rsplit("\n", 2)[0]) and len(begin) > 1000)
        self.assertIn("ends in the middle of the compressed data", self.stderr)

    def test_a_separator_that_the_file_names(self):
        output = self.stream("sep=^\ntime^temp\n2024-01-01T00:00:00Z^12.5\n2024-01-01T00:01:00Z^12.75\n").splitlines()
        self.assertEqual(output[:2], ["sep=^", "time^temp^temp_expected^temp_low^temp_high^score^status^episode^cause"])
        self.assertEqual(output[3], "2024-01-01T00:01:00Z^12.75^^^^0^warmup^^")

    def test_a_format_that_is_named_holds(self):
        text = "Logger\nm,a=b v=1 5\ntime,temp\n2024-01-01T00:00:00Z,12.5\n2024-01-01T00:01:00Z,12.75\n"
        output = self.stream(text, "--input-format", "csv").splitlines()
        self.assertEqual(output[:2], ["Logger", "m,a=b v=1 5"])
        self.assertTrue(output[3].startswith("2024-01-01T00:00:00Z,12.5,"), output[3])

    def test_the_output_keeps_the_dialect(self):
        text = (
            "sep=;\nLogger 5\ntime;temp\n;°C\n2024-01-01T00:00:00Z;12,5\n2024-01-01T00:01:00Z;12,75\n"
            "2024-01-01T00:02:00Z;13,5\n"
        )
        output = self.stream(text).splitlines()
        self.assertEqual(output[:2], ["sep=;", "Logger 5"])
        self.assertEqual(output[3], ";°C" + ";" * 7)
        for came, goes in zip(text.splitlines()[4:], output[4:]):
            self.assertTrue(goes.startswith(came + ";"), goes)
        row = list(csv.DictReader(output[2:], delimiter=";"))[3]
        self.assertRegex(row["temp_expected"], r"^1[23],\d+$")
        again = self.stream("\n".join(output), "--prefix", "again_", "--value", "temp").splitlines()
        self.assertEqual(again[:2], output[:2])
        self.assertTrue(all(second.startswith(first + ";") for first, second in zip(output[2:], again[2:])))

    def test_the_first_row_does_not_decide_for_ever(self):
        note = (
            "time,temp,note\n2024-01-01T00:00:00Z,21.4,\n2024-01-01T00:01:00Z,21.5,\n"
            "2024-01-01T00:02:00Z,35.6,door open\n2024-01-01T00:03:00Z,21.5,\n"
        )
        rows = self.rows(note)
        self.assertEqual([row["note"] for row in rows], ["", "", "door open", ""])
        self.assertNotIn("", [row["temp_expected"] for row in rows[2:]] + [row["score"] for row in rows])
        self.assertEqual(self.stderr, "")
        for first in ("", "unavailable", "ERR", "calibrating", "-"):
            rows = self.rows(
                f"time,room,temp\n2024-01-01T00:00:00Z,3,{first}\n2024-01-01T00:01:00Z,3,21.5\n"
                "2024-01-01T00:02:00Z,3,21.6\n2024-01-01T00:03:00Z,3,21.7\n"
            )
            self.assertEqual(len(rows), 4)
            self.assertNotEqual(rows[3]["temp_expected"], "", first)
        rows = self.rows(
            "time,temp\n2024-01-01T00:00:00Z,starts soon\n2024-01-01T00:01:00Z,21.5\n2024-01-01T00:02:00Z,21.6\n"
            "2024-01-01T00:03:00Z,21.7\n"
        )
        self.assertEqual([row["status"] for row in rows], ["unscored", "warmup", "warmup", "warmup"])
        self.assertNotEqual(rows[3]["temp_expected"], "")
        # a field without a column causes one warning
        rows = self.rows(
            "time,v,x\n2024-01-01T00:00:00Z,1,some text\n2024-01-01T00:01:00Z,2,5\n2024-01-01T00:02:00Z,3,6\n"
        )
        self.assertEqual(len(rows), 3)
        self.assertEqual(self.stderr.count("'x' has numbers from here on"), 1)

    def test_missing_words_and_ways_to_write_numbers(self):
        numbers = {
            "1e3": 1000,
            "-1.5E-02": -0.015,
            ".5": 0.5,
            "5.": 5,
            "+7": 7,
            "0x10": 16,
            "1_000": 1000,
            "007": 7,
            "12.5 C": 12.5,
            "45%": 45,
            '"1,234.5"': 1234.5,
            '"12,5"': 12.5,
            "1 000": 1000,
            "\u22121.5": -1.5,
        }
        cells = ["1", *numbers, *MISSING]
        text = "time,v\n" + "".join(f"{1700000000 + 60 * i},{cell}\n" for i, cell in enumerate(cells))
        rows = self.rows(text)
        self.assertEqual([row["status"] for row in rows], ["warmup"] * (1 + len(numbers)) + ["missing"] * len(MISSING))
        self.assertEqual(self.stderr, "")
        # the same numbers in plain notation give the same forecasts
        plain = "time,v\n" + "".join(
            f"{1700000000 + 60 * i},{cell}\n" for i, cell in enumerate([1, *numbers.values(), *[""] * len(MISSING)])
        )
        self.assertEqual([row["v_expected"] for row in rows], [row["v_expected"] for row in self.rows(plain)])
        records = self.json_records("\n".join(json.dumps({"v": value}) for value in (1, 2, "unavailable", None, 3)))
        self.assertEqual([record["status"] for record in records], ["warmup", "warmup", "missing", "missing", "warmup"])

    def test_times_are_found(self):
        def times(text, *arguments):
            self.json_records(text, *arguments, "--summary")
            return [record["time"] for record in self.json_records(text, *arguments)]

        expected = ["2020-05-22T00:00:00Z", "2020-05-22T00:05:00Z"]
        for name in (
            "time",
            "Timestamp",
            "TIME",
            "DateTime",
            "ts",
            "Date",
            "@timestamp",
            "_time",
            "Zeit",
            "Time (UTC)",
        ):
            self.assertEqual(times(f"{name},v\n2020-05-22 00:00:00,1\n2020-05-22 00:05:00,2\n"), expected, name)
            self.assertEqual(times(f"v,{name}\n1,1590105600\n2,1590105900\n"), expected, name)
        for date, time in (("Date", "Time"), ("date", "TIME"), ("Datum", "Uhrzeit")):
            for first in ("2020-05-22", "22.05.2020", "2020/05/22"):
                self.assertEqual(times(f"{date},{time},v\n{first},00:00:00,1\n{first},0:05,2\n"), expected)
                self.assertEqual(times(f"v,{time},{date}\n1,00:00:00,{first}\n2,00:05,{first}\n"), expected)
        american = "When,Clock,v\n05/22/2020,12:00 AM,1\n05/22/2020,12:05 AM,2\n"
        self.assertEqual(times(american, "--time", "When,Clock", "--time-format", "%m/%d/%Y %I:%M %p"), expected)
        self.assertEqual(
            times("time,v\n22/05/20 00:00:00.25,1\n22/05/20 00:05:00.250,2\n", "--time-format", "%d/%m/%y %H:%M:%S.%f"),
            [text.replace("00Z", "00.25Z") for text in expected],
        )
        self.assertEqual(
            times(
                "time,v\n22 May 2020 02:00 +0200,1\n22 May 2020 02:05 +0200,2\n", "--time-format", "%d %b %Y %H:%M %z"
            ),
            expected,
        )
        self.assertEqual(times("time,v\n1590105600000,1\n1590105900000,2\n", "--time-format", "ms"), expected)
        self.stream("Date,v\n05/22/2020,1\n", code=1)
        self.assertIn("--time-format", self.stderr)
        self.stream("", "--time-format", "day", code=2)
        self.assertIn("--time-format 'day'", self.stderr)

    def test_headers_that_cannot_be_understood(self):
        for text, words in (
            ("1700000000,21.4\n1700000060,21.5\n", "no header"),
            ("21.4\n21.5\n", "no header"),
            ("2024-01-01;1,5\n", "no header"),
            ("a,21.4\nb,21.5\n", "no header"),
            ("time,v,v\n2024-01-01T00:00:00Z,1,2\n", "two columns have the name 'v'"),
        ):
            self.assertEqual(self.stream(text, code=1), "")
            self.assertIn(words, self.stderr)
            self.assertEqual(len(self.stderr.splitlines()), 1)

    def test_rows_and_cells(self):
        text = (
            'time,note,v,\n2024-01-01T00:00:00Z,"two\nlines, ""quoted""",1,\n2024-01-01T00:01:00Z,x,2\n'
            '2024-01-01T00:02:00Z,y,3,,\ntime,note,v,\n2024-01-01T00:03:00Z,z,4,\n'
        )
        rows = self.rows(text)
        self.assertEqual([row["v"] for row in rows], ["1", "2", "3", "4"])
        self.assertEqual([row["status"] for row in rows], ["warmup"] * 4)
        self.assertEqual(rows[0]["note"], 'two\nlines, "quoted"')
        self.assertIn("3 cells, the header has 4", self.stderr)
        # an unclosed quote spoils only one row
        rows = self.rows(
            "time,note,v\n" + "".join(f"{1700000000 + 60 * i},{chr(34) if i == 3 else ''}n,{i}\n" for i in range(20))
        )
        self.assertEqual([row["v"] for row in rows], [str(i) for i in range(20) if i != 3])
        self.assertIn("line 5: a quoted cell without an end", self.stderr)

    # Names

    def test_own_fields_of_added_names(self):
        lines = [
            '{"value":1}',
            '{"value":2,"status":"fault"}',
            '{"value":3}',
            '{"value":4,"coil_status":1,"status":2,"value_low":7}',
            '{"value":5}',
        ]
        records = [
            json.loads(line, object_pairs_hook=list)
            for line in self.stream("\n".join(lines), "--value", "value").splitlines()
        ]
        for record in records:
            names = [name for name, _ in record]
            self.assertEqual(len(names), len(set(names)), names)
        added = [[name for name, _ in record if name.endswith(("status", "low"))][-2:] for record in records]
        self.assertEqual(
            added,
            [
                ["value_low", "status"],
                ["value_low", "coil_status"],
                ["value_low", "coil_status"],
                ["coil_value_low", "coil_coil_status"],
                ["coil_value_low", "coil_coil_status"],
            ],
        )
        self.assertEqual(dict(records[1])["status"], "fault")
        self.assertEqual(self.stderr.count("of their own"), 2)
        for threads in ("1", "3"):
            self.assertEqual(
                self.stream("\n".join(lines * 30), "--threads", threads), self.stream("\n".join(lines * 30))
            )
        output = self.stream("cpu,host=a u=1 1\nipmi,name=t status=1i,value=21 1\ncpu,host=a u=2 2\n").splitlines()
        self.assertEqual([line.count("status=") for line in output], [1, 2, 1])
        self.assertEqual([line.count("coil_status=") for line in output], [0, 1, 1])
        rows = self.rows(
            "time,v,status,score\n2024-01-01T00:00:00Z,1,ok,5\n2024-01-01T00:01:00Z,2,ok,6\n", "--value", "v"
        )
        self.assertEqual(
            [(row["status"], row["score"], row["coil_status"], row["coil_score"]) for row in rows],
            [("ok", "5", "warmup", "0"), ("ok", "6", "warmup", "0")],
        )
        rows = self.rows("\n".join(lines), "--output-format", "csv", "--value", "value")
        self.assertEqual([row["status"] for row in rows], ["warmup"] * 5)
        self.assertIn("'coil_status'", self.stderr)

    def test_names_stay_after_a_restart(self):
        lines = ['{"v":1}\n', '{"v":2,"status":"x"}\n', '{"v":3}\n', '{"v":4}\n']
        expected = self.stream("".join(lines))
        first = self.stream("".join(lines[:3]), "--state", "s")
        self.assertEqual(first + self.stream("".join(lines[3:]), "--state", "s"), expected)

    def test_what_cannot_be_scored_passes_through(self):
        lines = [
            'system,host=a load1=0.5,n_cpus=2i 1700000000000000000',
            'system,host=a uptime=1000i 1700000000000000000',
            'system,host=a uptime_format=" 0:16" 1700000000000000000',
            'systemd_units,host=a,name=x active="active",load="loaded" 1700000000000000000',
            'docker,host=a health="healthy",ok=true 1700000000000000000',
            'log,host=a msg="two\nlines, and \\"more\\"" 1700000000000000000',
        ]
        output = self.stream("\n".join(lines), "--summary")
        at = 0
        for line in lines:
            at = output.index(line.rpartition(" ")[0], at) + 1
        self.assertEqual(output.count('status="unscored"'), 4)
        self.assertEqual(output.count('status="'), 6)
        self.assertRegex(self.stderr, r"records +2\n(.*\n)*? +unscored +4\n")
        records = self.json_records('{"on":true,"who":"me"}\n{"v":1}\n{}\n{"on":false}\n')
        self.assertEqual([record["status"] for record in records], ["unscored", "warmup", "unscored", "unscored"])

    # JSON

    def test_numbers_in_quotes(self):
        records = self.json_records("\n".join(json.dumps({"v": str(20 + i), "name": f"s{i}"}) for i in range(4)))
        self.assertIsNotNone(records[3]["v_expected"])
        self.assertNotIn("name_expected", records[3])
        texts = "\n".join(json.dumps({"x": 1, "code": code}) for code in ("A1", "12", "13", "14"))
        self.assertNotIn("code_expected", self.json_records(texts)[3])
        self.assertIsNotNone(self.json_records(texts, "--value", "code")[3]["code_expected"])

    def test_nested_objects(self):
        lines = "\n".join(
            json.dumps(
                {
                    "Time": f"2017-12-22T19:4{i}:20",
                    "ENERGY": {"Total": 13.7, "Power": 55 + i, "more": {"U": 227 + i}},
                    "list": [{"a": 1}],
                }
            )
            for i in range(4)
        )
        found = self.json_records(lines)[3]
        self.assertIsNotNone(found["ENERGY.Power_expected"])
        self.assertIsNotNone(found["ENERGY.more.U_expected"])
        self.assertNotIn("a_expected", "".join(found))
        named = self.json_records(lines, "--value", "ENERGY.Power")[3]
        self.assertEqual(named["ENERGY.Power_expected"], found["ENERGY.Power_expected"])
        self.assertNotIn("ENERGY.Total_expected", named)
        keyed = "\n".join(
            json.dumps({"dev": {"id": who}, "t": value})
            for who, value in (("a", 1), ("b", 90), ("a", 2), ("b", 91), ("a", 3))
        )
        self.json_records(keyed, "--key", "dev.id", "--summary")
        self.assertRegex(self.stderr, r"sensors +2\n")
        line = self.stream(lines, "--output-format", "line").splitlines()[0]
        self.assertIn("ENERGY.Power=55", line)

    def test_records_that_share_lines_or_span_them(self):
        expected = self.json_records("".join(f'{{"v":{i}}}\n' for i in range(6)))
        whole = ['{"v":%d}' % i for i in range(6)]
        for text in (
            "[" + ",".join(whole) + "]",
            "[\n" + ",\n".join(whole) + "\n]\n",
            "".join(whole),
            " ".join(whole),
            "\x1e" + "\n\x1e".join(whole) + "\n",
            "\ufeff" + "\n".join(whole),
            json.dumps([{"v": i} for i in range(6)], indent=2),
            "\n".join(json.dumps({"v": i}, indent=4) for i in range(6)),
        ):
            with self.subTest(text):
                self.assertEqual(self.json_records(text), expected)
                self.assertEqual(self.stderr, "")
        # a truncated record does not spoil the next one
        records = self.json_records('{"v":0,\n{"v":1}\n{"v":2,"o":{\n{"v":3}\n')
        self.assertEqual([record["v"] for record in records], [1, 3])
        self.assertEqual(self.stderr.count("warning: line "), 2)

    def test_a_line_that_is_too_long_is_malformed_as_a_whole(self):
        long = '{"v":2,"text":"' + "x" * (1 << 20) + '","more":{"v":9}}'
        for end in ("\n", "\r\n"):
            records = self.json_records('{"v":1}' + end + long + end + '{"v":3}' + end + long)
            self.assertEqual([record["v"] for record in records], [1, 3])
            self.assertEqual(self.stderr.count("longer than 1 MiB"), 2)

    # Times and duplicates

    def test_numbers_as_times(self):
        good = {
            "1.7e9": "2023-11-14T22:13:20Z",
            "17e8": "2023-11-14T22:13:20Z",
            "1700000000.5": "2023-11-14T22:13:20.5Z",
            "1700000000500": "2023-11-14T22:13:20.5Z",
            "9199999999": "2261-07-15T11:33:19Z",
            "-1.5": "1969-12-31T23:59:58.5Z",
            "1.7e18": "2023-11-14T22:13:20Z",
        }
        for text, time in good.items():
            record = self.json_records(f"time,v\n{text},1\n")[0]
            self.assertEqual((record["time"], record["status"]), (time, "warmup"), text)
        for text in ("9999999999", "99999999999", "1e30", "-1e10", "9300000000000", "9223372036854775807", "1e18000"):
            record = self.json_records(f'{{"time":{text},"v":1}}\n{{"v":2}}\n')[0]
            self.assertEqual((record["status"], record["score"]), ("unscored", None), text)
            self.assertIn("not a time from 1678 to 2261", self.stderr)
        lines = [f"m v=1 {ns}" for ns in (9223372036854775807, -9223372036854775807, 0, 9223372036854775806)]
        self.assertEqual(len(self.stream("\n".join(lines)).splitlines()), 4)

    def test_a_duplicate_is_equal_in_all_its_fields(self):
        lines = ['{"time":1,"v":1,"event":"a"}', '{"time":1,"v":1,"event":"b"}', '{"time":1,"v":1,"event":"b"}']
        self.assertEqual(len(self.json_records("\n".join(lines))), 2)
        self.assertEqual(len(self.json_records("\n".join(lines + lines[1:]), "--summary")), 2)
        self.assertRegex(self.stderr, r"duplicates +3\n")
        # of two records with different fields, both are recognised when they are sent again
        lines = ["m a=1 5", "m b=2 5"]
        self.assertEqual(len(self.stream("\n".join(lines * 2)).splitlines()), 2)

    # Messages

    def test_nothing_could_be_used(self):
        cases = [
            ("time,temp\n1,2\n", ["--key", "sensor"], ["'sensor' (--key)", "time, temp"]),
            ("time,temp\n1,2\n", ["--value", "t"], ["'t' (--value)", "time, temp"]),
            ("time temp\n1 2\n", [], ["no field is a number", "is its separator"]),
            ("time,temp\n1,12,5\n2,12,6\n", [], ["3 cells, the header has 2", "comma"]),
            ('{"a":"x"}\n{"a":"y"}\n', [], ["no field is a number"]),
            ('{"v":1,"v":2}\n', [], ["comes twice"]),
            ("x\ny\n", ["--input-format", "ndjson"], ["expected '{'"]),
            ('{"v":"high"}\n', ["--value", "v"], ["'high' is not a number"]),
            (b"\x1f\x8b\b\0abc\n\0\n", [], ["compressed"]),
            ("hello world\n", [], ["no record came", "'hello world'"]),
            ("<html><body>Bad gateway</body></html>\n", [], ["no record came"]),
        ]
        for text, arguments, words in cases:
            self.stream(text, *arguments, code=1)
            error = [line for line in self.stderr.splitlines() if line.startswith("coil: error: ")]
            self.assertEqual(len(error), 1, self.stderr)
            for word in words:
                self.assertIn(word, error[0])
        for text in ('{"v":null}\n', "time,v\n1,\n2,\n", '{"v":1}\nx\n', "time,v\n", ""):
            self.stream(text)
        # reported during the run, and only once
        self.stream("x\n" * 1000, "--input-format", "ndjson", code=1)
        self.assertEqual(
            self.stderr.count("nothing could be used"), 2 if "warning: line 20: nothing" in self.stderr else 1
        )
        self.assertLess(len(self.stderr.splitlines()), 40)
        self.assertRegex(self.stderr, r"\d+ more warnings about records were left out")

    def test_sensors_that_are_mixed(self):
        lines = [json.dumps({"time": 60 * t, "who": who, "v": t}) for t in range(4) for who in "ab"]
        self.json_records("\n".join(lines))
        self.assertEqual(self.stderr.count("sensors are being mixed"), 1)
        self.assertIn("--key", self.stderr)
        self.json_records("\n".join(lines), "--key", "who")
        self.assertEqual(self.stderr, "")
