"""A sensor that stops sending is an event: from files, pipes and brokers."""

import json
import random
import subprocess
import time
import unittest

from brokers import (
    MockKafka,
    Mosquitto,
    http_get,
    metric_of,
    metrics_port,
    needs_mock_kafka,
    needs_mosquitto,
    stream,
    wait_until,
)
from support import COIL, CoilTest, write_forecaster

START = 1700006400  # 2023-11-15T00:00:00Z, a Wednesday
QUICK = '[[sensor]]\nmatch = "*"\ninterval = "100ms"\n'  # silent after half a second


def lines(sensor, minutes, first=1):
    rng = random.Random(sensor)
    return [
        (START + 60 * t, json.dumps({"sensor": sensor, "time": START + 60 * t, "v": round(rng.gauss(9, first), 2)}))
        for t in minutes
    ]


def merged(*sensors):
    return "".join(line + "\n" for _, line in sorted(sum(sensors, []), key=lambda entry: entry[0]))


class SilenceTest(CoilTest):
    def setUp(self):
        super().setUp()
        self.model = self.path("forecaster.safetensors")
        write_forecaster(self.model, gain=0)

    def events_of(self, text, *arguments, config=None, pipe=False):
        """(sensor, episode, minute) of each silence, as the command of --on-episode gets them."""
        self.path("events").unlink(missing_ok=True)
        self.path("in.ndjson").write_text(text)
        arguments = ["--key", "sensor", "--exec", "cat >> events", *arguments]
        if config:
            self.path("sensors.toml").write_text(config)
            arguments += ["--config", "sensors.toml"]
        if pipe:
            self.results = self.coil("stream", "-m", self.model, *arguments, input=text.encode())
        else:
            self.results = self.coil("stream", "-m", self.model, *arguments, "in.ndjson")
        return self.events()

    def events(self):
        path = self.path("events")
        self.all = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
        self.silences = [event for event in self.all if event.get("cause", "").startswith("silence: ")]
        minute = (
            lambda event: (int(event["time"][8:10]) - 15) * 1440
            + int(event["time"][11:13]) * 60
            + int(event["time"][14:16])
        )
        return [(event["sensor"], event["episode"], minute(event)) for event in self.silences]


class Silence(SilenceTest):
    def test_a_sensor_that_stops_and_one_that_comes_back(self):
        text = merged(
            lines("stops", range(0, 50)),
            lines("returns", [*range(0, 40), *range(75, 100)]),
            lines("calm", range(0, 100)),
        )
        wanted = [("returns", "begin", 45), ("stops", "begin", 55), ("returns", "end", 75)]
        for pipe in (False, True):
            self.assertEqual(self.events_of(text, "--summary", pipe=pipe), wanted)
            self.assertEqual(self.silences[0]["cause"], "silence: nothing came for 6 min, usually every 1 min")
            self.assertEqual([event["status"] for event in self.silences], ["silent", "silent", "back"])
            self.assertEqual(self.silences[2]["cause"], "silence: nothing came for 36 min, usually every 1 min")
            self.assertIn(
                "  stops: 50 records from 2023-11-15T00:00:00Z to 2023-11-15T00:49:00Z, 0 gaps, 1 episode\n"
                "    2023-11-15T00:55:",
                self.stderr,
            )
            self.assertRegex(self.stderr, r"    2023-11-15T00:55:[\d:.]+Z to now: silence: nothing came for 6 min")
        self.assertEqual(len(self.results.splitlines()), 215)
        patient = [("returns", "begin", 52), ("stops", "begin", 62), ("returns", "end", 75)]
        self.assertEqual(self.events_of(text, "--silence", "12"), patient)
        self.assertEqual(self.events_of(text, "--silence", "0"), [])

    def test_a_gap_of_all_sensors(self):
        text = merged(lines("a", [*range(0, 30), *range(100, 110)]))
        self.assertEqual(self.events_of(text), [("a", "begin", 34), ("a", "end", 100)])
        self.assertEqual(self.events_of(text, "--reorder", "3"), [("a", "begin", 34), ("a", "end", 100)])
        both = merged(lines("a", [*range(0, 30), *range(100, 110)]), lines("b", [*range(0, 30), *range(100, 110)]))
        self.assertEqual(len(self.events_of(both)), 4)

    def test_what_is_no_silence(self):
        rng, at, times = random.Random(5), 0.0, []
        for _ in range(3000):
            at += rng.expovariate(1 / 10)
            times.append(at)
        by_chance = [(START + t, json.dumps({"sensor": "door", "time": START + t, "v": 1})) for t in times]
        self.assertEqual(self.events_of(merged(by_chance)), [])
        one_after_the_other = "".join(merged(lines(name, range(100))) for name in "abc")
        self.assertEqual(self.events_of(one_after_the_other), [])
        missing = merged(lines("a", [t for t in range(300) if t % 7 and t % 11]), lines("b", range(300)))
        self.assertEqual(self.events_of(missing), [])
        ahead = [(time, line.replace(str(time), str(time + 3600))) for time, line in lines("other zone", range(100))]
        self.assertEqual(self.events_of(merged(lines("a", range(100)), ahead)), [])
        no_times = "".join(json.dumps({"sensor": "a", "v": t % 5}) + "\n" for t in range(100))
        self.assertEqual(self.events_of(no_times, pipe=True), [])

    def test_a_late_record_and_a_null_are_signs_of_life(self):
        null = [(time, line.replace(line.split('"v": ')[1], "null}")) for time, line in lines("a", range(30, 60))]
        self.assertEqual(self.events_of(merged(lines("a", range(30)), null, lines("b", range(60)))), [])
        late = [(START + 60 * 33, lines("a", [5])[0][1])]
        text = merged(lines("a", range(30)), late, lines("a", range(60, 70)), lines("b", range(70)))
        self.assertEqual(self.events_of(text), [("a", "begin", 35), ("a", "end", 60)])

    def test_the_interval_that_is_told(self):
        text = merged(lines("a", [0, 1]), lines("b", range(0, 100)))
        config = '[[sensor]]\nmatch = "a"\nname = "Pump"\ninterval = "10min"\n'
        self.assertEqual(self.events_of(text), [])
        self.assertEqual(self.events_of(text, config=config), [("a", "begin", 52)])
        self.assertEqual(self.silences[0]["name"], "Pump")
        quiet = '[[sensor]]\nmatch = "a"\ninterval = 600\nmaintenance = ["00:30-01:10"]\n'
        self.assertEqual(self.events_of(text, config=quiet), [])
        shorter = '[[sensor]]\nmatch = "a"\ninterval = 600\nmaintenance = ["00:30-00:40"]\n'
        self.assertEqual(self.events_of(text, config=shorter), [("a", "begin", 52)])
        self.path("sensors.toml").write_text('[[sensor]]\nmatch = "a"\ninterval = "often"\n')
        self.coil("stream", "--config", "sensors.toml", input=b"", code=2)
        self.assertIn("line 3: 'interval' must be a time above 0, as 60 (seconds) or \"5min\"", self.stderr)
        self.coil("stream", "--silence", "0.5", input=b"", code=2)
        self.assertIn("--silence 0.5: wanted are at least 1.5 usual intervals, or 0", self.stderr)

    def test_the_state_keeps_it(self):
        sensors = [lines("a", [*range(0, 30), *range(80, 90)]), lines("b", range(0, 100)), lines("dies", range(0, 50))]
        text = merged(*sensors)
        whole = self.events_of(text)
        self.assertEqual(whole, [("a", "begin", 35), ("dies", "begin", 55), ("a", "end", 80), ("a", "begin", 95)])
        rows = text.splitlines(keepends=True)
        for cut in (40, 80, 110, len(rows) - 3):
            parts = self.events_of("".join(rows[:cut]), "--state", f"s{cut}")
            parts += self.events_of("".join(rows[cut:]), "--state", f"s{cut}")
            self.assertEqual(parts, whole, cut)

    def test_since_and_plot(self):
        text = merged(lines("a", [*range(0, 40), *range(75, 100)]), lines("b", range(0, 100)), lines("c", range(60)))
        self.assertEqual(self.events_of(text, "--since", str(START + 60 * 60)), [("c", "begin", 65), ("a", "end", 75)])
        self.coil("stream", "-m", self.model, "--key", "sensor", "in.ndjson", "--plot", "out.html")
        page = self.path("out.html").read_text()
        series = {s["name"]: s for s in json.loads(page.split("const plot = ", 1)[1].split(";\n", 1)[0])["series"]}
        a, c = series["a: v"], series["c: v"]
        silent = [(round((t - START) / 60), v) for t, v, e in zip(a["t"], a["v"], a["e"]) if e]
        self.assertEqual(silent, [(45, None), (75, None)])
        self.assertRegex(a["c"][0][1], "^silence: nothing came for ")
        self.assertEqual([round((t - START) / 60) for t, e in zip(c["t"], c["e"]) if e], [65, 99])
        self.coil("stream", "-m", self.model, "--key", "sensor", "in.ndjson", "--plot", "out.png")

    def select(self, text, *arguments, code=0):
        """The output, as lines."""
        self.path("in").write_text(text)
        command = [COIL, "stream", "-m", self.model, *arguments, "in"]
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True)
        self.stderr = done.stderr
        self.assertEqual(done.returncode, code, done.stderr)
        return done.stdout.splitlines()

    def test_silences_among_selected_results(self):
        text = merged(
            lines("stops", range(0, 50)),
            lines("returns", [*range(0, 40), *range(75, 100)]),
            lines("calm", range(0, 100)),
        )
        key = ("--key", "sensor")
        rows = {
            only: [json.loads(line) for line in self.select(text, *key, "--only", only)]
            for only in ("anomaly", "episodes")
        }
        begin = "silence: nothing came for 6 min, usually every 1 min"
        known = {"score": None, "status": "silent", "episode": "begin", "cause": begin}
        silent = [
            {"sensor": "returns", "time": START + 60 * 45, **known},
            {"sensor": "stops", "time": START + 60 * 55, **known},
        ]
        self.assertEqual(rows["anomaly"], silent)
        back = {"sensor": "returns", "time": START + 60 * 75, "score": None, "status": "back", "episode": "end"}
        back["cause"] = "silence: nothing came for 36 min, usually every 1 min"
        self.assertEqual(rows["episodes"], silent + [back])
        self.assertEqual(len(self.select(text, *key)), 215)  # one result for each record
        self.select(text, *key, "--fail-on", "anomaly", "--summary", code=5)
        self.assertRegex(self.stderr, r"  episodes +2\n  silences +2\n")
        after = str(START + 60 * 60)
        self.select(text, *key, "--fail-on", "anomaly", "--since", after)
        self.assertEqual(len(self.select(text, *key, "--only", "episodes", "--since", after)), 1)
        for only in ("anomaly", "episodes"):
            self.assertEqual(self.select(text, *key, "--only", only, "--silence", "0", "--fail-on", "anomaly"), [])
        calm = merged(lines("a", range(100)), lines("b", range(100)))
        self.assertEqual(self.select(calm, *key, "--only", "episodes", "--fail-on", "anomaly"), [])

    def test_a_limit_a_jump_and_a_silence_count_alike(self):
        text = merged(
            lines("limit", range(200)), lines("jump", range(200), first=2), lines("stops", range(100))
        ).replace('"v": ', '"extra": 1, "v": ')
        config = '[[sensor]]\nmatch = "limit"\nvalues.v = { high = 100 }\n'
        self.path("sensors.toml").write_text(config)
        changed = []
        for line in text.splitlines():
            record = json.loads(line)
            if record["sensor"] != "stops" and record["time"] == START + 60 * 150:
                record["v"] = 500.0 if record["sensor"] == "jump" else 101.0
            changed.append(json.dumps(record) + "\n")
        for name, only in (("limit", 1), ("jump", 1), ("stops", 1)):
            alone = "".join(line for line in changed if json.loads(line)["sensor"] in (name, "calm"))
            alone = merged(
                [(json.loads(line)["time"], line.rstrip()) for line in alone.splitlines()], lines("calm", range(200))
            )
            arguments = ("--key", "sensor", "--config", "sensors.toml", "--fail-on", "anomaly", "--summary")
            found = [json.loads(line) for line in self.select(alone, *arguments, "--only", "anomaly", code=5)]
            self.assertEqual([row["sensor"] for row in found], [name] * only)
            self.assertEqual(found[0]["episode"], "begin")
            self.assertIn(found[0]["cause"], self.stderr)
            self.assertRegex(self.stderr, rf"  {name}: \d+ records .* 1 episode\n")
            self.assertRegex(self.stderr, r"  episodes +1\n")
            episodes = [json.loads(line) for line in self.select(alone, *arguments, "--only", "episodes", code=5)]
            self.assertEqual({row["sensor"] for row in episodes}, {name})

    def test_silences_in_every_format(self):
        def utc(seconds, form):
            return time.strftime(form, time.gmtime(seconds))

        def rows(form):
            stops = [(START + 60 * t, "stops") for t in range(50)]
            return "".join(form(*row) for row in sorted(stops + [(START + 60 * t, "calm") for t in range(60)]))

        at = START + 60 * 55
        cause = "silence: nothing came for 6 min, usually every 1 min"
        line = rows(lambda t, s: f"pump,sensor={s},site=a\\ b v=1,n=\"x\" {t}000000000\n")
        fields = f'status="silent",episode="begin",cause="{cause}"'
        csv = "when;sensor;v\n" + rows(lambda t, s: f"{utc(t, '%d/%m/%Y %H:%M:%S')};{s};1,5\n")
        two = "date,clock,sensor,v\n" + rows(lambda t, s: f"{utc(t, '%Y-%m-%d,%H:%M:%S')},{s},1.5\n")
        rfc = rows(lambda t, s: json.dumps({"t": utc(t, "%Y-%m-%dT%H:%M:%SZ"), "sensor": s, "v": 1}) + "\n")
        ms = rows(lambda t, s: json.dumps({"t": 1000 * t, "sensor": s, "v": 1}) + "\n")
        form = "%d/%m/%Y %H:%M:%S"
        for text, arguments, wanted in (
            (line, [], f"pump,sensor=stops,site=a\\ b {fields} {at}000000000"),
            (line, ["--key", "measurement,sensor"], f"pump,sensor=stops {fields} {at}000000000"),
            (
                line,
                ["--output-format", "csv"],
                f'pump,stops,a b,,,{utc(at, "%Y-%m-%dT%H:%M:%SZ")},,,,,silent,begin,"{cause}"',
            ),
            (csv, ["--time", "when", "--time-format", form], f"{utc(at, form)};stops;;;;;;silent;begin;{cause}"),
            (two, ["--time", "date,clock"], f'{utc(at, "%Y-%m-%d,%H:%M:%S")},stops,,,,,,silent,begin,"{cause}"'),
            (two, ["--time", "date,clock", "--output-format", "line"], f"record,sensor=stops {fields} {at}000000000"),
            (rfc, ["--time", "t"], f'{{"t":"{utc(at, "%Y-%m-%dT%H:%M:%SZ")}","sensor":"stops","score":null,'),
            (ms, ["--time", "t"], f'{{"t":{at}000,"sensor":"stops","score":null,"status":"silent"'),
            (ms, ["--time", "t", "--prefix", "x_"], f'{{"t":{at}000,"sensor":"stops","x_score":null,'),
        ):
            key = [] if text == line else ["--key", "sensor"]
            found = self.select(text, *key, "--only", "anomaly", *arguments)
            self.assertTrue(found[-1].startswith(wanted), (found[-1], wanted))

    def test_a_pipe_and_a_file_that_is_followed(self):
        self.path("sensors.toml").write_text(QUICK)
        self.path("grows").write_text(merged(lines("a", range(3))))
        for source in ([], ["--follow", "grows", "--state", "s"]):
            self.path("events").unlink(missing_ok=True)
            worker = stream(
                self,
                "--key",
                "sensor",
                "--config",
                "sensors.toml",
                "--exec",
                "cat >> events",
                *source,
                stdin=subprocess.PIPE,
            )
            if not source:
                worker.process.stdin.write(merged(lines("a", range(3))).encode())
                worker.process.stdin.flush()
            wait_until(lambda: [event[:2] for event in self.events()][-1:] == [("a", "begin")], lambda: worker.err)
            self.assertRegex(self.silences[-1]["cause"], r"nothing came for \d+ ms, usually every 100 ms")
            worker.stop()


@needs_mosquitto
class SilenceOverMqtt(SilenceTest):
    def test_mqtt(self):
        self.path("sensors.toml").write_text(QUICK)
        broker = Mosquitto(self)
        worker = stream(
            self,
            "--mqtt",
            f"127.0.0.1:{broker.port}/plant/+",
            "--mqtt-out",
            "scores",
            "--config",
            "sensors.toml",
            "--exec",
            "cat >> events",
            "--metrics",
            "0",
        )
        worker.wait_for("/metrics")
        wait_until(lambda: broker.subscriptions() > 0, lambda: worker.err)
        port = metrics_port(worker.err)
        broker.publish("plant/a", ["21.5"])
        wait_until(self.path("events").exists, lambda: worker.err)
        wait_until(
            lambda: metric_of(port, 'coil_stream_sensor_silent{sensor="plant/a"}') == 1,
            lambda: http_get(port, "/metrics")[2],
        )
        broker.publish("plant/a", ["21.5"])
        wait_until(lambda: '"end"' in self.path("events").read_text(), lambda: worker.err)
        self.assertGreaterEqual(metric_of(port, "coil_stream_silences_total"), 1)
        first, second = [json.loads(line) for line in self.path("events").read_text().splitlines()[:2]]
        self.assertEqual((first["sensor"], first["episode"], first["status"]), ("plant/a", "begin", "silent"))
        self.assertEqual((second["episode"], second["status"]), ("end", "back"))
        worker.stop()


@needs_mock_kafka
class SilenceOverKafka(SilenceTest):
    def test_kafka(self):
        self.path("sensors.toml").write_text(QUICK)
        kafka = MockKafka(self)
        kafka.topic("sensors", 1)
        worker = stream(
            self,
            "--kafka",
            f"{kafka.brokers}/sensors",
            "--key",
            "sensor",
            "--state",
            "state",
            "--config",
            "sensors.toml",
            "--exec",
            "cat >> events",
        )
        kafka.produce("sensors", 0, [("a", line) for _, line in lines("a", range(1))])
        wait_until(
            lambda: self.path("events").exists() and self.path("events").read_text().count("silent") == 1,
            lambda: worker.err,
            60,
        )
        event = json.loads(self.path("events").read_text().splitlines()[-1])
        self.assertEqual((event["sensor"], event["episode"], event["status"]), ("sensors/a", "begin", "silent"))
        worker.stop()


if __name__ == "__main__":
    unittest.main()
