"""Dry, wet and knob arrays of the three parts (train, validation, test), made from a seed; also writes the test part
as WAV files.
"""
import argparse
import concurrent.futures
import json
import os
import pathlib
import zlib

import numpy as np

import circuit
import dry
import wav

LENGTH = 122880  # frames of one excerpt, 2.56 s
TAKES = pathlib.Path(__file__).parent / "data" / "takes.npz"
# synthetic excerpts, recorded excerpts, takes, gain range of the recordings
PARTS = {
    "train": (320, 192, dry.TRAIN_TAKES, (0.3, 2.0)),
    "validation": (16, 8, dry.VALIDATION_TAKES, (0.5, 1.5)),
    "test": (24, 25, dry.TEST_TAKES, (1.0, 1.0)),
}
GRID = (0.0, 0.25, 0.5, 0.75, 1.0)


def random_knobs(rng, count):
    """Uniform over the range, each knob at one of its ends in one excerpt of eight."""
    knobs = rng.random((count, 2))
    ends = rng.random((count, 2))
    knobs[ends < 1 / 16] = 0
    knobs[ends > 15 / 16] = 1
    return knobs


def make(part, takes_path=TAKES, seed=1, length=LENGTH, scale=1.0, workers=None):
    """dict of x (n, length), y (n, length), knobs (n, 2), all float32, and source (n names); scale < 1 makes fewer
    excerpts.

    The recorded excerpts of the test part have the knobs of a grid, all others random knobs. Without a takes file all
    are synthetic.
    """
    synthetic, recorded, names, gains = PARTS[part]
    synthetic, recorded = max(1, round(synthetic * scale)), max(1, round(recorded * scale))
    rng = np.random.default_rng([seed, zlib.crc32(part.encode())])
    seeds = rng.integers(1, 2**31, synthetic)
    x = [dry.synthetic(int(s), length) for s in seeds]
    source = ["synthetic"] * synthetic
    knobs = random_knobs(rng, synthetic + recorded)
    if takes_path is None:
        knobs = knobs[:synthetic]
    else:
        x += dry.recorded(dry.load_takes(takes_path), names, rng, recorded, length, gains)
        source += ["recorded"] * recorded
        if part == "test":
            grid = np.array([(d, t) for d in GRID for t in GRID])
            # a stride that shares no factor with the grid's 25 cells: neighbours in the takes get distant knobs
            knobs[synthetic:] = grid[np.arange(recorded) * 7 % len(grid)]
    knobs = knobs.astype(np.float32)
    with concurrent.futures.ThreadPoolExecutor(workers or os.cpu_count()) as pool:
        y = list(
            pool.map(
                lambda i: circuit.process(x[i], float(knobs[i, 0]), float(knobs[i, 1])).astype(np.float32),
                range(len(x)),
            )
        )
    return {"x": np.stack(x), "y": np.stack(y), "knobs": knobs, "source": source}


def main():
    arguments = argparse.ArgumentParser(description="Writes the test part as 32-bit float WAV pairs and an index.")
    arguments.add_argument("--takes", type=pathlib.Path, default=TAKES)
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument(
        "--out", type=pathlib.Path, required=True, help="folder for NN_dry.wav, NN_wet.wav and index.json"
    )
    options = arguments.parse_args()
    part = make("test", options.takes, options.seed)
    options.out.mkdir(parents=True, exist_ok=True)
    index = []
    for i, (x, y, knobs, source) in enumerate(zip(part["x"], part["y"], part["knobs"], part["source"])):
        wav.write(options.out / f"{i:02d}_dry.wav", x, circuit.SAMPLE_RATE)
        wav.write(options.out / f"{i:02d}_wet.wav", y, circuit.SAMPLE_RATE)
        index.append(
            {
                "dry": f"{i:02d}_dry.wav",
                "wet": f"{i:02d}_wet.wav",
                "drive": float(knobs[0]),
                "tone": float(knobs[1]),
                "source": source,
            }
        )
    (options.out / "index.json").write_text(json.dumps(index, indent=1))
    print(f"{options.out}: {len(index)} pairs, {part['x'].size / circuit.SAMPLE_RATE:.0f} s")


if __name__ == "__main__":
    main()
