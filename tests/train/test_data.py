"""Dry signals, the dataset and its files."""
import json
import pathlib
import subprocess
import sys
import tempfile
import unittest

import common  # noqa: F401
import numpy as np

import circuit
import dataset
import dry
import metrics
import wav

FRAMES = 9600


class Data(unittest.TestCase):
    def takes(self, folder):
        rng = np.random.default_rng(5)
        names = dry.TRAIN_TAKES + dry.VALIDATION_TAKES + dry.TEST_TAKES
        path = pathlib.Path(folder) / "takes.npz"
        np.savez(
            path,
            sample_rate=np.int64(48000),
            **{n: (3000 * (i + 1) + rng.integers(-99, 99, 48000)).astype(np.int16) for i, n in enumerate(names)},
        )
        return path, names

    def test_no_take_is_in_two_parts(self):
        parts = (dry.TRAIN_TAKES, dry.VALIDATION_TAKES, dry.TEST_TAKES)
        self.assertEqual(sum(map(len, parts)), len(set().union(*parts)))
        with tempfile.TemporaryDirectory() as folder:
            path, names = self.takes(folder)
            for part, own in zip(("train", "validation", "test"), parts):
                _, _, used, _ = dataset.PARTS[part]
                self.assertEqual(used, own)
                # the made-up takes are told apart by their level
                excerpts = dry.recorded(dry.load_takes(path), used, np.random.default_rng(0), 12, FRAMES, (1, 1))
                levels = {int(round(np.median(e) * 32768 / 3000)) for e in excerpts}
                self.assertEqual(levels, {names.index(n) + 1 for n in own})

    def test_seeded(self):
        with tempfile.TemporaryDirectory() as folder:
            path, _ = self.takes(folder)
            first, again, other = (dataset.make("validation", path, seed, FRAMES, 0.2) for seed in (1, 1, 2))
        for key in ("x", "y", "knobs"):
            np.testing.assert_array_equal(first[key], again[key])
        self.assertGreater(np.abs(first["x"] - other["x"]).max(), 0.01)

    def test_wet_belongs_to_dry_and_knobs(self):
        part = dataset.make("train", None, 7, FRAMES, 0.02)
        self.assertEqual(len(part["x"]), len(part["y"]))
        for x, y, (drive, tone) in zip(part["x"], part["y"], part["knobs"]):
            np.testing.assert_allclose(circuit.process(x, float(drive), float(tone)), y, atol=1e-6)

    def test_test_part_covers_the_knob_grid(self):
        with tempfile.TemporaryDirectory() as folder:
            path, _ = self.takes(folder)
            part = dataset.make("test", path, 1, 2400)
        recorded = {tuple(map(float, k)) for k, s in zip(part["knobs"], part["source"]) if s == "recorded"}
        self.assertEqual(recorded, {(d, t) for d in dataset.GRID for t in dataset.GRID})

    def test_synthetic_signals_are_bounded_and_of_many_kinds(self):
        levels, brightness = [], []
        for seed in range(1, 40):
            x = dry.synthetic(seed, 48000)
            self.assertTrue(np.all(np.isfinite(x)) and np.abs(x).max() < 1.6)
            levels.append(x.std())
            brightness.append(np.abs(np.diff(x)).mean() / np.abs(x).mean())
        self.assertGreater(max(levels) / min(levels), 10)
        self.assertGreater(max(brightness) / min(brightness), 10)

    def test_wav_round_trip(self):
        x = np.random.default_rng(1).standard_normal(1001).astype(np.float32) * 3
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "a.wav"
            wav.write(path, x, 44100)
            self.assertEqual(int.from_bytes(path.read_bytes()[4:8], "little"), path.stat().st_size - 8)
            y, rate = wav.read(path)
        self.assertEqual(rate, 44100)
        np.testing.assert_array_equal(x, y)

    def test_aliasing_measure(self):
        n = np.arange(96000)
        tone = np.sin(2 * np.pi * 5000 * n / 48000) + 0.3 * np.sin(2 * np.pi * 15000 * n / 48000) + 0.1
        self.assertLess(metrics.aliasing_db(tone, 5000, 48000), -150)
        self.assertAlmostEqual(
            metrics.aliasing_db(tone + 0.01 * np.sin(2 * np.pi * 2000 * n / 48000), 5000, 48000),
            10 * np.log10(1e-4 / 1.09),
            delta=0.05,
        )

    def test_evaluate_runs_an_executable(self):
        x = dry.synthetic(3, 24000)
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            index = []
            for i, gain in enumerate((2.0, 2.2)):
                wav.write(folder / f"{i}_dry.wav", x, 48000)
                wav.write(folder / f"{i}_wet.wav", gain * x, 48000)
                index.append(
                    {"dry": f"{i}_dry.wav", "wet": f"{i}_wet.wav", "drive": 0.5, "tone": i / 2, "source": "synthetic"}
                )
            (folder / "index.json").write_text(json.dumps(index))
            # stands in for the executable: doubles its input, and insists on the knobs in card units
            stand_in = folder / "stand_in"
            stand_in.write_text(
                f"#!{sys.executable}\nimport sys\nsys.path.insert(0, "
                f"{str(pathlib.Path(dataset.__file__).parent)!r})\nimport wav\n"
                "c, source, o, out, m, preset, s1, drive, s2, tone = sys.argv[1:]\n"
                "assert (c, o, m, s1, s2) == ('process', '-o', '-m', '--set', '--set') and drive in ('drive=0', "
                "'drive=5', 'drive=10') and tone in ('tone=0', 'tone=5', 'tone=10')\n"
                "x, rate = wav.read(source)\nwav.write(out, 2 * x, rate)\n"
            )
            stand_in.chmod(0o755)
            subprocess.run(
                [
                    sys.executable,
                    str(pathlib.Path(dataset.__file__).with_name("evaluate.py")),
                    "--executable",
                    str(stand_in),
                    "--preset",
                    "none",
                    "--heldout",
                    str(folder),
                    "--json",
                    str(folder / "result.json"),
                ],
                check=True,
                stdout=subprocess.DEVNULL,
            )
            result = json.loads((folder / "result.json").read_text())["preset"]
        cells = {c["tone"]: c["esr"] for c in result["knobs"]}
        self.assertLess(cells[0], 1e-12)
        self.assertAlmostEqual(cells[5], (0.2 / 2.2) ** 2, places=5)
        self.assertAlmostEqual(result["all"]["esr"], 0.04 / (4 + 4.84), places=5)
        self.assertAlmostEqual(result["all_settled"]["esr"], 0.04 / (4 + 4.84), places=5)
        self.assertLess(result["silence"]["start_peak_dbfs"], -200)


if __name__ == "__main__":
    unittest.main()
