"""`coil stream` reacts to anomalies: cause, filters, exit code, commands, web hooks, statistics per sensor."""

import http.server
import json
import math
import os
import pathlib
import random
import socket
import subprocess
import threading
import time

from support import COIL, CoilTest, write_forecaster

START = 1700000000


def noisy(values, sensor="a", field="value"):
    """One record per minute."""
    return [
        json.dumps({"sensor": sensor, "time": START + 60 * t, field: value}).encode() + b"\n"
        for t, value in enumerate(values)
    ]


def level(count, seed=1, mean=20.0):
    rng = random.Random(seed)
    return [round(mean + rng.gauss(0, 1), 3) for _ in range(count)]


class Receiver:
    """A web server that accepts events after `failures` failed requests; each answer takes `delay_s`."""

    def __init__(self, test, failures=0, delay_s=0.0):
        events, attempts = self.events, self.attempts = [], []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                attempts.append((self.path, self.headers["Content-Type"]))
                time.sleep(delay_s)
                if len(attempts) > failures:
                    events.append(json.loads(body))
                try:
                    self.send_response(200 if len(attempts) > failures else 503)
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                except OSError:
                    pass  # the client has given up

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        test.addCleanup(self.server.server_close)
        test.addCleanup(self.server.shutdown)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/alarm?from=coil"


class Actions(CoilTest):
    def setUp(self):
        super().setUp()
        self.model = self.path("forecaster.safetensors")
        write_forecaster(self.model, gain=0)
        self.spike = level(400)
        self.spike[300] = 90.0
        self.lines = noisy(self.spike)

    def stream(self, lines, *arguments, code=0):
        return self.coil("stream", "-m", self.model, "--key", "sensor", *arguments, input=b"".join(lines), code=code)

    def causes(self, values, *arguments):
        results = self.json_lines(self.stream(noisy(values), *arguments))
        for result in results:
            self.assertEqual(result["cause"] is None, result["status"] != "anomaly", result)
        return [(result["time"] - START) // 60 for result in results if result["cause"]], [
            result["cause"] for result in results if result["cause"]
        ]

    def test_causes(self):
        places, causes = self.causes(self.spike)
        self.assertEqual(places[0], 300)
        self.assertRegex(
            causes[0], r"^value level: 90 is beyond all before, higher, expected [\d.]+ \([\d.]+ to [\d.]+\)$"
        )
        fall = level(400)
        fall[300] = -50.0
        self.assertIn("beyond all before, lower", self.causes(fall)[1][0])
        stuck = level(300) + [21.5] * 100
        found = dict(zip(*self.causes(stuck, "--threshold", "0.1")))
        self.assertEqual(found[303], "value stuck: 21.5 again and again")
        for seed in range(3):
            rng = random.Random(seed)
            noise = [round(20 + rng.gauss(0, 0.3), 4) for _ in range(400)] + [20.0] * 50
            self.assertEqual(dict(zip(*self.causes(noise)))[407], "value stuck: 20 again and again")
        self.assertRegex(found[175], "value unrest: moves more than ever, now")
        self.assertRegex(found[271], "value level: recent values are higher than ever, now")
        rng = random.Random(3)
        calm = level(400) + [round(20 + rng.gauss(0, 0.01), 4) for _ in range(120)]
        self.assertRegex(dict(zip(*self.causes(calm, "--threshold", "0.1")))[406], "value calm: moves less than ever")
        wave = [round(40 * math.sin(t / 20) + 0.2 * v, 3) for t, v in enumerate(level(500))]
        wave[450] = round(wave[450] - 25, 3) if wave[450] > 0 else round(wave[450] + 25, 3)
        self.assertRegex(" ".join(self.causes(wave)[1]), r"value jump: (up|down) to -?[\d.]+, expected")

    def test_the_cause_names_the_value(self):
        lines = [
            json.dumps({"sensor": "a", "time": START + 60 * t, "calm": calm, "odd": odd}).encode() + b"\n"
            for t, (calm, odd) in enumerate(zip(level(400, 2), self.spike))
        ]
        results = self.json_lines(self.stream(lines))
        self.assertTrue(results[300]["cause"].startswith("odd level: 90 "), results[300])

    def test_each_panel_of_a_plot_has_its_own_score_and_episodes(self):
        lines = [
            json.dumps({"sensor": "</script>", "time": START + 60 * t, "calm": calm, "odd": odd}).encode() + b"\n"
            for t, (calm, odd) in enumerate(zip(level(400, 2), self.spike))
        ]
        self.assertEqual(self.stream(lines, "--plot", "out.html"), b"")
        page = self.path("out.html").read_text()
        self.assertEqual(page.count("</script>"), 1)  # only the page's own: no name can end the script
        plot = json.loads(page.split("const plot = ", 1)[1].split(";\n", 1)[0])
        calm, odd = plot["series"]
        self.assertEqual((calm["name"], odd["name"]), ("</script>: calm", "</script>: odd"))
        self.assertEqual((odd["v"][300], odd["t"][300]), (90, START + 60 * 300))
        self.assertGreater(odd["s"][300], 0.5)
        self.assertLess(max(calm["s"][290:320]), 0.5)
        self.assertEqual((odd["e"].index(1), sum(calm["e"])), (300, 0))
        self.assertEqual((odd["c"][0][0], calm["c"]), (START + 60 * 300, []))
        self.assertTrue(odd["c"][0][1].startswith("odd level: 90 is beyond all before, higher"), odd["c"])

    def test_only(self):
        results = self.json_lines(self.stream(self.lines))
        anomalies = self.json_lines(self.stream(self.lines, "--only", "anomaly"))
        self.assertEqual(anomalies, [r for r in results if r["status"] == "anomaly"])
        episodes = self.json_lines(self.stream(self.lines, "--only", "episodes"))
        self.assertEqual(episodes, [r for r in results if r["episode"]])
        self.assertTrue(0 < len(anomalies) < len(episodes) < 60)

    def test_since_and_train_only(self):
        results = self.stream(self.lines).splitlines()
        self.assertEqual(self.stream(self.lines, "--since", str(START + 60 * 250)).splitlines(), results[250:])
        self.assertEqual(self.stream(self.lines[:250], "--train-only", "--state", "s"), b"")
        self.assertEqual(self.stream(self.lines[250:], "--state", "s").splitlines(), results[250:])
        self.stream(self.lines, "--train-only", code=2)
        self.assertIn("--train-only needs --state", self.stderr)
        self.stream(self.lines, "--since", "yesterday", code=2)
        self.assertIn("--since 'yesterday'", self.stderr)

    def test_fail_on(self):
        done = subprocess.run(
            [COIL, "stream", "-m", self.model, "--fail-on", "anomaly"], input=b"".join(self.lines), capture_output=True
        )
        self.assertEqual((done.returncode, len(done.stdout.splitlines())), (5, 400))
        self.stream(self.lines[:300], "--fail-on", "anomaly")
        self.stream(self.lines, "--fail-on", "anomaly", "--since", str(START + 60 * 320))

    def test_summary_of_sensors(self):
        gap = noisy(level(300, 5), "b")
        self.stream(self.lines + gap[:200] + gap[230:], "--summary")
        self.assertIn(
            "  a: 400 records from 2023-11-14T22:13:20Z to 2023-11-15T04:52:20Z, 0 gaps, 1 episode\n", self.stderr
        )
        self.assertRegex(
            self.stderr, r"    2023-11-15T03:13:20Z to 2023-11-15T03:[\d:]+Z: value level: 90 is beyond all before"
        )
        self.assertIn(
            "  b: 270 records from 2023-11-14T22:13:20Z to 2023-11-15T03:12:20Z, 1 gap, 1 episode\n"
            "    2023-11-15T01:37:20Z to 2023-11-15T02:03:20Z: silence: nothing came for 31 min, usually every 1 min\n",
            self.stderr,
        )

    def test_a_command_at_begin_and_end(self):
        self.stream(
            self.lines, "--exec", 'cat >> events; echo "$COIL_SENSOR $COIL_EPISODE $COIL_TIME" >> names; echo noise'
        )
        events = [json.loads(line) for line in self.path("events").read_text().splitlines()]
        self.assertEqual([(e["sensor"], e["episode"]) for e in events], [("a", "begin"), ("a", "end")])
        self.assertEqual(
            (events[0]["time"], events[0]["status"], events[0]["values"]),
            ("2023-11-15T03:13:20Z", "anomaly", {"value": 90}),
        )
        self.assertRegex(events[0]["cause"], "^value level: 90 ")
        self.assertEqual(self.path("names").read_text().splitlines()[0], "a begin 2023-11-15T03:13:20Z")
        self.assertIn("noise", self.stderr)

    def test_a_command_that_fails_is_tried_again(self):
        self.stream(self.lines, "--exec", "echo x >> tries; [ $(wc -l < tries) -ge 3 ] && cat >> events")
        self.assertIn("--exec: ended with exit code 1; it is tried again", self.stderr)
        self.assertEqual(len(self.path("events").read_text().splitlines()), 2)

    def test_web_hooks(self):
        for name, failures, delay_s in (("good", 0, 0), ("failing", 2, 0), ("slow", 0, 0.7)):
            with self.subTest(name):
                receiver = Receiver(self, failures, delay_s)
                expected = self.stream(self.lines)
                self.assertEqual(self.stream(self.lines, "--webhook", receiver.url), expected)
                self.assertEqual([e["episode"] for e in receiver.events], ["begin", "end"])
                self.assertEqual(len(receiver.attempts), 2 + failures)
                self.assertEqual(receiver.attempts[0], ("/alarm?from=coil", "application/json"))

    def test_a_dead_receiver_holds_up_nothing(self):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
        lines = self.lines + noisy(level(100, 9), "b")
        worker = subprocess.Popen(
            [
                COIL,
                "stream",
                "-m",
                self.model,
                "--key",
                "sensor",
                "--webhook",
                f"http://127.0.0.1:{port}/",
                "--patience",
                "1",
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        worker.stdin.write(b"".join(lines))
        worker.stdin.flush()
        for _ in lines:  # while the events still wait
            self.assertTrue(worker.stdout.readline())
        out, err = worker.communicate(timeout=60)
        self.assertEqual((worker.returncode, out), (6, b""))
        self.assertIn(f"--webhook: http://127.0.0.1:{port} cannot be reached".encode(), err)
        self.assertIn(b"--webhook: 2 of 2 events could not be delivered: ", err)

    def test_events_that_are_given_up(self):
        expected = self.stream(self.lines)
        receiver = Receiver(self, failures=1000, delay_s=0)
        for name, action in (("web server", ("--webhook", receiver.url)), ("command", ("--exec", "exit 1"))):
            with self.subTest(name):
                lost = (*action, "--patience", "1")
                self.assertEqual(self.stream(self.lines, *lost, "--fail-on", "anomaly", code=6), expected)
                self.assertIn(f"{action[0]}: 2 of 2 events could not be delivered: ", self.stderr)
        self.assertGreaterEqual(len(receiver.attempts), 2)
        with self.subTest("one of two receivers"):
            self.stream(self.lines, "--exec", "cat >> events", "--exec", "exit 1", "--patience", "1", code=6)
            self.assertEqual(len(self.path("events").read_text().splitlines()), 2)

    def test_urls_and_options_that_cannot_work(self):
        for arguments, words in (
            (["--webhook", "localhost:80"], "is not a URL"),
            (["--webhook", "http:///x"], "is not a URL"),
            (["--train-only", "--state", "s", "--only", "anomaly"], "--train-only writes nothing"),
        ):
            self.stream(self.lines, *arguments, code=2)
            self.assertIn(words, self.stderr)


if __name__ == "__main__":
    import unittest

    unittest.main()
