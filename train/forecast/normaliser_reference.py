"""Writes tests/sensor/normaliser_reference.json: records, and the frames that the plain float64 normaliser makes of
them. Per case: values (null: missing), intervals, frames; frames[t][3] is the encoded interval."""
import argparse
import json
import math
import pathlib
import random

from .normaliser import WINDOW, Reference


def cases():
    rng = random.Random(1)
    noise = lambda: rng.gauss(0, 1)
    walk = [0.0]
    while len(walk) < 300:
        walk.append(walk[-1] + noise())
    season = [1e6 + 50 * math.sin(2 * math.pi * t / 24) + noise() for t in range(60)]
    yield "a walk longer than the window", walk, [0.0] * 300
    yield "a season far above zero, with gaps", [None if t in (0, 5, 6, 30) else x for t, x in enumerate(season)], [
        60.0
    ] * 60
    some = [None if rng.random() < 0.2 else noise() for _ in range(60)]
    yield "irregular times, values missing", some, [0.0] + [10 * rng.expovariate(1) + 0.01 for _ in range(59)]
    yield "a spike of a thousand spreads", [1000.0 if t == 20 else noise() for t in range(40)], [0.0] * 40
    yield "constant, then a step", [5.0] * 20 + [7.0] * 20, [1.0] * 40
    yield "sparse", [float(t % 17 == 0) for t in range(60)], [0.0] * 60
    yield "nothing but missing values, then zeros", [None] * 5 + [0.0] * 5, [1.0] * 10
    yield "very small and very large", [1e-20 * noise() if t < 15 else 1e20 * noise() for t in range(30)], [0.0] * 30


def main(argv=None):
    a = argparse.ArgumentParser(description=__doc__)
    a.add_argument("--out", type=pathlib.Path, default=pathlib.Path("tests/sensor/normaliser_reference.json"))
    o = a.parse_args(argv)
    made = []
    for name, values, intervals in cases():
        normaliser = Reference()
        values = [None if v is None else float(f"{v:.9g}") for v in values]
        intervals = [float(f"{i:.6g}") for i in intervals]
        frames = [[float(f"{f:.8g}") for f in normaliser.step(v, i)] for v, i in zip(values, intervals)]
        made.append({"name": name, "values": values, "intervals": intervals, "frames": frames})
    lines = ",\n".join(json.dumps(case, separators=(",", ":")) for case in made)
    o.out.write_text(f'{{"window":{WINDOW},"cases":[\n{lines}\n]}}\n')


if __name__ == "__main__":
    main()
