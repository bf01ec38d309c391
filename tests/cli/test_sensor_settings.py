"""`coil stream --config`: thresholds, limits, units, names and times of maintenance of single sensors."""

import json
import math
import random
import signal
import subprocess

from support import COIL, CoilTest, write_forecaster

START = 1700006400  # 2023-11-15T00:00:00Z, a Wednesday


def noise(count, seed=1):
    rng = random.Random(seed)
    return [round(20 + rng.gauss(0, 1), 3) for _ in range(count)]


def records(values, sensor, step_s=60, **more):
    return [
        json.dumps({"sensor": sensor, "time": START + step_s * t, "flow": value, **more}).encode() + b"\n"
        for t, value in enumerate(values)
    ]


class Settings(CoilTest):
    def setUp(self):
        super().setUp()
        self.model = self.path("forecaster.safetensors")
        write_forecaster(self.model, gain=0)

    def stream(self, lines, config, *arguments, code=0):
        self.path("sensors.toml").write_text(config)
        return self.coil(
            "stream",
            "-m",
            self.model,
            "--key",
            "sensor",
            "--config",
            "sensors.toml",
            *arguments,
            input=b"".join(lines),
            code=code,
        )

    def test_limits_hold_from_the_first_record_and_while_they_are_broken(self):
        values = [20.0, 31.0, 31.0, 20.0, 9.5] + [20.0] * 20
        config = '[[sensor]]\nmatch = "plant/*"\nvalues.flow = { low = 10, high = 30.5, unit = "m3/h" }\n'
        results = self.json_lines(self.stream(records(values, "plant/a") + records(values, "b"), config))
        first, other = results[: len(values)], results[len(values) :]
        self.assertEqual([r["status"] for r in first[:5]], ["warmup", "anomaly", "anomaly", "warmup", "anomaly"])
        self.assertEqual([r["score"] for r in first[:5]], [0, 1, 1, 0, 1])
        self.assertEqual([r["episode"] for r in first[:6]], [None, "begin", "on", "on", "on", "on"])
        self.assertEqual(first[4 + 16]["episode"], "end")
        self.assertRegex(first[1]["cause"], r"^flow limit: 31 m3/h is above 30\.5")
        self.assertRegex(first[4]["cause"], r"^flow limit: 9\.5 m3/h is below 10")
        self.assertEqual({r["status"] for r in other}, {"warmup"})

    def test_a_threshold_of_its_own(self):
        values = noise(400)
        values[300] = 90.0
        lines = records(values, "a") + records(values, "b")
        config = '[[sensor]]\nmatch = "a"\nthreshold = 1\n'
        anomalies = [r["sensor"] for r in self.json_lines(self.stream(lines, config)) if r["status"] == "anomaly"]
        self.assertEqual(set(anomalies), {"b"})
        lower = '[[sensor]]\nmatch = "a"\nthreshold = 0.05\n'
        more = [r["sensor"] for r in self.json_lines(self.stream(lines, lower)) if r["status"] == "anomaly"]
        self.assertGreater(more.count("a"), more.count("b"))

    def test_each_setting_comes_from_the_first_table_that_has_it(self):
        config = """
            [[sensor]]
            match = "plant/[1]"
            name = "Pump 1"
            values.flow = { high = 50 }
            [[sensor]]
            match = "plant/*"
            name = "a pump"
            values.flow = { high = 30, unit = "l/s" }
            values.heat = { high = 60, unit = "C" }
        """
        lines = records([40.0], "plant/[1]", heat=61) + records([40.0], "plant/2", heat=59)
        first, other = self.json_lines(self.stream(lines, config, "--exec", "cat >> events"))
        self.assertRegex(first["cause"], "^heat limit: 61 C is above 60")
        self.assertRegex(other["cause"], "^flow limit: 40 l/s is above 30")
        events = [json.loads(line) for line in self.path("events").read_text().splitlines()]
        self.assertEqual([(e["sensor"], e["name"]) for e in events], [("plant/[1]", "Pump 1"), ("plant/2", "a pump")])
        self.assertEqual(events[1]["units"], {"flow": "l/s", "heat": "C"})
        self.assertEqual(events[1]["values"], {"flow": 40, "heat": 59})
        self.assertEqual(self.stderr, "")

    def test_what_comes_in_maintenance_is_neither_judged_nor_learnt(self):
        values = noise(600)
        odd = list(values)
        odd[300:330] = [500.0] * 30  # from 05:00 to 05:30 on a Wednesday
        odd[400] = 90.0
        window = '[[sensor]]\nmatch = "*"\nvalues.flow = { high = 400 }\nmaintenance = ["%s"]\n'
        null = [line.replace(b"500.0", b"null") for line in records(odd, "a")]
        plain = self.json_lines(self.stream(null, window % "Sun 05:00-05:30"))
        for words in ("Wed 05:00-05:30", "wednesday 05:00-05:30", "05:00-05:30", "2023-11-15T05:00Z/2023-11-15 05:30"):
            results = self.json_lines(self.stream(records(odd, "a"), window % words))
            self.assertEqual({r["status"] for r in results[300:330]}, {"maintenance"}, words)
            self.assertEqual({(r["score"], r["episode"], r["cause"]) for r in results[300:330]}, {(None, None, None)})
            self.assertEqual(results[330:], plain[330:], words)
        self.assertEqual(results[400]["status"], "anomaly")
        other = self.json_lines(self.stream(records(odd, "a"), window % "Tue 05:00-05:30"))
        self.assertEqual(other[300]["status"], "anomaly")

    def test_maintenance_over_midnight_ends_an_episode(self):
        values = [20.0] * 100
        values[0] = 99.0
        window = '[[sensor]]\nmatch = "*"\nvalues.flow = { high = 50 }\nmaintenance = ["tue 23:30-00:%s"]\n'
        results = self.json_lines(self.stream(records(values, "a"), window % "02"))
        self.assertEqual([r["status"] for r in results[:3]], ["maintenance", "maintenance", "warmup"])
        values[1] = values[2] = 99.0
        values[0] = 20.0
        results = self.json_lines(self.stream(records(values, "a"), window.replace("tue", "wed") % "02"))
        self.assertEqual([r["episode"] for r in results[:3]], [None, "begin", "on"])
        results = self.json_lines(
            self.stream(
                records(values, "a"),
                '[[sensor]]\nmatch = "*"\nvalues.flow = { high = 50 }\nmaintenance = ["00:02-00:04"]\n',
            )
        )
        self.assertEqual([r["episode"] for r in results[:4]], [None, "begin", "end", None])

    def test_names_and_units_in_summary_and_plot(self):
        config = '[[sensor]]\nmatch = "a"\nname = "Boiler"\nvalues.flow.unit = "l/s"\n'
        self.stream(records(noise(150), "a"), config, "--summary", "--plot", "out.html")
        self.assertIn("  a (Boiler): 150 records from ", self.stderr)
        page = self.path("out.html").read_text()
        self.assertIn('{"name":"Boiler: flow [l/s]"', page)
        self.stream(records(noise(150), "a"), config, "--plot", "out.png")

    def test_what_has_no_effect_is_said(self):
        config = '[[sensor]]\nmatch = "a"\nvalues.floww = { low = 1 }\n\n[[sensor]]\nmatch = "pmup*"\nname = "x"\n'
        self.stream(records(noise(3), "a"), config)
        self.assertIn("'sensors.toml', line 3: no sensor of 'a' has a value 'floww'", self.stderr)
        self.assertIn("'sensors.toml', line 5: no sensor came that 'pmup*' matches", self.stderr)

    def test_errors_name_file_line_and_field(self):
        begin = '[[sensor]]\nmatch = "a"\n'
        for config, words in (
            (begin + "treshold = 0.5\n", "line 3: 'treshold' is not known; wanted are match, name, threshold"),
            (begin + "threshold = 2\n", "line 3: 'threshold' must be a number from 0 to 1"),
            (begin + 'threshold = "high"\n', "line 3: 'threshold' must be a number"),
            (begin + "name = 3\n", "line 3: 'name' must be a text"),
            (begin + "values = 3\n", "line 3: 'values' must be a table"),
            (begin + "values.flow = 3\n", "line 3: 'flow' must be a table"),
            (begin + "values.flow = { low = 3, hihg = 4 }\n", "line 3: 'hihg' is not known; wanted are low, high"),
            (begin + "values.flow = { low = 3, high = 2 }\n", "line 3: 'low' of 'flow' is above 'high'"),
            (begin + "values.flow = { low = nan }\n", "line 3: 'low' must be a number"),
            (begin + 'maintenance = "Sun"\n', "line 3: 'maintenance' must be a list of texts"),
            (begin + 'maintenance = [\n"Sun 02:00-04:00",\n"Son 02:00-04:00"]\n', "line 5: 'maintenance': 'Son 02:00"),
            (begin + 'maintenance = ["25:00-26:00"]\n', "line 3: 'maintenance': '25:00-26:00' is not a time"),
            (begin + 'maintenance = ["2026-02-01/2026-01-01"]\n', "line 3: 'maintenance': '2026-02-01/"),
            ('[[sensor]]\nname = "x"\n', "line 1: 'match' is missing"),
            (begin + 'unit = "bar"\n', "line 3: 'unit' is a setting of a value, as values.flow = {"),
            ('[sensor]\nmatch = "x"\n', "line 1: each sensor is a table [[sensor]], with two brackets"),
            (
                '[pump]\nname = "x"\n[hall]\n',
                "line 1: 'pump' is not known; each sensor is a table [[sensor]] with match",
            ),
            ("sensors = []\n", "line 1: 'sensors' is not known"),
            (begin + "name = \n", "line 3: is not TOML: "),
            (begin + 'match = "b"\n', "line 3: is not TOML: "),
        ):
            self.stream([], config, code=2)
            self.assertIn("coil: error: --config 'sensors.toml', " + words, self.stderr)
        self.coil("stream", "--config", "none.toml", input=b"", code=2)
        self.assertIn("--config 'none.toml': cannot be read: No such file", self.stderr)
        self.coil("stream", "--config", ".", input=b"", code=2)
        self.assertIn("--config '.': cannot be read", self.stderr)

    def test_a_running_stream_reads_it_again(self):
        config = self.path("sensors.toml")
        high = '[[sensor]]\nmatch = "a"\nvalues.flow = { high = %s }\n'
        config.write_text(high % 50)
        worker = subprocess.Popen(
            [COIL, "stream", "-m", self.model, "--key", "sensor", "--config", str(config)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self.addCleanup(worker.kill)
        line = iter(records([30.0] * 3, "a"))

        def status():
            worker.stdin.write(next(line))
            worker.stdin.flush()
            return json.loads(worker.stdout.readline())["status"]

        def ask(words):
            worker.send_signal(signal.SIGHUP)
            self.assertIn(words, worker.stderr.readline())

        self.assertEqual(status(), "warmup")
        config.write_text(high % "x")
        ask(b"the settings stay as they were")
        self.assertEqual(status(), "warmup")
        config.write_text(high % 25)
        ask(b"was read again")
        self.assertEqual(status(), "anomaly")
        worker.stdin.close()
        self.assertEqual(worker.wait(60), 0)
        worker.stdout.close()
        worker.stderr.close()


if __name__ == "__main__":
    import unittest

    unittest.main()
