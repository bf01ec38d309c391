"""The rules of the Numenta Anomaly Benchmark: the value of detections, and the sweep over thresholds."""
import unittest

import common  # noqa: F401
import numpy as np

from forecast import nab

LENGTH, WINDOWS = 2000, [(1000, 1099), (1500, 1549)]


def result(detections, profile="standard"):
    corpus = nab.Corpus()
    scores = np.zeros(LENGTH)
    for place, score in detections.items():
        scores[place] = score
    corpus.add(scores, WINDOWS)
    return corpus.result(profile)


class Nab(unittest.TestCase):
    def test_scale(self):
        for profile in nab.PROFILES:
            self.assertEqual(result({}, profile)[0], 0)
            self.assertAlmostEqual(result({1000: 1, 1500: 1}, profile)[0], 100)

    def test_the_best_placed_detection_of_a_window_counts(self):
        # at the middle: 2 / (1 + exp(-2.5)) - 1 of 2 / (1 + exp(-5)) - 1
        middle = (2 / (1 + np.exp(-2.5)) - 1) / (2 / (1 + np.exp(-5)) - 1)
        # the middle of 100 records lies between two: 50 of them are left at index 1050
        self.assertAlmostEqual(result({1050: 1, 1090: 1})[0], 100 * (1 + middle) / 4, places=9)

    def test_false_alarms(self):
        both = {1000: 1, 1500: 1}
        self.assertAlmostEqual(result({**both, 700: 2})[0], 100 * (1 - 0.11 / 4))
        self.assertAlmostEqual(result({**both, 700: 2}, "reward low FP")[0], 100 * (1 - 0.22 / 4))
        after = 2 / (1 + np.exp(5 * 10 / 99)) - 1  # ten records after a window of a hundred
        self.assertAlmostEqual(result({**both, 1109: 2})[0], 100 * (1 + 0.11 * after / 4))
        self.assertAlmostEqual(result({**both, 1999: 2})[0], 100 * (1 - 0.11 / 4))  # more than three widths after it

    def test_probation(self):
        self.assertAlmostEqual(result({299: 2, 1000: 1, 1500: 1})[0], 100)
        self.assertLess(result({300: 2, 1000: 1, 1500: 1})[0], 100)

    def test_threshold_is_the_best_of_all_files(self):
        corpus = nab.Corpus()
        scores = np.zeros(LENGTH)
        scores[[1000, 1500]] = 0.7
        scores[[400, 500, 600]] = 0.6
        corpus.add(scores, WINDOWS)
        self.assertEqual(corpus.result("standard"), (100, 0.7))
        quiet = np.zeros(LENGTH)
        quiet[1200:1300] = 0.9  # with a hundred false alarms above, a lower threshold is not worth it
        corpus.add(quiet, [])
        self.assertEqual(corpus.result("standard"), (0, np.inf))


if __name__ == "__main__":
    unittest.main()
