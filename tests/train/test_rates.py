"""The errors at other sample rates: how they are measured, and how they reach a preset's card."""
import json
import pathlib
import subprocess
import sys
import tempfile
import unittest

import common  # noqa: F401
import numpy as np

import dry
import evaluate_rates
import export
import wav


class Rates(unittest.TestCase):
    def test_resampling_is_exact_below_the_band(self):
        n, m = np.arange(4800), np.arange(4410)
        tones = lambda index, rate: sum(
            np.sin(2 * np.pi * hertz * index / rate + hertz) for hertz in (100, 1990, 15000)
        )
        there = evaluate_rates.resampled(tones(n, 48000) + np.sin(2 * np.pi * 21000 * n / 48000), 48000, 44100, 20000)
        np.testing.assert_allclose(there, tones(m, 44100), atol=1e-9)
        np.testing.assert_allclose(evaluate_rates.resampled(there, 44100, 48000, 20000), tones(n, 48000), atol=1e-9)
        with self.assertRaises(ValueError):
            evaluate_rates.resampled(n, 48000, 44101, 20000)

    def test_each_way_is_compared_with_the_own_rate(self):
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            wav.write(folder / "dry.wav", dry.synthetic(3, 24000), 48000)
            (folder / "index.json").write_text(json.dumps([{"dry": "dry.wav", "drive": 0.5, "tone": 0.5}]))
            # stands in for the executable: exact when resampling, 1 % too loud where steps are rescaled away from 48
            # kHz
            stand_in = folder / "stand_in"
            stand_in.write_text(
                f"#!{sys.executable}\nimport sys\nsys.path.insert(0, {str(pathlib.Path(wav.__file__).parent)!r})\n"
                "import wav\n"
                "x, rate = wav.read(sys.argv[2])\nwav.write(sys.argv[4], (1.01 if sys.argv[-1] == 'steps' and "
                "rate != 48000 else 1) * x, rate)\n"
            )
            stand_in.chmod(0o755)
            subprocess.run(
                [
                    sys.executable,
                    str(pathlib.Path(evaluate_rates.__file__)),
                    "--executable",
                    str(stand_in),
                    "--preset",
                    "none",
                    "--heldout",
                    str(folder),
                    "--rates",
                    "44100",
                    "96000",
                    "--json",
                    str(folder / "rates.json"),
                ],
                check=True,
                stdout=subprocess.DEVNULL,
            )
            rates = json.loads((folder / "rates.json").read_text())["rates"]
        self.assertEqual([r["rate_hz"] for r in rates], [44100, 96000])
        for r in rates:
            self.assertAlmostEqual(r["steps_esr_db"], -40, places=2)
            self.assertLess(r["resample_esr_db"], -100)
            self.assertLess(r["aliasing_5khz_db"]["steps"], -100)

    def test_the_shipped_card_is_the_one_that_export_writes(self):
        card = json.loads(
            export.read_safetensors(
                pathlib.Path(export.__file__).parents[1] / "presets" / "green_overdrive.safetensors"
            )[1]["card"]
        )
        self.assertEqual(export.renewed(card), card)

    def test_the_better_way_becomes_the_default_and_weights_and_hash_stay(self):
        preset = pathlib.Path(export.__file__).parents[1] / "presets" / "green_overdrive.safetensors"
        tensors, metadata = export.read_safetensors(preset)
        measured = lambda steps, resample: {
            "rates": [
                {"rate_hz": 44100, "excerpts": 3, "steps_esr_db": -70.04, "resample_esr_db": -60},
                {"rate_hz": 96000, "steps_esr_db": steps, "resample_esr_db": resample},
            ]
        }
        kept = export.with_other_rates(metadata, measured(-40.0, -50.0))
        self.assertNotIn("rate_scaling", json.loads(kept["config"]))
        self.assertEqual(
            json.loads(kept["card"])["other_rates"]["esr_db"],
            {"44100": {"steps": -70.0, "resample": -60}, "96000": {"steps": -40.0, "resample": -50.0}},
        )
        changed = export.with_other_rates(metadata, measured(-61.0, -50.0))
        self.assertEqual(json.loads(changed["config"])["rate_scaling"], "steps")
        self.assertEqual(export.with_other_rates(changed, measured(-40.0, -50.0))["config"], kept["config"])
        with tempfile.TemporaryDirectory() as name:
            path = pathlib.Path(name, "copy.safetensors")
            export.write_safetensors(path, tensors, kept)
            again, _ = export.read_safetensors(path)
        self.assertEqual({k: v.tobytes() for k, v in again.items()}, {k: v.tobytes() for k, v in tensors.items()})


if __name__ == "__main__":
    unittest.main()
