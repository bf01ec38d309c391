"""Synthetic anomalies, and the trials of the anomaly score's constants."""
import unittest

import common  # noqa: F401
import numpy as np

from forecast import anomalies, fit_score

RECORDINGS = [("recorded", 10 + np.sin(np.arange(3000) / 4), 24)]
TRAINED = [np.random.default_rng(3).normal(size=4096)]


class Anomalies(unittest.TestCase):
    def test_series_come_again_from_their_seed(self):
        for seed in range(40):
            one, again = (anomalies.draw(seed, RECORDINGS, TRAINED) for _ in range(2))
            np.testing.assert_array_equal(one.values, again.values)
            self.assertEqual(one.windows, again.windows)
            self.assertTrue(np.isfinite(one.values).all())

    def test_windows_are_a_tenth_of_the_series_behind_its_beginning(self):
        for seed in range(40):
            s = anomalies.draw(seed, RECORDINGS, TRAINED)
            n, ends = len(s.values), [-1]
            for first, last in s.windows:
                self.assertGreater(first, ends[-1])
                self.assertLess(last, n)
                self.assertGreater((first + last) / 2, anomalies.FIRST_ANOMALY * n - 1)
                ends.append(last)
            if s.windows:
                self.assertLessEqual(
                    sum(last - first + 1 for first, last in s.windows), anomalies.WINDOWS_SHARE * n + 8
                )

    def test_every_background(self):
        for made in dict.fromkeys(anomalies.BACKGROUNDS):
            x = made(anomalies.Random(1), 2000, 288)
            self.assertEqual(x.shape, (2000,))
            self.assertTrue(np.isfinite(x).all() and np.std(x) > 0, made.__name__)

    def test_a_disturbance_begins_at_its_place(self):
        x, changed = anomalies.counts(anomalies.Random(1), 3000, 96), set()
        for seed in range(60):
            y = anomalies.disturb(anomalies.Random(seed), x, 1500, 96, 200)
            np.testing.assert_array_equal(y[:1500], x[:1500])
            changed.add(not np.array_equal(x, y))
        self.assertIn(True, changed)


class Events(unittest.TestCase):
    def report(self, places):
        evidence = np.zeros((1000, len(fit_score.KINDS)))
        for place, decades in places.items():
            evidence[place, 0] = decades
        return fit_score.events(evidence, np.ones(len(fit_score.KINDS)), 100)

    def test_an_event_is_reported_once_unless_it_grows(self):
        report = self.report({300: 4, 301: 4, 320: 3, 340: 9, 900: 4})
        self.assertEqual([t for t in np.flatnonzero(report > 0)], [300, 301, 340, 900])
        self.assertEqual(report[300], 4)
        self.assertLess(report[301], 1)
        self.assertEqual(report[340], 9)
        self.assertGreater(report[900], 3.9)

    def test_nothing_is_reported_while_a_series_warms_up(self):
        self.assertEqual(self.report({50: 9}).max(), 0)
