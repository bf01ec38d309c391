"""The files of sensor/deploy: they are valid, and everything that they name exists."""

import json
import pathlib
import re
import shutil
import subprocess
import tomllib
import unittest

from brokers import http_get, metrics_port, stream
from support import COIL, CoilTest, write_forecaster

ROOT = pathlib.Path(__file__).parents[2]
DEPLOY = ROOT / "sensor/deploy"


class Deploy(CoilTest):
    def setUp(self):
        super().setUp()
        self.model = self.path("forecaster.safetensors")
        write_forecaster(self.model)

    def run_snippet(self, command, lines):
        """Runs the snippet's command, with the test's model and no state in a system folder."""
        self.assertEqual(command[0], "coil")
        arguments = [self.path("state") if word.startswith("/var/lib/") else word for word in command[1:]]
        return (
            self.coil(*arguments, "-m", self.model, input="".join(f"{line}\n" for line in lines).encode())
            .decode()
            .splitlines()
        )

    def test_grafana_dashboard(self):
        dashboard = json.loads((DEPLOY / "grafana-dashboard.json").read_text())
        worker = stream(self, "--metrics", "0", stdin=subprocess.PIPE)
        worker.wait_for("/metrics")
        served = set(re.findall(r"^# TYPE (\S+)", http_get(metrics_port(worker.err), "/metrics")[2], re.M))
        of_links = set(re.findall(r'"(coil_stream_\w+)"', (ROOT / "cli/stream/stream_links.cpp").read_text()))
        self.assertTrue(served and of_links)
        shown = set()
        ids = [panel["id"] for panel in dashboard["panels"]]
        self.assertEqual(len(ids), len(set(ids)))
        for panel in dashboard["panels"]:
            self.assertTrue(panel["title"] and panel["description"] and panel["targets"])
            for target in panel["targets"]:
                expression = target["expr"]
                self.assertEqual(expression.count("("), expression.count(")"), expression)
                self.assertEqual(expression.count("{"), expression.count("}"), expression)
                names = set(re.findall(r"coil_\w+", expression))
                self.assertTrue(names)
                shown |= names
        self.assertLessEqual(shown, served | of_links)
        for needed in ("records", "late", "gaps", "resets", "mqtt_dropped_records"):
            self.assertIn(f"coil_stream_{needed}_total", shown)
        self.assertLessEqual({"coil_stream_lag", "coil_stream_series", "coil_stream_latency_seconds"}, shown)
        cells = [
            (x, y)
            for panel in dashboard["panels"]
            for place in [panel["gridPos"]]
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        ]
        self.assertEqual(len(cells), len(set(cells)), "panels overlap")
        self.assertLessEqual(max(x for x, _ in cells), 23)

    def test_telegraf(self):
        configuration = tomllib.loads((DEPLOY / "telegraf.conf").read_text())
        processor = configuration["processors"]["execd"][0]
        lines = [f"cpu,host=a usage={i % 7} {1700000000000000000 + i * 10**10}" for i in range(20)]
        results = self.run_snippet(processor["command"], lines)
        self.assertEqual(len(results), 20)
        for line, result in zip(lines, results):
            self.assertTrue(
                result.startswith(line.rsplit(" ", 1)[0]) and result.endswith(line.rsplit(" ", 1)[1]), result
            )
            self.assertIn("score=", results[-1])

    def test_node_red(self):
        nodes = {node["id"]: node for node in json.loads((DEPLOY / "node-red.json").read_text())}
        for node in nodes.values():
            for wires in node["wires"]:
                self.assertLessEqual(set(wires), set(nodes))
        daemon = next(node for node in nodes.values() if node["type"] == "daemon")
        results = self.run_snippet(
            [daemon["command"], *daemon["args"].split()], ['{"sensor": "pump", "value": 1.5}'] * 3
        )
        self.assertEqual([json.loads(text)["sensor"] for text in results], ["pump"] * 3)
        alarm = next(node for node in nodes.values() if node["type"] == "switch")
        self.assertIn(alarm["property"].removeprefix("payload."), json.loads(results[0]))

    @unittest.skipUnless(shutil.which("systemd-analyze"), "skipped: systemd-analyze not installed")
    def test_systemd_unit(self):
        text = (DEPLOY / "coil-stream@.service").read_text()
        start = re.search(r"^ExecStart=(.*)$", text, re.M)[1]
        self.assertEqual(start.split()[:2], ["/usr/bin/coil", "stream"])
        unit = self.path("coil-stream@x.service")
        unit.write_text(text.replace("/usr/bin/coil", COIL))
        verified = subprocess.run(
            ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", unit], capture_output=True, text=True
        )
        self.assertEqual((verified.returncode, verified.stderr), (0, ""))
        rated = subprocess.run(
            ["systemd-analyze", "security", "--offline=yes", "--threshold=20", "--no-pager", unit],
            capture_output=True,
            text=True,
        )
        self.assertEqual(rated.returncode, 0, rated.stdout[-300:])
        for options in re.findall(r"OPTIONS=(--.*?)(?:\.?$)", text, re.M):
            self.coil(
                *(word for word in start.split()[1:] if word != "$OPTIONS"),
                "-m",
                self.model,
                *options.split(),
                "--describe",
            )
        self.assertEqual(text.count("OPTIONS=--"), 2)
