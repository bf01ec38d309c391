"""A sensor that stops sending is an event: from files, pipes and brokers."""

import json
import random
import subprocess
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
        self.assertEqual([round((t - START) / 60) for t, e in zip(c["t"], c["e"]) if e], [65, 99])
        self.coil("stream", "-m", self.model, "--key", "sensor", "in.ndjson", "--plot", "out.png")

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
