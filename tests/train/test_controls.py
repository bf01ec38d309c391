"""Networks of other kinds, trained for comparison: their shapes, and that each learns a simple device with a knob."""

import csv
import json
import pathlib
import subprocess
import sys
import tempfile
import unittest

import common
import numpy as np

from controls import train_control
from preset import sound

SCRIPT = common.ROOT / "train/controls/train_control.py"
FRAMES = 20000


def write_part(folder, part, takes, generator):
    """tanh of noise, with the knob as its gain."""
    rows = []
    for i in range(takes):
        gain = generator.uniform(0.5, 2)
        dry = 0.3 * generator.standard_normal(FRAMES)
        rows.append({"wet": f"{part}_{i}.wav", "dry": f"{part}_dry_{i}.wav", "gain": gain})
        sound.write(folder / rows[-1]["dry"], dry)
        sound.write(folder / rows[-1]["wet"], np.tanh(gain * dry))
    with open(folder / f"{part}.csv", "w", newline="") as f:
        writer = csv.DictWriter(f, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


class Controls(unittest.TestCase):
    def test_shapes_are_those_of_published_files(self):
        # The files' weights end with the scale of the head.
        for name, weights, reach in (("a1", 13802, 4092), ("a2", 12146, 6346)):
            with self.subTest(network=name):
                network = train_control.WaveNet(name, 0)
                self.assertEqual(sum(w.numel() for w in network.parameters()) + 1, weights)
                self.assertEqual(network.reach, reach)

    def test_each_learns_a_gain(self):
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            generator = np.random.default_rng(3)
            for part, takes in (("train", 8), ("recorded", 2), ("synthetic", 2)):
                write_part(folder, part, takes, generator)
            for network, rate, million_frames, most in (
                ("a1", 0.01, 0.15, 0.5),
                ("a2", 0.004, 0.3, 0.9),
                ("lstm", 0.01, 0.4, 0.3),
            ):
                words = [sys.executable, SCRIPT, folder, "--network", network, "--rate", rate]
                words += ["--million-frames", million_frames]
                done = subprocess.run([str(word) for word in words], check=True, capture_output=True, text=True)
                result = json.loads(done.stdout)
                with self.subTest(network=network):
                    for error in (result["esr_held_out"], result["recorded"]["esr_mean"]):
                        self.assertLess(error, most)  # silence has 1
                    self.assertAlmostEqual(result["million_frames"], million_frames, delta=0.02)


if __name__ == "__main__":
    unittest.main()
