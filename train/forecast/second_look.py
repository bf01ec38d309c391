"""The anomaly score on recordings of machines: spacecraft telemetry (SMAP and MSL, Hundman et al. 2018) and a water
circuit (SKAB). No constant is chosen here.

python3 -m forecast.second_look --data DATA --executable build/cli/coil [--model watch]

DATA is a folder with `smap_msl` and `skab`. An alarm is a record at 0.5 or more, as shipped. A labelled stretch counts
as found if an alarm lies in it or up to 100 records after its end; other alarms are false. For comparison, a rule that
only uses how far a value lies beyond the range of all earlier values, at the threshold that gives it the same number of
false alarms. The files of the water circuit are concatenated, so that the detector has seen the circuit run before a
fault.

The water circuit is also judged as its own benchmark does, each file by itself: every record is right or wrong. A
record within an episode counts as an alarm. FAR is the share of false alarms among records without a fault, MAR the
share of records of a fault without an alarm, F1 of all files together.

"""
import argparse
import csv
import gzip
import io
import json
import pathlib
import subprocess

import numpy as np

from . import nab

LATE = 100  # records


def rows(path, delimiter=","):
    with gzip.open(path, "rt", newline="") as file:
        return list(csv.reader(file, delimiter=delimiter))


def telemetry(folder, spacecraft="*"):
    """(values (records, 1), labels; -1: not judged), one channel each"""
    for path in sorted(folder.glob(f"{spacecraft}/*_test.csv.gz")):
        before = [float(r[0]) for r in rows(path.with_name(path.name.replace("_test", "_train")))[1:]]
        after = rows(path)[1:]
        values = np.array(before + [float(r[0]) for r in after])[:, None]
        yield values, np.array([-1] * len(before) + [int(float(r[1])) for r in after])


def water_circuit(folder):
    """the same, with all files concatenated: the run without a fault first"""
    values, labels = [], []
    for path in [folder / "anomaly-free" / "anomaly-free.csv.gz", *sorted(folder.glob("*[!e]/*.csv.gz"))]:
        table = rows(path, ";")
        values += [[float(v) for v in r[1:9]] for r in table[1:]]
        labels += [int(float(r[9])) if len(r) > 9 else -1 for r in table[1:]]
    yield np.array(values), np.array(labels)


def stream_results(executable, model, values, *more):
    text = io.StringIO()
    csv.writer(text).writerows([[f"v{i}" for i in range(values.shape[1])], *values.tolist()])
    command = [executable, "stream", "--model", model, "--input-format", "csv", "--output-format", "ndjson", *more]
    lines = subprocess.run(
        command, input=text.getvalue(), check=True, capture_output=True, text=True
    ).stdout.splitlines()
    assert len(lines) == len(values)
    return [json.loads(line) for line in lines]


def stream_scores(executable, model, values, *more):
    return np.array([result["score"] or 0 for result in stream_results(executable, model, values, *more)])


def by_record(executable, model, folder, *more):
    """(F1, FAR, MAR) of the water circuit"""
    alarms, faults = [], []
    for path in sorted(folder.glob("*[!e]/*.csv.gz")):
        table = rows(path, ";")[1:]
        results = stream_results(executable, model, np.array([[float(v) for v in r[1:9]] for r in table]), *more)
        alarms += [result["episode"] in ("begin", "on") for result in results]
        faults += [float(r[9]) > 0 for r in table]
    alarms, faults = np.array(alarms), np.array(faults)
    right, false, missed = (alarms & faults).sum(), (alarms & ~faults).sum(), (~alarms & faults).sum()
    return 2 * right / (2 * right + false + missed), false / (~faults).sum(), missed / faults.sum()


class Tally:
    """Alarms of several recordings against their labels."""

    def __init__(self):
        self.scores, self.stretch, self.stretches = [], [], 0

    def add(self, scores, labels):
        stretch = np.where(labels < 0, -2, -1)  # -2: not judged, -1: nothing is wrong
        edges = np.flatnonzero(np.diff(np.concatenate(([0], labels > 0, [0]))))
        for first, end in edges.reshape(-1, 2):
            late = np.arange(first, min(end + LATE, len(labels)))
            stretch[late[(late < end) | (labels[late] == 0)]] = self.stretches
            self.stretches += 1
        self.scores.append(scores)
        self.stretch.append(stretch)

    def result(self, threshold):
        """(stretches found, false alarms, records where nothing is wrong)"""
        scores, stretch = np.concatenate(self.scores), np.concatenate(self.stretch)
        alarms = stretch[scores >= threshold]
        return len(set(alarms[alarms >= 0])), int((alarms == -1).sum()), int((stretch == -1).sum())

    def by_chance(self, rate):
        """the number of stretches that random alarms at this rate would find"""
        lengths = np.unique(np.concatenate(self.stretch), return_counts=True)
        return sum(1 - (1 - rate) ** n for stretch, n in zip(*lengths) if stretch >= 0)

    def threshold_for(self, false_alarms):
        scores = np.concatenate(self.scores)[np.concatenate(self.stretch) == -1]
        return np.nextafter(np.sort(scores)[-1 - false_alarms], np.inf) if false_alarms < len(scores) else 0


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=pathlib.Path, required=True)
    parser.add_argument("--executable", default="coil")
    parser.add_argument("--model", default="watch")
    options = parser.parse_args(argv)
    for name, recordings in (
        ("telemetry", telemetry(options.data / "smap_msl")),
        ("water circuit", water_circuit(options.data / "skab")),
    ):
        score, rule = Tally(), Tally()
        for values, labels in recordings:
            score.add(stream_scores(options.executable, options.model, values), labels)
            rule.add(np.max([nab.range_rule(v) for v in values.T], axis=0), labels)
        found, false_alarms, records = score.result(0.5)
        print(
            f"{name}: {score.stretches} stretches; {options.model} found {found}, "
            f"{1000 * false_alarms / records:.2f} false alarms in 1,000 records; "
            f"with as many, the range rule {rule.result(rule.threshold_for(false_alarms))[0]}, chance "
            f"{score.by_chance(false_alarms / records):.0f}",
            flush=True,
        )
    for what, more in (("", ()), (", each value alone", ("--alone",))):
        f1, far, mar = by_record(options.executable, options.model, options.data / "skab", *more)
        print(f"water circuit by record{what}: F1 {f1:.3f}, FAR {100 * far:.1f} %, MAR {100 * mar:.1f} %", flush=True)


if __name__ == "__main__":
    main()
