"""`coil stream --metrics` and `--log json`: the monitoring of a running stream."""

import json
import math
import os
import pathlib
import re
import socket
import subprocess
import time

from brokers import http_get, metric_of, metrics_port, records, stream, wait_until
from support import COIL, CoilTest, write_forecaster

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
LABELS = r'(\{[a-zA-Z_][a-zA-Z0-9_]*="[^"\\\n]*"(,[a-zA-Z_][a-zA-Z0-9_]*="[^"\\\n]*")*\})?'
SAMPLE = re.compile(rf"^({NAME}){LABELS} (NaN|[+-]?Inf|-?[0-9.]+(e[+-]?[0-9]+)?)$")


class Metrics(CoilTest):
    def setUp(self):
        super().setUp()
        self.model = self.path("forecaster.safetensors")
        write_forecaster(self.model)

    def start(self, *arguments):
        worker = stream(self, "--metrics", "0", "--key", "sensor", *arguments, stdin=subprocess.PIPE)
        worker.wait_for("/metrics")
        return worker, metrics_port(worker.err)

    def send(self, worker, lines, results):
        worker.process.stdin.write("".join(f"{line}\n" for line in lines).encode())
        worker.process.stdin.flush()
        wait_until(lambda: len(worker.out) >= results, lambda: (len(worker.out), worker.err[-3:]))

    def test_the_text_format(self):
        worker, port = self.start()
        self.send(worker, records("a", 30), 30)
        status, kind, text = http_get(port, "/metrics")
        self.assertEqual((status, kind), (200, "text/plain; version=0.0.4; charset=utf-8"))
        types, described, seen = {}, set(), set()
        for line in text.splitlines():
            if line.startswith("# HELP "):
                described.add(line.split()[2])
            elif line.startswith("# TYPE "):
                _, _, name, metric_type = line.split()
                self.assertNotIn(name, types)
                types[name] = metric_type
            else:
                match = SAMPLE.match(line)
                self.assertTrue(match, line)
                family = next((name for name in types if match[1] in (name, name + "_sum", name + "_count")), None)
                self.assertIn(family, described)
                seen.add(family)
                self.assertEqual(types[family] == "counter", match[1].endswith("_total"), line)
        self.assertEqual(seen, set(types))
        self.assertTrue(text.endswith("\n"))

    def test_counts(self):
        worker, port = self.start("--future", "100000")
        lines = records("a", 40) + records("b", 20)
        lines += [records("a", 40)[39], "{", '{"sensor": "a", "value": "high"}']  # a duplicate; not JSON; not a number
        lines += [json.dumps({"sensor": "a", "time": 1600000000, "value": 1})]  # late
        lines += [json.dumps({"sensor": "a", "time": 1900000000, "value": 1})]  # ahead
        lines += [json.dumps({"sensor": "b", "time": 1700000000 + 60 * 1200, "value": 1})]  # after a long gap
        self.send(worker, lines, 64)
        wait_until(
            lambda: metric_of(port, "coil_stream_latency_seconds_count") == 64, lambda: http_get(port, "/metrics")[2]
        )
        expected = {
            "records": 63,
            "duplicates": 1,
            "malformed": 1,
            "unscored": 0,
            "late": 0,
            "clock_jumps": 1,
            "future": 1,
            "gaps": 1,
            "resets": 0,
            "skipped": 0,
            "missing_values": 1,
        }
        self.assertEqual({name: metric_of(port, f"coil_stream_{name}_total") for name in expected}, expected)
        self.assertEqual((metric_of(port, "coil_stream_sensors"), metric_of(port, "coil_stream_series")), (2, 2))
        p50, p99, p999 = (
            metric_of(port, f'coil_stream_latency_seconds{{quantile="{q}"}}') for q in ("0.5", "0.99", "0.999")
        )
        self.assertTrue(0 < p50 <= p99 <= p999 < 5, (p50, p99, p999))
        self.assertTrue(p50 / 2 < metric_of(port, "coil_stream_latency_seconds_sum") / 64 <= p999)

    def test_sensors_are_told_apart_up_to_a_bound(self):
        worker, port = self.start("--metrics-sensors", "2")
        lines = records("a", 30) + [json.dumps({"sensor": 'b"\\', "time": 1, "value": 1})]
        self.send(worker, lines + records("c", 3), 34)
        self.assertEqual(metric_of(port, 'coil_stream_sensor_records_total{sensor="a"}'), 30)
        self.assertEqual(metric_of(port, 'coil_stream_sensor_in_episode{sensor="a"}'), 0)
        text = http_get(port, "/metrics")[2]
        self.assertIn('coil_stream_sensor_records_total{sensor="b\\"\\\\"} 1\n', text)
        self.assertNotIn('sensor="c"', text)
        self.assertEqual(metric_of(port, "coil_stream_sensors_not_told_apart_total"), 3)

    def test_no_latency_without_records(self):
        _, port = self.start()
        self.assertTrue(math.isnan(metric_of(port, 'coil_stream_latency_seconds{quantile="0.5"}')))

    def test_health(self):
        worker, port = self.start()
        status, kind, text = http_get(port, "/health")
        self.assertEqual((status, kind, json.loads(text)), (200, "application/json", {"status": "ok"}))
        self.assertEqual(http_get(port, "/nothing")[0], 404)
        worker.process.stdin.close()
        self.assertEqual(worker.wait(), 0)

    def test_loopback_only_unless_asked(self):
        _, port = self.start()
        sockets = [line.split() for line in pathlib.Path("/proc/net/tcp").read_text().splitlines()]
        listening = [local for _, local, _, state, *_ in sockets if state == "0A" and local.endswith(f":{port:04X}")]
        self.assertEqual(listening, [f"0100007F:{port:04X}"])
        with socket.create_server(("127.0.0.1", 0)) as taken:
            self.coil("stream", "-m", self.model, "--metrics", str(taken.getsockname()[1]), code=1, input=b"")
            self.assertIn("is the port in use?", self.stderr)
        for address in ("port", "1:2:x", ":", "70000"):
            self.coil("stream", "-m", self.model, "--metrics", address, code=2, input=b"")
            self.assertIn(f"--metrics '{address}': expected a port", self.stderr)

    def test_results_are_the_same(self):
        lines = "".join(f"{line}\n" for line in records("a", 300)).encode()
        plain = self.coil("stream", "-m", self.model, input=lines)
        self.assertEqual(self.coil("stream", "-m", self.model, "--metrics", "0", input=lines), plain)

    def test_slow_reader_of_a_pipe(self):
        """Back-pressure: if nobody reads its results, a stream reads no more records, and uses no more memory."""
        read_end, write_end = os.pipe()
        worker = subprocess.Popen(
            [COIL, "stream", "-m", str(self.model)], cwd=self.folder, stdin=subprocess.PIPE, stdout=write_end
        )
        os.close(write_end)
        for cleanup in (lambda: os.close(read_end), worker.stdin.close, worker.wait, worker.kill):
            self.addCleanup(cleanup)
        os.set_blocking(worker.stdin.fileno(), False)
        line = json.dumps({"value": 1, "padding": "x" * 1000}).encode() + b"\n"
        written, moved_at = 0, time.monotonic()
        while time.monotonic() < moved_at + 1.5 and written < 100e6:
            try:
                written += os.write(worker.stdin.fileno(), 64 * line)
                moved_at = time.monotonic()
            except BlockingIOError:
                time.sleep(0.01)
        self.assertLess(written, 2e6)
        resident_kb = int(pathlib.Path(f"/proc/{worker.pid}/status").read_text().split("VmHWM:")[1].split()[0])
        self.assertLess(resident_kb, 60_000)

    def test_json_log(self):
        self.coil("stream", "-m", self.model, "--log", "json", input=b'{"value": 1}\n{\n"\xff"\n')
        events = [json.loads(line) for line in self.stderr.splitlines()]
        self.assertEqual(
            [(event["level"], event["part"]) for event in events], [("warning", "line 2"), ("warning", "line 3")]
        )
        for event in events:
            self.assertRegex(event["time"], r"^20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")
            self.assertIn("invalid JSON", event["message"])
        self.coil_fails_in_json("nowhere.safetensors", 3)
        self.coil_fails_in_json(self.model, 1, "nowhere.ndjson")

    def coil_fails_in_json(self, model, code, *arguments):
        done = subprocess.run(
            [COIL, "stream", "-m", str(model), "--log", "json", *arguments],
            cwd=self.folder,
            capture_output=True,
            input=b"",
        )
        event = json.loads(done.stderr)
        self.assertEqual((done.returncode, event["level"]), (code, "error"))
        self.assertIn("nowhere", event["message"])
