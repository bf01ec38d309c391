"""Every preset that has a netlist: silent at rest, stable, and as close to a new simulation as its card says."""

import json
import os
import pathlib
import random
import subprocess
import tempfile
import unittest

import common  # noqa: F401
import numpy as np

from preset import model_file, sound, table

COIL, CIRCUIT = os.environ["COIL"], os.environ["COIL_CIRCUIT"]
DEVICES = sorted((common.ROOT / "train/circuits/devices").glob("*.net"))
LOUDNESS_LU = 1
TAKES, TAKE_SECONDS = 2, 2
SIZES = ("", "_lite", "_hq")
MOST_ERROR = 0.01  # mean
MARGIN = 1.5  # two additional short takes may be a little harder than the hardest of 32


def run(*command):
    return subprocess.run([str(word) for word in command], check=True, capture_output=True, text=True).stdout


def worst(info, part):
    return info["card"]["metrics"][part]["esr_worst"]


class Presets(unittest.TestCase):
    def setUp(self):
        self.presets = [(d, common.ROOT / f"presets/{d.stem}{size}.safetensors") for d in DEVICES for size in SIZES]
        self.presets = [(netlist, preset) for netlist, preset in self.presets if preset.exists()]
        self.assertGreaterEqual(len(self.presets), 12)

    def test_cards(self):
        loudness = []
        for netlist, preset in self.presets:
            with self.subTest(preset=preset.stem):
                info = json.loads(run(COIL, "info", "--json", preset))
                card, knobs = info["card"], json.loads(run(CIRCUIT, "info", netlist))["knobs"]
                self.assertEqual([c["name"] for c in info["controls"]], [k["name"] for k in knobs] + ["level"])
                for control, knob in zip(info["controls"], knobs):
                    self.assertEqual(
                        [control[k] for k in ("min", "max", "default")], [knob[k] for k in ("min", "max", "default")]
                    )
                    self.assertTrue(control["description"])
                self.assertIn(card["category"], ("boost", "drive", "amp", "dynamics", "colour"))
                self.assertTrue(card["tags"] and card["licence"] and card["description"])
                self.assertLess(card["metrics"]["recorded"]["esr_mean"], MOST_ERROR)
                loudness.append(
                    sound.loudness_lufs(sound.process(COIL, preset, common.ROOT / "assets/guitar_slide_lead.flac"))
                )
                self.assertTrue(preset.with_suffix(".md").read_text().startswith(f"# {card['name']}\n"))
        self.assertLess(max(loudness) - min(loudness), LOUDNESS_LU)

    def test_the_tables_say_what_the_cards_say(self):
        lines = (common.ROOT / "docs/play.md").read_text().splitlines()
        for preset in (preset for netlist, preset in self.presets if preset.stem == netlist.stem):
            with self.subTest(document="docs/play.md", preset=preset.stem):
                self.assertIn(table.short_row(preset.stem, model_file.read_card(preset)), lines)
        text = (common.ROOT / "train/MEASUREMENTS.md").read_text()
        for _, preset in self.presets:
            with self.subTest(preset=preset.stem):
                self.assertIn(table.row(preset.stem, json.loads(run(COIL, "info", "--json", preset))), text)

    def test_rest_and_stability(self):
        frames = 2 * sound.RATE_HZ
        noise = np.random.default_rng(5).standard_normal(frames)
        for _, preset in self.presets:
            with self.subTest(preset=preset.stem):
                self.assertEqual(np.abs(sound.process_samples(COIL, preset, np.zeros(frames))).max(), 0)
                for samples in (8 * noise, np.full(frames, 0.5), np.full(frames, -0.5)):
                    output = sound.process_samples(COIL, preset, samples)
                    self.assertTrue(np.isfinite(output).all())
                    self.assertLess(np.abs(output).max(), 200)
                after = sound.process_samples(COIL, preset, np.concatenate([8 * noise, np.zeros(10 * sound.RATE_HZ)]))
                self.assertLess(np.abs(after[-sound.RATE_HZ :]).max(), 1e-3)

    def test_error_on_fresh_takes(self):
        generator = random.Random(11)
        for netlist in sorted({netlist for netlist, _ in self.presets}):
            knobs = json.loads(run(CIRCUIT, "info", netlist))["knobs"]
            with self.subTest(device=netlist.stem), tempfile.TemporaryDirectory() as name:
                folder = pathlib.Path(name)
                run(CIRCUIT, "dry", folder, "--seed", 4242, "--count", TAKES, "--seconds", TAKE_SECONDS)
                rows, settings = [",".join(["wet", "dry", *(k["name"] for k in knobs)])], []
                for i in range(TAKES):
                    settings.append([f"{k['min'] + (k['max'] - k['min']) * generator.random():.2f}" for k in knobs])
                    rows.append(",".join([f"wet_{i}.wav", f"dry_{i + 1:03d}.wav", *settings[-1]]))
                (folder / "table.csv").write_text("\n".join(rows) + "\n")
                run(CIRCUIT, "render", netlist, folder / "table.csv", "--threads", 2)
                for preset in (preset for of, preset in self.presets if of == netlist):
                    self.check_error(preset, folder, knobs, settings)

    def check_error(self, preset, folder, knobs, settings):
        info = json.loads(run(COIL, "info", "--json", preset))
        for i, setting in enumerate(settings):
            at = [f"{k['name']}={value}" for k, value in zip(knobs, setting)] + ["level=0"]
            found = sound.process(COIL, preset, folder / f"dry_{i + 1:03d}.wav", at)
            wanted = sound.read(folder / f"wet_{i}.wav")
            error = ((found - wanted) ** 2).sum() / (wanted**2).sum()
            print(f"{preset.stem} at {' '.join(at)}: ESR {error:.1e}")
            self.assertLess(error, MARGIN * max(worst(info, "recorded"), worst(info, "synthetic")))
