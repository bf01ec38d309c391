"""The public series for evaluating the forecasters, never used in training: ETTh1, M4 hourly and weekly, and a few
small ones.

"""
import csv
import gzip
import math
import pathlib
from dataclasses import dataclass

import numpy as np


@dataclass
class Task:
    """Values up to each of `origins` are known, the following `horizon` values are to be forecast; nan: missing."""

    group: str
    name: str
    values: np.ndarray
    origins: list
    horizon: int
    season: int


def read_column(path, column):
    # one of the files uses CR line ends
    rows = list(csv.reader(path.read_text().splitlines()))
    at = column if isinstance(column, int) else rows[0].index(column)
    number = lambda text: float(text) if text not in ("", "NaN", "NA") else math.nan
    return np.array([number(row[at]) for row in rows[1:] if row])


def read_m4(folder, prefix, group, season):
    read = lambda part: {
        r[0]: np.array([float(v) for v in r[1:]])
        for r in csv.reader(gzip.open(folder / f"{prefix}_{part}.csv.gz", "rt"))
        if r
    }
    train, test = read("train"), read("test")
    return [
        Task(group, name, np.concatenate((past, test[name])), [len(past)], len(test[name]), season)
        for name, past in train.items()
    ]


def _windows(values, horizon, count):
    """the last `count` origins, one horizon apart"""
    return [len(values) - horizon * (count - i) for i in range(count)]


def etth1(data):
    """every column of the usual test part, 48 hours ahead, origins 48 hours apart"""
    path = data / "ett" / "ETTh1.csv"
    first, last, horizon = 24 * 30 * 16, 24 * 30 * 20, 48
    return [
        Task(
            "ETTh1", name, read_column(path, name)[:last], list(range(first, last - horizon + 1, horizon)), horizon, 24
        )
        for name in ("HUFL", "HULL", "MUFL", "MULL", "LUFL", "LULL", "OT")
    ]


def small(data):
    folder = data / "ts_small"
    rows = list(csv.reader((folder / "elnino.csv").read_text().splitlines()))[1:]
    monthly = np.array([float(v) for row in rows for v in row[1:]])
    # file, column, season, horizon, windows
    listed = (
        ("co2.csv", "co2", 52, 26, 4),
        ("elec_equip.csv", 1, 12, 12, 4),
        ("example_air_passengers.csv", "y", 12, 12, 4),
        ("example_pedestrians_multivariate.csv", "location_4", 24, 48, 4),
        ("example_pedestrians_multivariate.csv", "location_41", 24, 48, 4),
        ("example_retail_sales.csv", "y", 12, 12, 4),
        ("example_wp_log_peyton_manning.csv", "y", 7, 30, 4),
        ("example_yosemite_temps.csv", "y", 288, 64, 8),
        ("nile.csv", "volume", 1, 8, 3),
        ("sunspots.csv", "SUNACTIVITY", 11, 11, 4),
    )
    tasks = [
        Task("small", f"{file.rsplit('.', 1)[0]} {column}", values, _windows(values, horizon, windows), horizon, season)
        for file, column, season, horizon, windows in listed
        for values in [read_column(folder / file, column)]
    ]
    tasks.append(Task("small", "elnino", monthly, _windows(monthly, 12, 4), 12, 12))
    for column in ("realgdp", "realcons", "unemp", "infl"):
        values = read_column(folder / "macrodata.csv", column)
        tasks.append(Task("small", f"macrodata {column}", values, _windows(values, 8, 3), 8, 4))
    return tasks


def tasks(data):
    """`data`: the folder with ett, m4_hourly, m4_weekly and ts_small"""
    data = pathlib.Path(data)
    return (
        etth1(data)
        + read_m4(data / "m4_hourly", "hourly", "M4 hourly", 24)
        + read_m4(data / "m4_weekly", "weekly", "M4 weekly", 1)
        + small(data)
    )
