"""The cabinets: the shipped files are what the script makes, and they sound like loudspeakers."""

import pathlib
import subprocess
import tempfile
import unittest

import common
import numpy as np

from preset import sound

SHIPPED = common.ROOT / "presets/cabinets"


def level_db(samples, low_hz, high_hz):
    spectrum = np.abs(np.fft.rfft(samples, 1 << 15)) ** 2
    hz = np.fft.rfftfreq(1 << 15, 1 / sound.RATE_HZ)
    return 10 * np.log10(spectrum[(hz >= low_hz) & (hz < high_hz)].mean())


class Cabinets(unittest.TestCase):
    def test_the_script_makes_the_shipped_files(self):
        with tempfile.TemporaryDirectory() as folder:
            subprocess.run([common.ROOT / "train/cabinets/make_cabinets", folder], check=True)
            made = {path.name: sound.read(path) for path in pathlib.Path(folder).iterdir()}
        self.assertEqual(sorted(made), sorted(path.name for path in SHIPPED.glob("*.wav")))
        for name, samples in made.items():  # another version of numpy may round otherwise
            np.testing.assert_allclose(samples, sound.read(SHIPPED / name), atol=1e-6)

    def test_they_pass_the_middle_and_neither_end(self):
        paths = sorted(SHIPPED.glob("*.wav"))
        self.assertEqual(len(paths), 12)
        for path in paths:
            samples = sound.read(path)
            with self.subTest(cabinet=path.stem):
                self.assertLessEqual(len(samples), 0.1 * sound.RATE_HZ)
                self.assertGreater(np.abs(samples[:48]).max(), 0.5 * np.abs(samples).max())  # no delay to speak of
                middle = level_db(samples, 300, 3000)
                self.assertLess(level_db(samples, 10000, 16000), middle - 12)
                self.assertLess(level_db(samples, 10, 25), middle - 3)
                self.assertLess(np.abs(samples[-48:]).max(), 1e-3)
