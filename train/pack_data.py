"""Packs the recorded dry takes (48 kHz FLAC) into one small file for machines without a FLAC reader."""
import argparse
import pathlib

import numpy as np
import soundfile

from circuit import SAMPLE_RATE
from dry import TEST_TAKES, TRAIN_TAKES, VALIDATION_TAKES


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--data", type=pathlib.Path, required=True, help="folder with the takes as FLAC")
    arguments.add_argument("--out", type=pathlib.Path, default=pathlib.Path(__file__).parent / "data" / "takes.npz")
    options = arguments.parse_args()
    packed = {"sample_rate": np.int64(SAMPLE_RATE)}
    for name in TRAIN_TAKES + VALIDATION_TAKES + TEST_TAKES:
        samples, rate = soundfile.read(options.data / f"{name}.flac", dtype="float64")
        if rate != SAMPLE_RATE or samples.ndim != 1:
            raise ValueError(f"{name}: not mono at {SAMPLE_RATE} Hz")
        packed[name] = np.clip(np.round(samples * 32768), -32768, 32767).astype(np.int16)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(options.out, **packed)
    print(
        f"{options.out}: {sum(v.size for k, v in packed.items() if k != 'sample_rate') / SAMPLE_RATE:.0f} s, "
        f"{options.out.stat().st_size / 2**20:.1f} MiB"
    )


if __name__ == "__main__":
    main()
