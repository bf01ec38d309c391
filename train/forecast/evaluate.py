"""Zero-shot forecasts of the exported presets by the engine, compared with baselines: mean absolute scaled error,
weighted quantile loss, and coverage, on the series of benchmarks.py. The results are not used in training."""
import argparse
import json
import math
import pathlib
import struct
import subprocess
import sys
import time
from dataclasses import replace
from multiprocessing import Pool as Workers

import numpy as np
import torch

from . import baselines, benchmarks
from .normaliser import HORIZONS, INPUTS, QUANTILES, normalise, to_values

LEVELS = np.array(QUANTILES)


def ask_engine(executable, preset, tasks):
    """per task, quantiles (origins, horizon, 9)"""
    request, scales = [], []
    for task in tasks:
        values = torch.from_numpy(task.values[: max(task.origins)])[None]
        frames, x_ref, D = normalise(torch.nan_to_num(values), torch.isfinite(values), torch.zeros_like(values))
        last = [origin - 1 for origin in task.origins]
        scales.append((x_ref[0, last], D[0, last]))
        request += [
            struct.pack(f"<{2 + len(last)}i", frames.shape[1], len(last), *last),
            frames[0].numpy().astype("<f4").tobytes(),
        ]
    answer = subprocess.run([executable, preset], input=b"".join(request), stdout=subprocess.PIPE, check=True).stdout
    outputs = torch.from_numpy(np.frombuffer(answer, "<f4").copy()).double().view(-1, HORIZONS, len(QUANTILES))
    results, at = [], 0
    for task, (x_ref, D) in zip(tasks, scales):
        own = outputs[at : at + len(task.origins), : task.horizon]
        at += len(task.origins)
        results.append(
            to_values(own, x_ref[:, None].expand(-1, task.horizon), D[:, None].expand(-1, task.horizon)).numpy()
        )
    assert (
        at == len(outputs)
        and outputs.shape[2] * outputs.shape[1] == HORIZONS * len(QUANTILES)
        and INPUTS == frames.shape[2]
    )
    return results


def baseline(job):
    name, task = job
    if name == "linear AR":
        return np.stack(baselines.online_autoregression(task.values, task.origins, task.horizon, task.season))
    method = {"seasonal naive": baselines.seasonal_naive, "AutoETS": baselines.auto_ets}[name]
    return np.stack([method(task.values[:origin], task.horizon, task.season) for origin in task.origins])


def scores(task, quantiles):
    """MASE, mean over the origins, and the weighted quantile loss"""
    errors, loss, size = [], 0.0, 0.0
    for origin, q in zip(task.origins, quantiles):
        past, actual = baselines.filled(task.values[:origin]), task.values[origin : origin + task.horizon]
        known = np.isfinite(actual)
        scale = np.mean(np.abs(past[task.season :] - past[: -task.season]))
        if known.any() and scale > 0:
            errors.append(np.mean(np.abs(actual - q[:, 4])[known]) / scale)
        off = (actual[:, None] - q)[known]
        loss += 2 * np.maximum(LEVELS * off, (LEVELS - 1) * off).mean(1).sum()
        size += np.abs(actual[known]).sum()
    return (float(np.mean(errors)) if errors else math.nan), loss / max(size, 1e-12)


def coverage(task, quantiles):
    """the shares of values below the lowest quantile, between it and the highest, and above; nominal: 0.1, 0.8, 0.1"""
    actual = np.concatenate([task.values[origin : origin + task.horizon] for origin in task.origins])
    known = np.isfinite(actual)
    bounds = np.concatenate(list(quantiles))[known]
    below, above = np.mean(actual[known] < bounds[:, 0]), np.mean(actual[known] > bounds[:, -1])
    return [float(below), float(1 - below - above), float(above)]


def coverages(tasks, results):
    """per method and group, means over the series"""
    return {
        name: {
            group: np.mean([coverage(t, q) for t, q in zip(tasks, quantiles) if t.group == group], axis=0).tolist()
            for group in dict.fromkeys(t.group for t in tasks)
        }
        for name, quantiles in results.items()
    }


def summary(tasks, results):
    """per method and group, MASE and weighted quantile loss, means over series, and over groups the geometric mean
    of the ratio to seasonal naive
    """
    each = {name: [scores(t, q) for t, q in zip(tasks, quantiles)] for name, quantiles in results.items()}
    groups = list(dict.fromkeys(t.group for t in tasks))
    mean = lambda own, g, k: float(np.nanmean([s[k] for s, t in zip(own, tasks) if t.group == g]))
    table = {name: {g: [mean(own, g, k) for k in (0, 1)] for g in groups} for name, own in each.items()}
    for row in table.values():
        ratios = [[row[g][k] / table["seasonal naive"][g][k] for g in groups] for k in (0, 1)]
        row["over seasonal naive"] = [float(np.exp(np.mean(np.log(r)))) for r in ratios]
    return table, {
        name: {f"{t.group}: {t.name}": s for t, s in zip(tasks, own) if not t.group.startswith("M4")}
        for name, own in each.items()
    }


def thinned(tasks, every):
    """every n-th origin of series with several origins, every n-th of the other series"""
    several, one = [t for t in tasks if len(t.origins) > 1], [t for t in tasks if len(t.origins) == 1]
    return [replace(t, origins=t.origins[::every]) for t in several] + one[::every]


def main(argv=None):
    a = argparse.ArgumentParser(description=__doc__)
    a.add_argument("--executable", required=True, help="run_frames (tests/bench)")
    a.add_argument("--presets", nargs="+", required=True)
    a.add_argument(
        "--data", type=pathlib.Path, required=True, help="folder with ett, m4_hourly, m4_weekly and ts_small"
    )
    a.add_argument(
        "--baselines", nargs="*", default=["linear AR"], choices=["linear AR", "AutoETS"], help="besides seasonal naive"
    )
    a.add_argument("--every", type=int, default=1, help="only every so manyth forecast: AutoETS is slow")
    a.add_argument("--json", type=pathlib.Path)
    a.add_argument("--workers", type=int, default=2)
    o = a.parse_args(argv)
    tasks = thinned(benchmarks.tasks(o.data), o.every)
    results = {}
    for preset in o.presets:
        start = time.time()
        results[pathlib.Path(preset).stem] = ask_engine(o.executable, preset, tasks)
        print(f"{preset}: {time.time() - start:.0f} s", file=sys.stderr)
    with Workers(o.workers) as workers:
        for name in dict.fromkeys(["seasonal naive", *o.baselines]):
            start = time.time()
            results[name] = workers.map(baseline, [(name, t) for t in tasks], chunksize=1)
            print(f"{name}: {time.time() - start:.0f} s", file=sys.stderr)
    table, each = summary(tasks, results)
    heads = list(next(iter(table.values())))
    print(f"{'MASE | wQL':16s}" + "".join(f"{h:>21s}" for h in heads))
    for name, row in table.items():
        print(f"{name:16s}" + "".join(f"{row[h][0]:12.3f} | {row[h][1]:6.4f}" for h in heads))
    covered = coverages(tasks, results)
    print("share of values below the 10 % quantile | from it to the 90 % quantile | above")
    for name, row in covered.items():
        print(f"{name:16s}" + "".join("  {:5.1%} | {:5.1%} | {:5.1%}".format(*row[h]) for h in row))
    if o.json:
        report = {
            "measure": "MASE and weighted quantile loss, means over series; coverage: below, within, above",
            "every": o.every,
            "table": table,
            "coverage": covered,
            "series": each,
        }
        o.json.write_text(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
