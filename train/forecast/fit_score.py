"""Tries other constants of the anomaly score than the shipped ones on series of `anomalies.py`: each kind of evidence
left out, halved and doubled.

    python3 -m forecast.fit_score --series FOLDER --executable build-bench/tests/bench/evidence --preset
    presets/watch_small.safetensors

A change is better if the mean of the benchmark's three profiles rises. The evidence is the engine's
(sensor/detector.h), its sum is done here again.
"""
import argparse
import json
import pathlib
import struct
import subprocess

import numpy as np

from . import nab

KINDS = ("surprise", "leap", "bias", "range", "level", "activity", "slow activity", "unrest")
REFRACTORY_RECORDS, STEP, WARM_UP = 100, 0.1, 100
LEAST = 1.2  # log10: a record with less in every kind raises no alarm


def ask_engine(executable, preset, all_values):
    """the shipped weights; per series the evidence (records, kinds) and what the engine reports (records)"""
    request = b"".join(struct.pack("<i", len(x)) + x.astype("<f8").tobytes() for x in all_values)
    answer = np.frombuffer(
        subprocess.run([executable, preset], input=request, stdout=subprocess.PIPE, check=True).stdout, "<f4"
    ).astype(float)
    weights, records = answer[: len(KINDS)], answer[len(KINDS) :].reshape(-1, len(KINDS) + 1)
    parts = np.split(records, np.cumsum([len(x) for x in all_values])[:-1])
    return weights, [p[:, :-1] for p in parts], [p[:, -1] for p in parts]


def events(evidence, weights, refractory):
    """the events that Detector::assess reports, per record; 0 where no alarm can be raised"""
    decades = np.sqrt(np.square(evidence * weights).sum(1))
    reported, left, last = np.zeros(len(decades)), 0.0, 0
    for t in np.flatnonzero(evidence.max(1) > LEAST):
        if t < WARM_UP:
            continue
        left *= np.exp(-(t - last) / refractory)
        last = t
        if decades[t] > left:
            reported[t] = decades[t] * min(1.0, (decades[t] - left) / max(STEP * left, 1e-9))
            left = decades[t]
    return reported


class Trial:
    def __init__(self, evidence, windows):
        self.evidence, self.corpus = evidence, nab.Corpus()
        for e, w in zip(evidence, windows):
            self.corpus.add(np.zeros(len(e)), w)

    def scores(self, weights, refractory=REFRACTORY_RECORDS):
        self.corpus.scores = [events(e, weights, refractory)[nab.probation(len(e)) :] for e in self.evidence]
        return [self.corpus.result(profile)[0] for profile in nab.PROFILES]


def check(evidence, weights, reported):
    """checks that this file's sum equals the engine's, except for records below LEAST and their aftermath"""
    for e, r in zip(evidence, reported):
        ours = events(e, weights, REFRACTORY_RECORDS)
        alarms = r > 2
        if not np.allclose(ours[alarms], r[alarms], rtol=0.02, atol=0.02):
            raise SystemExit(
                "the engine reports something else: this file's constants or its sum are not the engine's any more"
            )


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--series", type=pathlib.Path, required=True)
    parser.add_argument("--executable", required=True)
    parser.add_argument("--preset", required=True)
    parser.add_argument(
        "--only", nargs="+", choices=KINDS, help="just one line: the score of these kinds of evidence alone"
    )
    options = parser.parse_args(argv)
    labels = json.loads((options.series / "combined_windows.json").read_text())
    read = {name: nab.read(options.series / "data" / name) for name in labels}
    shipped, evidence, reported = ask_engine(
        options.executable, options.preset, [values for _, values in read.values()]
    )
    check(evidence, shipped, reported)
    trial = Trial(evidence, [nab.indices(read[name][0], windows) for name, windows in labels.items()])

    def show(what, weights=shipped, **changes):
        scores = trial.scores(weights, **changes)
        print(f"{what:24}" + "".join(f"{s:8.2f}" for s in scores) + f"{np.mean(scores):8.2f}", flush=True)

    print(f"{'':24}" + "".join(f"{p.removeprefix('reward '):>8}" for p in nab.PROFILES) + f"{'mean':>8}")
    if options.only:
        show("only these", weights=shipped * np.isin(KINDS, options.only))
        return
    show("as shipped")
    for kind, name in enumerate(KINDS):
        for factor, how in ((0, "without"), (0.5, "half of"), (2, "twice")):
            show(f"{how} {name}", weights=shipped * np.where(np.arange(len(KINDS)) == kind, factor, 1))
    for refractory in (50, 200):
        show(f"refractory {refractory}", refractory=refractory)


if __name__ == "__main__":
    main()
