"""The measure VUS-PR, and the methods beside which Coil is judged by it."""

import unittest

import common  # noqa: F401
import numpy as np

from forecast import vus

LENGTH = 2000
LABELS = np.zeros(LENGTH, int)
LABELS[900:1000] = LABELS[1500:1540] = 1


class Vus(unittest.TestCase):
    def test_scale(self):
        self.assertAlmostEqual(vus.vus_pr(LABELS, LABELS, 0), 1)
        chance = np.mean([vus.vus_pr(np.random.default_rng(s).random(LENGTH), LABELS, 0) for s in range(20)])
        self.assertAlmostEqual(chance, LABELS.mean(), delta=0.03)
        self.assertAlmostEqual(vus.vus_pr(1 - LABELS, LABELS, 0), LABELS.mean())

    def test_a_near_miss_counts_within_the_buffer_only(self):
        early = np.zeros(LENGTH)
        early[[890, 1490]] = 1
        self.assertGreater(vus.vus_pr(early, LABELS, 100), vus.vus_pr(early, LABELS, 0) + 0.01)
        far = np.roll(LABELS, -300)
        self.assertLess(vus.vus_pr(far, LABELS, 100), 0.15)

    def test_a_stretch_that_is_missed_costs_its_share(self):
        one = LABELS.copy()
        one[1500:] = 0
        self.assertLess(vus.vus_pr(one, LABELS, 0), 0.75)

    def test_period_and_methods_find_a_flattened_wave(self):
        rng = np.random.default_rng(1)
        wave = np.sin(np.arange(LENGTH) / 50 * 2 * np.pi) + 0.05 * rng.normal(size=LENGTH)
        self.assertEqual(vus.period_of(wave), 50)
        wave[LABELS > 0] *= 0.2
        for method in (vus.sub_pca, vus.polynomial):
            self.assertEqual(len(method(wave, 50)), LENGTH)
        self.assertGreater(vus.vus_pr(vus.sub_pca(wave, 50), LABELS, 50), 0.3)
        wave = np.sin(np.arange(LENGTH) / 50 * 2 * np.pi)
        wave[1510] += 3
        off = vus.polynomial(wave, 10)
        self.assertAlmostEqual(off[1510], 9, delta=0.1)
        self.assertLess(np.median(off), 1e-4)

    def test_fading(self):
        faded = vus.faded(np.array([0, 1.0] + [0] * 100))
        self.assertEqual(faded[0], 0)
        self.assertAlmostEqual(faded[-1], np.exp(-1))


if __name__ == "__main__":
    unittest.main()
