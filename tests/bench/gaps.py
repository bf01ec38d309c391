#!/usr/bin/env python3
"""Counts how many sensors raise an alarm when they return after a gap or when their clock is set, and whether a real
change across a gap is found.

gaps.py COIL [--model watch] [--sensors 40] [--seed 0] [--shape day ...] [--at 500]

A row is a kind of gap, a column a shape of series. A cell counts the sensors with an anomaly among the first six
records after the return; the number in brackets counts those records without a score. Rows that end in "!" have a real
change: there all sensors should alarm, elsewhere none."""
import argparse
import json
import math
import random
import subprocess

LENGTH, STEP_S, BEGIN_S, LOOK = 900, 900, 1700000000, 6
YEAR_S = 365 * 86400


def sine(rng, period, amplitude, noise, steps, smooth=0.9):
    phase, drift, values = rng.random() * 2 * math.pi, 0.0, []
    for i in range(steps):
        drift = smooth * drift + rng.gauss(0, noise)
        values.append(20 + amplitude * math.sin(phase + 2 * math.pi * i / period) + drift)
    return values


def weekly(rng, steps):
    values = sine(rng, 24, 3, 0.15, steps)
    return [v + (2 if i // 24 % 7 < 5 else -2) * (1 if i % 24 in range(7, 19) else 0.2) for i, v in enumerate(values)]


def walk(rng, steps):
    value, values = 20.0, []
    for _ in range(steps):
        value += 0.3 * rng.gauss(0, 1) + 0.02 * (20 - value)
        values.append(value)
    return values


def counts(rng, steps):
    phase, values = rng.random() * 6, []
    for i in range(steps):
        rate = math.exp(2.5 + math.sin(phase + 2 * math.pi * i / 96))
        values.append(float(max(0, round(rng.gauss(rate, math.sqrt(rate))))))
    return values


SHAPES = {
    "day": lambda rng, steps: sine(rng, 96, 5, 0.1, steps),
    "noisy": lambda rng, steps: sine(rng, 96, 5, 0.4, steps),
    "wide": lambda rng, steps: sine(rng, 96, 9, 0.05, steps),
    "hours": lambda rng, steps: sine(rng, 24, 5, 0.1, steps),
    "fine": lambda rng, steps: sine(rng, 288, 5, 0.05, steps),
    "odd": lambda rng, steps: sine(rng, 61, 5, 0.1, steps),
    "week": weekly,
    "noise": lambda rng, steps: sine(rng, 96, 0, 1, steps, 0),
    "walk": walk,
    "counts": counts,
    "still": lambda rng, steps: [20.0 + (0.1 if rng.random() < 0.02 else 0) for _ in range(steps)],
}


def shifted(rows, first, by):
    return [dict(r, v=r["v"] + by) if i >= first and r["v"] is not None else r for i, r in enumerate(rows)]


def later(rows, first, seconds):
    return [dict(r, time=r["time"] + seconds) if i >= first else r for i, r in enumerate(rows)]


def nulls(rows, at, count):
    return [dict(r, v=None) if at <= i < at + count else r for i, r in enumerate(rows)], at + count


def absent(rows, at, count):
    return rows[:at] + rows[at + count :], at


def timeless(rows):
    return [{k: v for k, v in r.items() if k != "time"} for r in rows]


def moved(rows, at, count):
    """half a period later in one step: it returns at another place within its range"""
    return rows[:at] + [dict(r, time=q["time"]) for r, q in zip(rows[at + count + 48 :], rows[at + count :])], at


def cases():
    yield "nothing happens", lambda rows, at, rng: (rows, at)
    for n in (1, 2, 4, 8, 16, 24, 48, 64, 96, 150, 200, 300):
        yield f"{n} null", lambda rows, at, rng, n=n: nulls(rows, at, n)
    for n in (1, 2, 4, 8, 16, 24, 48, 64, 65, 96, 150, 200, 300):
        yield f"{n} absent", lambda rows, at, rng, n=n: absent(rows, at, n)
    for n in (8, 48):
        yield f"{n} null, no times", lambda rows, at, rng, n=n: (lambda r: (timeless(r[0]), r[1]))(nulls(rows, at, n))
    for seconds in (900, 3600, 3600 * 3, 86400, YEAR_S):
        yield f"back {seconds} s", lambda rows, at, rng, s=seconds: (later(rows, at, -s), at)
    for seconds in (7 * 3600, 86400, YEAR_S, 10 * YEAR_S):
        yield f"one ahead {seconds} s", lambda rows, at, rng, s=seconds: (
            later(rows, at, s)[: at + 1] + rows[at + 1 :],
            at,
        )
        yield f"ahead for good {seconds} s", lambda rows, at, rng, s=seconds: (later(rows, at, s), at)
    for seconds in (3600, YEAR_S):
        yield f"one back {seconds} s", lambda rows, at, rng, s=seconds: (
            later(rows, at, -s)[: at + 1] + rows[at + 1 :],
            at,
        )
        yield f"three back {seconds} s", lambda rows, at, rng, s=seconds: (
            later(rows, at, -s)[: at + 3] + rows[at + 3 :],
            at,
        )
    for n in (1, 4, 8, 24, 48, 96, 150, 300):
        yield f"{n} absent, 15 up !", lambda rows, at, rng, n=n: absent(shifted(rows, at + n, 15), at, n)
    for n in (8, 48, 96):
        yield f"{n} null, 15 up !", lambda rows, at, rng, n=n: nulls(shifted(rows, at + n, 15), at, n)
    for seconds in (3600, YEAR_S):
        yield f"back {seconds} s, 15 up !", lambda rows, at, rng, s=seconds: (later(shifted(rows, at, 15), at, -s), at)
    yield f"one ahead, 15 up !", lambda rows, at, rng: (
        later(shifted(rows, at, 15), at, YEAR_S)[: at + 1] + shifted(rows, at, 15)[at + 1 :],
        at,
    )
    for n in (8, 48):
        yield f"{n} absent, half a day off", lambda rows, at, rng, n=n: moved(rows, at, n)


def series(shape, seed):
    rng = random.Random(f"{shape} {seed}")
    return [{"time": BEGIN_S + i * STEP_S, "v": round(v, 3)} for i, v in enumerate(SHAPES[shape](rng, LENGTH))]


def judge(options, shape):
    lines, returns = [], {}
    for name, change in cases():
        if options.only and not any(o in name for o in options.only):
            continue
        for seed in range(options.seed, options.seed + options.sensors):
            rng = random.Random(seed)
            rows, at = change(series(shape, seed), options.at, rng)
            key = f"{name}/{seed}"
            returns[key] = (name, at)
            lines += [json.dumps({"s": key, **r}) for r in rows[: at + LOOK]]
    command = [options.coil, "stream", "-m", options.model, "--key", "s"]
    output = subprocess.run(command, input="\n".join(lines) + "\n", capture_output=True, text=True, check=True).stdout
    by = {}
    for line in output.splitlines():
        r = json.loads(line)
        by.setdefault(r["s"], []).append(r)
    result = {}
    for key, rows in by.items():
        name, at = returns[key]
        cell = result.setdefault(name, [0, 0])
        window = rows[at : at + LOOK]
        cell[0] += any(r["status"] == "anomaly" for r in window)
        cell[1] += sum(r["score"] is None for r in window) + LOOK - len(window)
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("coil")
    parser.add_argument("--model", default="watch_small")
    parser.add_argument("--sensors", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--at", type=int, default=500)
    parser.add_argument("--shape", nargs="+", default=list(SHAPES))
    parser.add_argument("--only", nargs="+", default=[])
    options = parser.parse_args()
    columns = {shape: judge(options, shape) for shape in options.shape}
    print(f"{'of ' + str(options.sensors):34}" + "".join(f"{shape:>9}" for shape in columns))
    for name in next(iter(columns.values())):
        cells = (f"{c[name][0]}" + (f" ({c[name][1]})" if c[name][1] else "") for c in columns.values())
        print(f"{name:34}" + "".join(f"{cell:>9}" for cell in cells))


if __name__ == "__main__":
    main()
