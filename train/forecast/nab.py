"""Scores `coil stream` by the rules of the Numenta Anomaly Benchmark (Lavin and Ahmad 2015, arXiv 1510.03336, and
its repository's README).

A detection is a record whose anomaly score reaches a threshold. One threshold holds for all files; as the benchmark
prescribes, it is the best one for the profile. Of all detections in a labelled window the best placed one counts, the
earlier the better. Each detection outside costs, but less shortly after a window. A window without a detection costs.
The first 15 % of a file, at most 750 records, do not count. 0 is a detector that never detects, 100 one that detects
the start of every window and nothing else.

python3 -m forecast.nab --nab FOLDER --executable build/cli/coil [--model watch] [--json out.json]

FOLDER holds `data/*/*.csv` and `combined_windows.json`. Also scores the model's surprisal alone (--score), and a
detector that only uses the range of earlier values.

"""

import argparse
import csv
import json
import math
import pathlib
import subprocess

import numpy as np

PROFILES = {  # weights of a hit, of a false alarm, of a miss
    "standard": (1.0, 0.11, 1.0),
    "reward low FP": (1.0, 0.22, 1.0),
    "reward low FN": (1.0, 0.11, 2.0),
}
PROBATION_SHARE, PROBATION_MOST = 0.15, 750


def probation(length):
    """how many records at the start of a file do not count"""
    return min(int(PROBATION_SHARE * length), PROBATION_MOST)


def sigmoid(position):
    """The value of a detection: 1 far before the end of a window, 0 at its end, -1 from three window widths after
    it."""
    return -1.0 if position > 3 else 2 / (1 + math.exp(5 * position)) - 1


def weigh(length, windows):
    """Per record: its value, and the window that contains it (-1: none). `windows`: first and last index of each, in
    order.

    """
    worth, window_of = np.full(length, -1.0), np.full(length, -1)
    best = sigmoid(-1)
    for number, (first, last) in enumerate(windows):
        width = last - first + 1
        for i in range(first, last + 1):
            worth[i], window_of[i] = sigmoid(-(last - i + 1) / width) / best, number
        until = windows[number + 1][0] if number + 1 < len(windows) else length
        for i in range(last + 1, until):
            worth[i] = sigmoid((i - last) / (width - 1)) if width > 1 else -1.0
    return worth, window_of


class Corpus:
    """All files of one run: scores, values and windows of the records that count."""

    def __init__(self):
        self.scores, self.worth, self.window, self.windows = [], [], [], 0

    def add(self, scores, windows):
        worth, window_of = weigh(len(scores), windows)
        counts = slice(probation(len(scores)), None)
        self.scores.append(np.asarray(scores)[counts])
        self.worth.append(worth[counts])
        self.window.append(np.where(window_of >= 0, window_of + self.windows, -1)[counts])
        self.windows += len(windows)

    def result(self, profile):
        """(score, threshold) at the best threshold of the profile."""
        hit, false_alarm, miss = PROFILES[profile]
        scores, worth, window = (np.concatenate(parts) for parts in (self.scores, self.worth, self.window))
        order = np.argsort(-scores, kind="stable")
        scores, worth, window = scores[order], worth[order], window[order]
        change = np.where(window < 0, false_alarm * worth, 0.0)
        best_of_window = np.full(self.windows, -miss)
        for rank in np.flatnonzero(window >= 0):
            gain = hit * worth[rank] - best_of_window[window[rank]]
            if gain > 0:
                change[rank] = gain
                best_of_window[window[rank]] += gain
        null, perfect = -miss * self.windows, hit * self.windows
        last_of_its_score = np.append(scores[1:] != scores[:-1], True)
        totals, thresholds = null + np.cumsum(change)[last_of_its_score], scores[last_of_its_score]
        best = np.argmax(totals)
        raw, threshold = max((null, math.inf), (totals[best], thresholds[best]))
        return 100 * (raw - null) / (perfect - null), threshold


def read(path):
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    return [row["timestamp"] for row in rows], np.array([float(row["value"]) for row in rows])


def indices(times, windows):
    place = {time: i for i, time in enumerate(times)}
    return [(place[first.split(".")[0]], place[last.split(".")[0]]) for first, last in windows]


def range_rule(values):
    """How far a value lies beyond the range of all earlier values, relative to that range: the simplest detector."""
    lowest, highest = np.minimum.accumulate(values), np.maximum.accumulate(values)
    scores = np.zeros(len(values))
    for i in range(1, len(values)):
        width = max(highest[i - 1] - lowest[i - 1], 1e-12)
        beyond = max(values[i] - highest[i - 1], lowest[i - 1] - values[i], 0) / width
        scores[i] = beyond / (1 + beyond)
    return scores


def stream_scores(executable, model, path, times, fields):
    """A score per field and record; records that the stream drops as duplicates score 0."""
    command = [
        executable,
        "stream",
        str(path),
        "--model",
        model,
        "--value",
        "value",
        "--time",
        "timestamp",
        "--output-format",
        "ndjson",
    ]
    lines = [
        json.loads(line)
        for line in subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    ]
    scores, next_line = np.zeros((len(fields), len(times))), 0
    for i, time in enumerate(times):
        if next_line < len(lines) and lines[next_line]["time"][:19].replace("T", " ") == time[:19]:
            scores[:, i] = [lines[next_line].get(field) or 0 for field in fields]
            next_line += 1
    if next_line < len(lines):
        raise SystemExit(f"{path}: {len(lines) - next_line} results belong to no record")
    return dict(zip(fields, scores))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nab", type=pathlib.Path, required=True)
    parser.add_argument("--executable", default="coil")
    parser.add_argument("--model", default="watch")
    parser.add_argument("--score", nargs="+", default=["score"], help="fields of the output to judge")
    parser.add_argument("--json", type=pathlib.Path)
    options = parser.parse_args()

    windows = json.loads((options.nab / "combined_windows.json").read_text())
    corpora = {name: Corpus() for name in [*options.score, "range rule"]}
    files = 0
    for path in sorted((options.nab / "data").glob("*/*.csv")):
        name, files = f"{path.parent.name}/{path.name}", files + 1
        times, values = read(path)
        labelled = indices(times, windows[name])
        for field, scores in stream_scores(options.executable, options.model, path, times, options.score).items():
            corpora[field].add(scores, labelled)
        corpora["range rule"].add(range_rule(values), labelled)
    report = {}
    print(f"{files} files, {corpora['range rule'].windows} windows")
    for name, corpus in corpora.items():
        report[name] = {profile: corpus.result(profile) for profile in PROFILES}
        print(
            f"{name:16} "
            + "  ".join(f"{profile} {score:6.2f} (from {at:.4g})" for profile, (score, at) in report[name].items())
        )
    if options.json:
        options.json.write_text(json.dumps(report, indent=1, default=float) + "\n")


if __name__ == "__main__":
    main()
