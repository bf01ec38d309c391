"""Zero-shot forecasts of `coil stream`, which mixes the model's with the season of each series: mean absolute scaled
error over seasonal naive's, and the share of values within the bounds. The series are those of benchmarks.py; nothing
was chosen by them."""
import argparse
import json
import pathlib
import subprocess
import threading
from itertools import groupby

import numpy as np

from . import baselines, benchmarks


def lines_of(tasks):
    for number, task in enumerate(tasks):
        for value in task.values[: max(task.origins)]:
            yield json.dumps({"series": str(number), "value": float(value) if np.isfinite(value) else None}) + "\n"


def ask_stream(executable, model, tasks):
    """per task, low bound, median, high bound (origins, horizon, 3); the tasks have one horizon"""
    horizons = range(1, tasks[0].horizon + 1)
    command = [executable, "stream", "-m", model, "--key", "series", "--forecast", ",".join(map(str, horizons))]
    wanted, at = set(), 0
    for task in tasks:
        wanted.update(at + origin - 1 for origin in task.origins)
        at += max(task.origins)
    process = subprocess.Popen(command + ["--silence", "0"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def write():
        process.stdin.writelines(lines_of(tasks))
        process.stdin.close()

    writer = threading.Thread(target=write)
    writer.start()
    answers = []
    for number, line in enumerate(process.stdout):
        if number in wanted:
            record = json.loads(line)
            names = [[f"value_forecast_{h}{end}" for end in ("_low", "", "_high")] for h in horizons]
            answers.append([[record[name] for name in row] for row in names])
    writer.join()
    if process.wait() != 0:
        raise RuntimeError("coil stream failed")
    at = np.cumsum([0] + [len(t.origins) for t in tasks])
    return [np.array(answers[a:b], float) for a, b in zip(at, at[1:])]


def mase(task, medians):
    errors = []
    for origin, median in zip(task.origins, medians):
        past, actual = baselines.filled(task.values[:origin]), task.values[origin : origin + task.horizon]
        known = np.isfinite(actual)
        scale = np.mean(np.abs(past[task.season :] - past[: -task.season]))
        if known.any() and scale > 0:
            errors.append(np.mean(np.abs(actual - median)[known]) / scale)
    return np.mean(errors) if errors else np.nan


def within(task, bounds):
    actual = np.stack([task.values[origin : origin + task.horizon] for origin in task.origins])
    known = np.isfinite(actual)
    return np.mean(((bounds[..., 0] <= actual) & (actual <= bounds[..., 2]))[known])


def main(argv=None):
    a = argparse.ArgumentParser(description=__doc__)
    a.add_argument("--executable", required=True, help="coil")
    a.add_argument("--models", nargs="+", default=["watch", "watch_small"])
    a.add_argument(
        "--data", type=pathlib.Path, required=True, help="folder with ett, m4_hourly, m4_weekly and ts_small"
    )
    a.add_argument("--json", type=pathlib.Path)
    o = a.parse_args(argv)
    tasks = sorted(benchmarks.tasks(o.data), key=lambda t: (t.group, t.horizon))
    naive = [
        mase(t, [baselines.seasonal_naive(t.values[:n], t.horizon, t.season)[:, 4] for n in t.origins]) for t in tasks
    ]
    groups = list(dict.fromkeys(t.group for t in tasks))
    mean = lambda values, group: float(np.nanmean([v for v, t in zip(values, tasks) if t.group == group]))
    report = {"seasonal naive": {group: mean(naive, group) for group in groups}}
    for model in o.models:
        answers = []
        for _, alike in groupby(tasks, key=lambda t: (t.group, t.horizon)):
            answers += ask_stream(o.executable, model, list(alike))
        errors = [mase(t, answer[..., 1]) for t, answer in zip(tasks, answers)]
        shares = [within(t, answer) for t, answer in zip(tasks, answers)]
        ratios = [mean(errors, group) / report["seasonal naive"][group] for group in groups]
        report[model] = {
            "MASE": {group: mean(errors, group) for group in groups},
            "over seasonal naive": dict(zip(groups, ratios)) | {"all": float(np.exp(np.mean(np.log(ratios))))},
            "within bounds": {group: mean(shares, group) for group in groups},
        }
        print(model, json.dumps(report[model], indent=1), flush=True)
    if o.json:
        o.json.write_text(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
