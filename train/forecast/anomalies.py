"""Series with anomalies whose places are known, in the layout of the Numenta Anomaly Benchmark: what the anomaly
score's constants are fixed on.

    python3 -m forecast.anomalies --data DATA --seed 1000 --series 480 --out FOLDER

Backgrounds are drawn from models of what people watch (loads, traffic, latencies, counts, temperatures, machines), from
the forecasters' training series, and from recorded series without their labels, if they have any; DATA is a folder with
`ett`, `m4_hourly` and `ts_small`. The anomalies are all made here. FOLDER gets `data/BACKGROUND/NUMBER.csv` and
`combined_windows.json`, as `nab.py` reads them. Needs numpy and torch.
"""
import argparse
import datetime
import json
import math
import pathlib
from dataclasses import dataclass

import numpy as np
import torch

from . import benchmarks, series
from .draws import Draws

START, STEP = datetime.datetime(2020, 1, 1), datetime.timedelta(minutes=5)
WINDOWS_SHARE = 0.1  # of a series lies in windows around its anomalies, as in the benchmark
FIRST_ANOMALY = 0.17  # of a series, before the first anomaly


class Random:
    def __init__(self, seed):
        self.generator = np.random.default_rng(seed)

    def uniform(self, low=0.0, high=1.0):
        return self.generator.uniform(low, high)

    def log_uniform(self, low, high):
        return math.exp(self.uniform(math.log(low), math.log(high)))

    def chance(self, p):
        return self.generator.random() < p

    def pick(self, values):
        return values[self.generator.integers(len(values))]

    def whole(self, low, high):
        """low .. high, both included"""
        return int(self.generator.integers(low, high + 1))

    def normal(self, n):
        return self.generator.standard_normal(n)


def leaky(x, keep):
    y, held = np.empty_like(x), 0.0
    for t, value in enumerate(x):
        y[t] = held = keep * held + value
    return y


def autoregressive(r, n, keep):
    return leaky(r.normal(n + 200), keep)[200:] * math.sqrt(1 - keep * keep)


def daily(r, n, season, sharpness):
    """a shape of four harmonics between -1 and 1, the same every season"""
    phase = (np.arange(n) % season) / season
    shape = sum(r.normal(1) / k * np.sin(2 * np.pi * k * phase + r.uniform(0, 2 * np.pi)) for k in range(1, 5))
    return np.tanh(sharpness * shape / (np.std(shape) + 1e-9)) / math.tanh(sharpness)


def weekly(r, n, season):
    day = (np.arange(n) // season + r.whole(0, 6)) % 7
    return np.where(day >= 5, r.uniform(0.3, 1.1) if r.chance(0.7) else 1.0, 1.0)


def bursts(r, n, rate, keep, spread):
    """rare bursts of log-normal size that end at once or decay slowly"""
    return leaky(np.where(r.generator.random(n) < rate, np.exp(spread * r.normal(n)), 0.0), keep)


def processor_load(r, n, season):
    base = r.log_uniform(0.1, 60)
    x = base + base * r.log_uniform(0.01, 0.4) * autoregressive(r, n, r.pick([0, 0.3, 0.7, 0.95]))
    if r.chance(0.5):
        x += base * r.log_uniform(0.1, 2) * bursts(r, n, r.log_uniform(0.002, 0.05), r.pick([0, 0, 0.5]), 0.6)
    if r.chance(0.4):  # scheduled jobs, punctual or not
        period = r.whole(6, 300)
        late = r.generator.integers(0, 2, n) * r.chance(0.3)
        runs = (np.arange(n) + late) % period < r.whole(1, max(1, period // 8))
        x += runs * base * r.log_uniform(0.2, 3) * (1 + 0.1 * r.normal(n))
    if r.chance(0.3):
        x += base * r.log_uniform(0.1, 1) * daily(r, n, season, r.uniform(0.3, 2)) * weekly(r, n, season)
    x = np.maximum(x, 0)
    unit = base * r.log_uniform(0.003, 0.03)
    return np.round(x / unit) * unit if r.chance(0.5) else x


def bytes_moved(r, n, season):
    logarithm = r.uniform(0.2, 1.2) * autoregressive(r, n, r.pick([0, 0.5, 0.9]))
    if r.chance(0.5):
        logarithm += r.uniform() * daily(r, n, season, 1)
    x = np.exp(logarithm) + r.log_uniform(3, 100) * bursts(r, n, r.log_uniform(0.0005, 0.02), r.pick([0, 0.3, 0.8]), 1)
    return 1e5 * (x * (r.generator.random(n) < r.uniform(0.1, 0.9)) if r.chance(0.3) else x)


def latency(r, n, season):
    x = r.log_uniform(1, 100) * np.exp(r.log_uniform(0.02, 0.4) * autoregressive(r, n, r.pick([0, 0.5, 0.9, 0.98])))
    return x * (1 + r.log_uniform(0.3, 5) * bursts(r, n, r.log_uniform(0.0005, 0.01), r.pick([0, 0.5]), 0.7))


def counts(r, n, season):
    rate = np.exp(
        r.uniform(0, 4)
        + r.uniform(0.2, 1.2) * daily(r, n, season, r.uniform(0.5, 1.5)) * weekly(r, n, season)
        + r.uniform(0, 0.4) * autoregressive(r, n, 0.95)
    )
    if r.chance(0.8):
        rate = rate * (1 + r.log_uniform(0.5, 6) * bursts(r, n, r.log_uniform(0.0005, 0.01), r.uniform(0.3, 0.97), 0.7))
    shape = r.log_uniform(1, 30)
    return r.generator.poisson(np.minimum(rate * r.generator.gamma(shape, 1 / shape, n), 1e6)).astype(float)


def occupancy(r, n, season):
    x = np.maximum(0, 5 + 6 * daily(r, n, season, 1) * weekly(r, n, season))
    x = x * (1 + 0.25 * autoregressive(r, n, 0.6)) + r.log_uniform(0.1, 1) * np.abs(r.normal(n))
    return np.maximum(0, x + 10 * bursts(r, n, r.log_uniform(0.001, 0.02), 0.5, 0.5) * r.chance(0.5))


def speed(r, n, season):
    jam = np.maximum(0, daily(r, n, season, 1)) ** 2 * weekly(r, n, season)
    x = 65 - r.uniform(3, 25) * jam + r.uniform(1, 4) * autoregressive(r, n, 0.5)
    return np.clip(np.round(x - r.uniform(0, 20) * bursts(r, n, r.log_uniform(0.001, 0.03), 0.6, 0.5)), 5, None)


def temperature(r, n, season):
    drift = autoregressive(r, n, r.pick([0.999, 0.9995, 0.995]))
    return (
        70
        + r.uniform(2, 12) * drift
        + r.uniform(0, 5) * daily(r, n, season, 1)
        + r.log_uniform(0.02, 2) * autoregressive(r, n, 0.6)
    )


def demand(r, n, season):
    shape = daily(r, n, season, r.uniform(0.5, 2)) * weekly(r, n, season)
    return 1000 * (10 + 4 * shape + r.log_uniform(0.1, 0.8) * autoregressive(r, n, 0.9))


def machine(r, n, season):
    phase = np.arange(n) / r.log_uniform(6, 200) + 0.02 * np.cumsum(r.normal(n)) * r.chance(0.5)
    on = phase % 1 < r.uniform(0.2, 0.8)
    return on * (1 + 0.1 * autoregressive(r, n, 0.8)) * r.uniform(2, 10) + r.log_uniform(0.01, 0.3) * r.normal(n)


def plateau(r, n, season):
    phase = (np.arange(n) % season) / season
    return (
        20
        + 60 * ((phase > r.uniform(0.2, 0.5)) & (phase < r.uniform(0.55, 0.9)))
        + r.log_uniform(0.001, 6) * r.generator.random(n)
    )


def price(r, n, season):
    x = (
        r.log_uniform(0.05, 2)
        * (1 + 0.2 * daily(r, n, 24, 1))
        * np.exp(r.uniform(0.05, 0.4) * autoregressive(r, n, r.pick([0, 0.3, 0.7])))
    )
    return x * (1 + r.log_uniform(0.5, 5) * bursts(r, n, r.log_uniform(0.001, 0.01), 0, 0.8))


def intervals(r, n, season):
    x = np.abs(r.normal(n)) ** r.uniform(0.5, 2) * r.log_uniform(0.01, 1)
    return x + (r.generator.random(n) < r.uniform(0.02, 0.3)) * r.generator.exponential(1, n) * r.uniform(1, 5)


# in the proportions of this list
BACKGROUNDS = (
    3 * [processor_load]
    + 2 * [bytes_moved]
    + [latency]
    + 3 * [counts]
    + [occupancy, speed, temperature, demand, machine, plateau, price, price, intervals]
)


def recorded(data):
    """(name, values, season) of pieces of recorded series"""

    def filled(x):
        known = np.isfinite(x)
        return np.interp(np.arange(len(x)), np.flatnonzero(known), x[known])

    pieces = []
    for task in benchmarks.etth1(data):
        whole = benchmarks.read_column(data / "ett" / "ETTh1.csv", task.name)
        pieces += [("etth1", whole[first : first + 4000], 24) for first in range(0, len(whole) - 4000, 4400)]
    folder = data / "ts_small"
    whole = filled(benchmarks.read_column(folder / "example_yosemite_temps.csv", "y"))
    pieces += [("yosemite", whole[first : first + 4200], 288) for first in range(0, len(whole) - 4000, 4600)]
    for column in ("location_4", "location_41"):
        whole = filled(benchmarks.read_column(folder / "example_pedestrians_multivariate.csv", column))
        pieces += [("pedestrians", whole[first : first + 3000], 24) for first in range(0, len(whole) - 2000, 3000)]
    hourly = [
        task.values[: task.origins[0]] for task in benchmarks.read_m4(data / "m4_hourly", "hourly", "M4 hourly", 24)
    ]
    hourly = [x for x in hourly if len(x) > 900]
    pieces += [("m4_hourly", hourly[i], 24) for i in np.random.default_rng(5).permutation(len(hourly))[:20]]
    return pieces


KINDS = (
    4 * ["spike"]
    + 2 * ["shift"]
    + 3 * ["excursion"]
    + ["noise", "stuck", "ramp", "louder", "calmer", "lowest", "off_season", "busy"]
)


def disturb(r, x, at, season, longest):
    """adds one anomaly to `x`, from `at` on"""
    n, past, y = len(x), x[:at], x.copy()
    middle, low, high = np.percentile(past, (50, 10, 90))
    spread = max(high - low, 0.3 * np.std(past), 1e-9 * abs(middle), 1e-12)
    size = (1 if r.chance(0.65) else -1) * spread * r.log_uniform(1, 12)
    length = int(r.log_uniform(6, max(30, longest)))
    end = min(n, at + length)
    kind = r.pick(KINDS)
    if kind == "spike":
        y[at : at + r.whole(1, 4)] += 1.2 * size
    elif kind == "shift":
        y[at:] += 0.7 * size
    elif kind == "excursion":
        y[at:end] += 0.8 * size
    elif kind == "noise":
        y[at:end] += 0.5 * size * r.normal(end - at)
    elif kind == "stuck":
        y[at:end] = x[at] if r.chance(0.5) else middle
    elif kind == "ramp":
        y[at:end] += 1.2 * size * np.linspace(0, 1, length)[: end - at]
    elif kind == "louder":
        y[at:end] = middle + r.uniform(1.5, 3.5) * (x[at:end] - middle)
    elif kind == "calmer":
        y[at:end] = middle + 0.2 * (x[at:end] - middle)
    elif kind == "lowest":
        y[at:end] = past.min() - (0 if r.chance(0.5) else 0.1 * spread)
    elif kind == "off_season" and season and season < at < n - season:
        end = min(n, at + r.whole(1, 2) * season)
        y[at:end] = np.roll(x, season // 2)[at:end] if r.chance(0.5) else middle + 0.3 * (x[at:end] - middle)
    elif kind == "off_season":
        y[at:end] += size
    else:
        y[at:end] += size * (r.generator.random(end - at) < 0.2)
    return np.maximum(y, 0) if past.min() >= 0 and r.chance(0.9) else y


@dataclass
class Anomalous:
    background: str
    values: np.ndarray
    windows: list  # first and last index of each


def draw(seed, recordings, trained):
    r = Random(seed)
    source = r.uniform()
    if source < 0.25:
        background, x, season = r.pick(recordings)
    elif source < 0.37:
        x = r.pick(trained)
        background, x, season = "trained", x[: int(r.log_uniform(1500, len(x)))], 0
    else:
        n, season, made = int(r.log_uniform(1100, 9000)), r.pick([24, 48, 96, 144, 288, 288]), r.pick(BACKGROUNDS)
        background, x = made.__name__, made(r, n, season)
    n, count, windows = len(x), r.pick([0, 1, 1, 2, 2, 2, 3, 4]), []
    for i in range(count):
        begin, half = int(FIRST_ANOMALY * n), int(n * WINDOWS_SHARE / count / 2)
        room = (n - begin) // count
        at = begin + i * room + int(r.uniform(0.15, 0.85) * room)
        x = disturb(r, x, at, season, min(1.5 * half, 3 * max(season, 50)))
        windows.append((max(0, at - half), min(n - 1, at + half)))
    return Anomalous(background, x, windows)


def corpus(data, seed, count):
    recordings = recorded(pathlib.Path(data))
    trained = series.values(Draws(777, torch.device("cpu")), 120, 4096).double().numpy()
    return [draw(seed + i, recordings, trained) for i in range(count)]


def write(folder, all_series):
    windows = {}
    for number, s in enumerate(all_series):
        name = f"{s.background}/{number:04d}.csv"
        path = folder / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        times = [str(START + i * STEP) for i in range(len(s.values))]
        path.write_text("timestamp,value\n" + "".join(f"{t},{v:.9g}\n" for t, v in zip(times, s.values)))
        windows[name] = [[times[first], times[last]] for first, last in s.windows]
    (folder / "combined_windows.json").write_text(json.dumps(windows, indent=1) + "\n")


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=pathlib.Path, required=True)
    parser.add_argument("--seed", type=int, default=1000)
    parser.add_argument("--series", type=int, default=480)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    options = parser.parse_args(argv)
    all_series = corpus(options.data, options.seed, options.series)
    write(options.out, all_series)
    print(
        f"{len(all_series)} series, {sum(len(s.values) for s in all_series)} records, "
        f"{sum(len(s.windows) for s in all_series)} anomalies"
    )


if __name__ == "__main__":
    main()
