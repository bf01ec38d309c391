"""Compares the circuit with an independent SPICE simulation of the same kind of pedal (linear pots, knobs 0 .. 1) on
its dry takes.
"""
import argparse
import csv
import pathlib

import numpy as np
import soundfile

import circuit


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument(
        "--data", type=pathlib.Path, required=True, help="folder with knobs.csv, dry/ and overdrive/"
    )
    arguments.add_argument("--seconds", type=float, default=4.0)
    options = arguments.parse_args()
    frames = int(options.seconds * circuit.SAMPLE_RATE)
    rate = circuit.SAMPLE_RATE * circuit.OVERSAMPLING
    for row in csv.DictReader(open(options.data / "knobs.csv")):
        if row["device"] != "overdrive":
            continue
        dry, _ = soundfile.read(options.data / "dry" / row["dry_file"], frames=frames)
        wet, _ = soundfile.read(options.data / "overdrive" / row["wet_file"], frames=frames)
        feedback = circuit.COMPONENTS["r_drive_end"] + float(row["drive"]) * circuit.COMPONENTS["r_drive_pot"]
        ours = circuit.simulate(circuit.resampled(dry) * circuit.INPUT_PEAK_VOLTS, rate, feedback, float(row["tone"]))
        ours = circuit.decimated(ours, frames) / circuit.OUTPUT_PEAK_VOLTS
        gain = np.dot(ours, wet) / np.dot(ours, ours)
        esr = np.sum((ours - wet) ** 2) / np.sum(wet**2)
        scaled = np.sum((gain * ours - wet) ** 2) / np.sum(wet**2)
        print(f"{row['wet_file']:40s} ESR {esr:.5f}, {scaled:.5f} after a gain of {gain:.4f}")


if __name__ == "__main__":
    main()
