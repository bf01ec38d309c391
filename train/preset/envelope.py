"""How well a model follows its circuit's gain: the level of bursts of a sine, window by window."""

import csv
import pathlib
import subprocess
import tempfile

import numpy as np

from preset import sound

CARRIER_HZ = 1000
WINDOW_FRAMES = 96  # two periods
# Level and seconds of each part: onsets and releases of several sizes.
PARTS = ((-34, 0.4), (-6, 0.5), (-34, 0.8), (-12, 0.4), (-26, 0.6), (-1, 0.15), (-34, 0.65))
LEAST_DB = -60  # of the circuit's loudest window: below, there is nothing to follow
SETTINGS = 8  # the circuit's lanes


def bursts():
    level = np.concatenate([np.full(round(seconds * sound.RATE_HZ), 10 ** (db / 20)) for db, seconds in PARTS])
    return level * np.sin(2 * np.pi * CARRIER_HZ / sound.RATE_HZ * np.arange(len(level)))


def levels_db(samples):
    windows = samples[: len(samples) // WINDOW_FRAMES * WINDOW_FRAMES].reshape(-1, WINDOW_FRAMES)
    return 10 * np.log10((windows**2).mean(1) + 1e-20)


def error_db(found, wanted):
    """Root mean square of the difference of the levels."""
    found, wanted = levels_db(found), levels_db(wanted)
    heard = wanted > wanted.max() + LEAST_DB
    return float(np.sqrt(((found - wanted)[heard] ** 2).mean()))


def settings_of(knobs):
    """The default, then positions spread over the range."""
    steps = (np.arange(1, SETTINGS)[:, None] * np.sqrt([2, 3, 5, 7][: len(knobs)])) % 1
    spread = [{k["name"]: round(k["min"] + s * (k["max"] - k["min"]), 2) for k, s in zip(knobs, row)} for row in steps]
    return [{k["name"]: k["default"] for k in knobs}, *spread]


def circuit_outputs(circuit, netlist, knobs, samples):
    settings = settings_of(knobs)
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        sound.write(folder / "dry.wav", samples)
        with open(folder / "table.csv", "w", newline="") as f:
            writer = csv.writer(f, lineterminator="\n")
            writer.writerow(["wet", "dry", *settings[0]])
            writer.writerows([f"{i}.wav", "dry.wav", *setting.values()] for i, setting in enumerate(settings))
        command = [circuit, "render", netlist, folder / "table.csv", "--threads", "1"]
        subprocess.run([str(word) for word in command], check=True, stdout=subprocess.DEVNULL)
        return [sound.read(folder / f"{i}.wav") for i in range(len(settings))]


def errors_db(coil, circuit, model, netlist, knobs):
    """Of each setting."""
    samples = bursts()
    wanted = circuit_outputs(circuit, netlist, knobs, samples)
    words = [[f"{name}={value}" for name, value in setting.items()] + ["level=0"] for setting in settings_of(knobs)]
    return [error_db(sound.process_samples(coil, model, samples, w), target) for w, target in zip(words, wanted)]
