"""The volume under the range-aware precision-recall surface (VUS-PR: Paparrizos et al., PVLDB 15, 2022), the measure of
the benchmark TSB-AD (Liu and Paparrizos, NeurIPS 2024), of `coil stream` and of two methods that do well there, on the
same files. No constant is chosen here.

python3 -m forecast.vus --data DATA --executable build/cli/coil [--model watch] [--json out.json]

DATA is a folder with `nab` and `smap_msl`. The files are those of this project, not that benchmark's selection, so
figures compare within the table only. All judge the same records: NAB's files whole, of the telemetry the part that is
judged, after the part that is not.

Coil sees each record once, in order, and reports an event once, at its onset: besides the score itself, a score that
fades over 100 records is judged, because the measure wants a number for each record of an anomaly. The two others are
written anew here, and see the whole series before they judge its first record:

  Sub-PCA  principal components of all windows of one period; a window's score is its squared distance along each
           component, in units of the component's variance; a record gets the mean score of its windows
  POLY     a polynomial of the third degree is fitted to the window before a record; the score is its squared error

The period is the highest peak of the autocorrelation between 3 and 300 steps, else 125.
"""

import argparse
import json
import pathlib

import numpy as np

from . import nab, second_look

THRESHOLDS, BUFFERS = 250, 10
FADES = 100  # records until a score has faded to a third
LEAST_PERIOD, MOST_PERIOD, NO_PERIOD = 3, 300, 125


def period_of(values):
    values = np.asarray(values[:20_000], float) - np.mean(values[:20_000])
    if not values.any():
        return NO_PERIOD
    spectrum = np.fft.rfft(values, 2 * len(values))
    correlation = np.fft.irfft(np.abs(spectrum) ** 2)[: len(values)]
    inner = correlation[1:-1]
    peaks = 1 + np.flatnonzero((inner > correlation[:-2]) & (inner >= correlation[2:]))
    peaks = peaks[(peaks >= LEAST_PERIOD) & (peaks <= MOST_PERIOD)]
    return int(peaks[np.argmax(correlation[peaks])]) if len(peaks) else NO_PERIOD


def stretches(labels):
    edges = np.flatnonzero(np.diff(np.concatenate(([0], labels > 0, [0]))))
    return edges.reshape(-1, 2)


def softened(labels, buffer):
    """Labels that fall off on both sides of a stretch, over half a buffer each."""
    soft = labels.astype(float)
    half = buffer // 2
    for begin, end in stretches(labels):
        for away in range(1, half + 1):
            weight = np.sqrt(1 - away / buffer)
            for at in (begin - away, end - 1 + away):
                if 0 <= at < len(soft):
                    soft[at] = max(soft[at], weight)
    return soft


def area(scores, labels, buffer, thresholds):
    """Under the precision-recall curve, with softened labels. The share of stretches that are found at all is a factor
    of the recall."""
    soft = softened(labels, buffer)
    spans = stretches(soft > 0)
    positives = (labels.sum() + soft.sum()) / 2
    order = np.argsort(-scores, kind="stable")
    hits = np.concatenate(([0], np.cumsum(soft[order])))
    predicted = np.searchsorted(-scores[order], -thresholds, side="right")
    best = np.array([scores[begin:end].max() for begin, end in spans])
    found = (best[None, :] >= thresholds[:, None]).mean(1)
    recall = np.minimum(hits[predicted] / positives, 1) * found
    precision = hits[predicted] / np.maximum(predicted, 1)
    return float(np.sum(np.diff(np.concatenate(([0], recall))) * precision))


def vus_pr(scores, labels, longest):
    """The mean of the areas over buffers of 0 to `longest` records."""
    scores, labels = np.asarray(scores, float), np.asarray(labels, int)
    places = np.linspace(0, len(scores) - 1, THRESHOLDS).astype(int)
    thresholds = np.sort(scores)[::-1][places]
    buffers = np.unique(np.linspace(0, longest, BUFFERS + 1).astype(int))
    return float(np.mean([area(scores, labels, int(buffer), thresholds) for buffer in buffers]))


def windows(values, length):
    return np.lib.stride_tricks.sliding_window_view(np.asarray(values, float), length)


def sub_pca(values, length):
    parts = windows(values, length)
    spread = parts.std(0)
    parts = (parts - parts.mean(0)) / np.where(spread > 0, spread, 1)
    variance, axes = np.linalg.eigh(parts.T @ parts / len(parts))
    keep = variance > 1e-9 * variance.max()
    of_window = np.square(parts @ axes[:, keep]) @ (1 / variance[keep])
    total, count = np.zeros(len(values)), np.zeros(len(values))
    for offset in range(length):
        total[offset : offset + len(of_window)] += of_window
        count[offset : offset + len(of_window)] += 1
    return total / count


def polynomial(values, length, degree=3):
    length = max(length, degree + 2)
    basis = np.vander(np.arange(length) / length, degree + 1)
    ahead = np.vander([1.0], degree + 1)[0] @ np.linalg.pinv(basis)
    off = np.zeros(len(values))
    off[length:] = np.square(windows(values, length)[:-1] @ ahead - np.asarray(values, float)[length:])
    return off


def faded(scores):
    held, out = 0.0, np.empty(len(scores))
    for i, score in enumerate(scores):
        held = out[i] = max(score, held * np.exp(-1 / FADES))
    return out


def of_nab(folder):
    labelled = json.loads((folder / "combined_windows.json").read_text())
    for path in sorted((folder / "data").glob("*/*.csv")):
        times, values = nab.read(path)
        spans = nab.indices(times, labelled[f"{path.parent.name}/{path.name}"])
        labels = np.zeros(len(values), int)
        for first, last in spans:
            labels[first : last + 1] = 1
        yield np.asarray(values)[:, None], labels


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=pathlib.Path, required=True)
    parser.add_argument("--executable", default="coil")
    parser.add_argument("--model", default="watch_small")
    parser.add_argument("--json", type=pathlib.Path)
    options = parser.parse_args(argv)
    sets = {
        "NAB": list(of_nab(options.data / "nab")),
        "SMAP": list(second_look.telemetry(options.data / "smap_msl", "smap")),
        "MSL": list(second_look.telemetry(options.data / "smap_msl", "msl")),
    }
    results = {}
    for name, recordings in sets.items():
        result = results[name] = {}
        for values, labels in recordings:
            judged = labels >= 0
            if not (labels > 0).any():
                continue
            series = values[:, 0]
            period = period_of(series)
            score = second_look.stream_scores(options.executable, options.model, values)
            tried = {
                "score": score,
                "faded score": faded(score),
                "Sub-PCA": sub_pca(series, period),
                "POLY": polynomial(series, period),
                "range rule": faded(nab.range_rule(series)),
                "chance": np.random.default_rng(1).random(len(series)),
            }
            for method, numbers in tried.items():
                result.setdefault(method, []).append(vus_pr(numbers[judged], labels[judged], period))
        files = len(result["score"])
        print(
            f"{name}, {files} files: " + ", ".join(f"{method} {np.mean(v):.3f}" for method, v in result.items()),
            flush=True,
        )
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
