"""Values that no longer go together are an event: within a record, and among the sensors of a group."""

import json
import math
import random
import unittest

from support import CoilTest, write_forecaster

START = 1700006400
RECORDS, FAULT, FAULT_END = 900, 600, 800


def plant(seed=1, fault=True):
    """Rows of power, flow, heat: all follow the load; in a fault, the flow is half of what belongs to the load."""
    rng, rows, wander = random.Random(seed), [], 0.0
    for t in range(RECORDS):
        wander = 0.9 * wander + rng.gauss(0, 0.3)
        load = 5 + 2 * math.sin(t / 9) + wander
        leak = 0.7 if fault and FAULT <= t < FAULT_END else 1
        rows.append(
            {
                "power": round(10 * load + rng.gauss(0, 0.5), 3),
                "flow": round(3 * load * leak + rng.gauss(0, 0.2), 3),
                "heat": round(20 + 2 * load + rng.gauss(0, 0.2), 3),
            }
        )
    return rows


def together(rows):
    return "".join(json.dumps({"time": START + 60 * t, **row}) + "\n" for t, row in enumerate(rows))


def apart(rows, line="a"):
    return [
        json.dumps({"time": START + 60 * t, "line": line, "sensor": name, "v": value}) + "\n"
        for t, row in enumerate(rows)
        for name, value in row.items()
    ]


class Relations(CoilTest):
    def setUp(self):
        super().setUp()
        self.model = self.path("forecaster.safetensors")
        write_forecaster(self.model, gain=0)

    def watch(self, text, *arguments):
        self.path("in").write_text(text)
        output = self.coil("stream", "-m", self.model, *arguments, "in")
        return [json.loads(line) for line in output.splitlines()]

    def relations(self, *arguments):
        return [row for row in self.watch(*arguments, "--only", "anomaly") if " relation: " in row["cause"]]

    def test_values_of_one_record(self):
        found = self.relations(together(plant()))
        self.assertTrue(1 <= len(found) <= 5)
        at = (found[0]["time"] - START) // 60
        self.assertTrue(FAULT <= at < FAULT + 30, at)
        self.assertRegex(
            found[0]["cause"], r"^flow relation: [\d.]+, expected [\d.]+ from (power|heat) and (power|heat)$"
        )
        value, expected = (float(part) for part in found[0]["cause"][15:].split(" from")[0].split(", expected "))
        self.assertEqual(value, found[0]["flow"])
        self.assertTrue(1.2 * value < expected < 1.8 * value)
        self.assertGreater(found[0]["flow_score"], 0.5)
        episode = [row for row in self.watch(together(plant()), "--only", "episodes")]
        lasting = [row for row in episode if FAULT <= (row["time"] - START) // 60 < FAULT_END]
        self.assertGreater(len(lasting), 150)
        self.assertEqual(self.relations(together(plant()), "--alone"), [])
        self.assertEqual(self.relations(together(plant(fault=False))), [])

    def test_sensors_of_a_group(self):
        text = "".join(apart(plant()))
        self.assertEqual(self.relations(text, "--key", "line,sensor"), [])
        for group in ("line", "*"):
            found = self.relations(text, "--key", "line,sensor", "--group", group)
            self.assertEqual({row["sensor"] for row in found}, {"flow"})
            self.assertTrue(1 <= len(found) <= 5)
            self.assertRegex(
                found[0]["cause"], r"^v relation: [\d.]+, expected [\d.]+ from a/(power|heat) v and a/(power|heat) v$"
            )
        both = [line for pair in zip(apart(plant()), apart(plant(2, fault=False), "b")) for line in pair]
        found = self.relations("".join(both), "--key", "line,sensor", "--group", "line")
        self.assertEqual({(row["line"], row["sensor"]) for row in found}, {("a", "flow")})

    def test_tags_name_a_group(self):
        lines = [json.loads(line) for line in apart(plant())]
        text = "".join(f'm,line={r["line"]},sensor={r["sensor"]} v={r["v"]} {r["time"]}000000000\n' for r in lines)
        found = self.relations(text, "--group", "line", "--output-format", "ndjson")
        self.assertEqual({row["sensor"] for row in found}, {"flow"})

    def test_threads_cuts_and_eviction_change_nothing(self):
        both = [line for pair in zip(apart(plant()), apart(plant(2, fault=False), "b")) for line in pair]
        arguments = ("--key", "line,sensor", "--group", "line")
        whole = self.watch("".join(both), *arguments)
        self.assertEqual(self.watch("".join(both), *arguments, "--threads", "3"), whole)
        self.assertEqual(self.watch("".join(both), *arguments, "--max-series", "2"), whole)
        for cut in (5, 1000, 3700):
            parts = self.watch("".join(both[:cut]), *arguments, "--state", f"s{cut}")
            parts += self.watch("".join(both[cut:]), *arguments, "--state", f"s{cut}", "--threads", "2")
            self.assertEqual(parts, whole, cut)
        rows = together(plant()).splitlines(keepends=True)
        whole = self.watch("".join(rows))
        for cut in (1, 130, 610):
            parts = self.watch("".join(rows[:cut]), "--state", f"r{cut}")
            self.assertEqual(parts + self.watch("".join(rows[cut:]), "--state", f"r{cut}"), whole, cut)

    def test_missing_values_and_counts_of_sensors(self):
        rows = plant()
        for t in range(300, 400):
            rows[t]["heat"] = None
        found = self.relations(together(rows), "--summary")
        self.assertEqual({row["cause"].split(":")[0] for row in found}, {"flow relation"})
        self.relations("".join(apart(plant())), "--key", "line,sensor", "--group", "*", "--summary")
        self.assertRegex(self.stderr, r"  sensors +3\n")

    def test_wrong_options(self):
        for arguments, message in (
            (["--key", "sensor", "--group", "line"], "--group line: is no field of --key"),
            (["--key", "sensor", "--group", "*", "--alone"], "--group does not go with --alone"),
        ):
            self.coil("stream", "-m", self.model, *arguments, input=b"", code=2)
            self.assertIn(message, self.stderr)


if __name__ == "__main__":
    unittest.main()
