#!/usr/bin/env python3
"""Measures a model's aliasing: the energy off the harmonics of a sine, relative to the whole output.

tests/bench/aliasing.py MODEL ... [--coil build/cli/coil] [--rate 48000] [--level 0.5] [--set KNOB=VALUE ...]

Each tone has an odd number of periods in 2^15 frames, so that no alias falls on a harmonic. Needs numpy and sox.

"""

import argparse
import pathlib
import subprocess
import tempfile

import numpy as np

TONES_HZ = (5000, 2500, 1200)
PERIOD_FRAMES = 1 << 15


def play(coil, model, sound, rate, settings=()):
    """The model's output for one channel of float samples."""
    options = [part for setting in settings for part in ("--set", setting)]
    with tempfile.TemporaryDirectory() as folder:
        source, target = pathlib.Path(folder, "in.wav"), pathlib.Path(folder, "out.wav")
        subprocess.run(
            ["sox", "-t", "f32", "-r", str(rate), "-c", "1", "-", "-e", "floating-point", "-b", "32", source],
            input=sound.astype(np.float32).tobytes(),
            check=True,
        )
        subprocess.run(
            [coil, "process", source, "-o", target, "-m", model, "--bits", "32f", *options],
            capture_output=True,
            check=True,
        )
        done = subprocess.run(["sox", target, "-t", "f32", "-"], capture_output=True, check=True)
        return np.frombuffer(done.stdout, np.float32).astype(float)


def off_harmonics_db(coil, model, tone_hz, rate=48000, level=0.5, settings=()):
    """Energy off the harmonics of a steady sine, in dB of the whole."""
    periods = int(tone_hz / rate * PERIOD_FRAMES) | 1
    before = rate  # long enough for every mode to settle
    frames = before + PERIOD_FRAMES + 4096  # so that the end of the sound does not affect the last frames
    sine = level * np.sin(2 * np.pi * periods / PERIOD_FRAMES * np.arange(frames))
    steady = play(coil, model, sine, rate, settings)[before : before + PERIOD_FRAMES]
    power = np.abs(np.fft.rfft(steady)) ** 2
    power[1:-1] *= 2
    return 10 * np.log10(1e-30 + 1 - power[::periods].sum() / power.sum())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+")
    parser.add_argument("--coil", type=pathlib.Path, default=pathlib.Path("build/cli/coil"))
    parser.add_argument("--rate", type=int, default=48000)
    parser.add_argument("--level", type=float, default=0.5, help="of the sine's peak; 1 is full scale")
    parser.add_argument("--set", dest="settings", nargs="+", default=[], help="positions of the knobs")
    options = parser.parse_args()
    for model in options.models:
        found = [
            off_harmonics_db(options.coil.resolve(), model, hz, options.rate, options.level, options.settings)
            for hz in TONES_HZ
        ]
        print(
            f"{model}  " + "  ".join(f"{hz / 1000:g} kHz: {db:.1f} dB" for hz, db in zip(TONES_HZ, found)), flush=True
        )


if __name__ == "__main__":
    main()
