#!/usr/bin/env python3
"""What `coil capture` learns from guitar_circuits in how much time: the tables of capture/MEASUREMENTS.md.

    tests/bench/capture.py DATA [--coil build/cli/coil] [--threads 2] [--seeds 1 2 3] [--only
    single|knobs|aliasing|noise]

DATA is the folder that holds knobs.csv, dry/, overdrive/, preamp/ and spread/. The error is taken from `coil process`,
on takes, and for the knobs at settings, that the training never saw. Needs numpy and sox. On a busy machine seconds say
nothing: with --pace 17 a second is 17 million frames, as on two quiet cores.
"""

import argparse
import csv
import json
import pathlib
import subprocess
import tempfile

import numpy as np

from aliasing import TONES_HZ, off_harmonics_db

SECONDS = {"overdrive": (2, 5, 10, 20, 60), "preamp": (2, 5, 10, 20, 60)}
ONE_SETTING = {"overdrive": {"drive": "1.0", "tone": "0.5"}, "preamp": {"gain": "1.0"}}
TEST_TAKE = "slide_lead"
KEPT_BACK = {"overdrive": {"drive": "0.5", "tone": "0.5"}, "preamp": {"gain": "0.4"}}
KNOB_SECONDS = (45, 120)
NOISE_DB = (-50, -60)  # relative to the wet sound


def read_sound(path):
    done = subprocess.run(["sox", path, "-t", "f32", "-"], capture_output=True, check=True)
    return np.frombuffer(done.stdout, np.float32).astype(float)


def write_sound(path, sound):
    subprocess.run(
        ["sox", "-t", "f32", "-r", "48000", "-c", "1", "-", "-e", "floating-point", "-b", "32", path],
        input=sound.astype(np.float32).tobytes(),
        check=True,
    )
    return path


class Data:
    def __init__(self, folder):
        self.folder = folder.resolve()

    def main(self, device):
        return [
            (self.folder / device / r["wet_file"], self.folder / "dry" / r["dry_file"], r)
            for r in self.rows("knobs.csv", device)
        ]

    def spread(self, device):
        return [
            (self.folder / "spread" / r["wet_file"], self.folder / "spread" / r["dry_file"], r)
            for r in self.rows("spread/knobs.csv", device)
        ]

    def rows(self, name, device):
        with open(self.folder / name, newline="") as f:
            return [row for row in csv.DictReader(f) if row["device"] == device]


def has(row, setting):
    return all(float(row[name]) == float(value) for name, value in setting.items())


def write_table(path, takes, knobs=()):
    lines = [",".join(["wet", "dry", *knobs])] + [
        ",".join([str(wet), str(dry), *(row[k] for k in knobs)]) for wet, dry, row in takes
    ]
    path.write_text("\n".join(lines) + "\n")


def capture(options, work, table, how_long, quality, seed):
    """how_long: seconds, or the option with its value."""
    if not isinstance(how_long, tuple):
        how_long = ("--million-frames", options.pace * how_long) if options.pace else ("--seconds", how_long)
    command = [
        options.coil,
        "capture",
        "--table",
        table,
        "-o",
        work / "model.safetensors",
        *how_long,
        "--quality",
        quality,
        "--threads",
        options.threads,
        "--seed",
        seed,
        "--json",
        "--quiet",
        "--no-report",
    ]
    return json.loads(subprocess.run(list(map(str, command)), capture_output=True, check=True).stdout)


def processed_esr(options, work, take, knobs=()):
    wet, dry, row = take
    settings = [part for k in knobs for part in ("--set", f"{k}={row[k]}")]
    subprocess.run(
        [
            options.coil,
            "process",
            dry,
            "-o",
            work / "out.wav",
            "-m",
            work / "model.safetensors",
            "--bits",
            "32f",
            *settings,
        ],
        capture_output=True,
        check=True,
    )
    found, wanted = read_sound(work / "out.wav"), read_sound(wet)
    return ((found - wanted) ** 2).sum() / (wanted**2).sum()


def single(options, data, work):
    print("\nOne setting. Columns: seconds of training; in brackets million frames, core-seconds, held-out error.\n")
    for device in options.devices:
        test = one_setting(data, work, device)
        for quality in options.qualities:
            for seed in options.seeds:
                cells = []
                for seconds in options.seconds or SECONDS[device]:
                    result = capture(options, work, work / "train.csv", seconds, quality, seed)
                    error = processed_esr(options, work, test[0])
                    spent = f"{result['million_frames']:.0f}, {result['cpu_seconds']:.0f}"
                    cells.append(f"{seconds} s: {error:.2e} ({spent}; held out {result['esr_held_out']:.2e})")
                print(f"{device:10s} {quality:9s} seed {seed}  " + "  ".join(cells), flush=True)


def one_setting(data, work, device):
    """Writes the table of training takes; returns the test takes."""
    takes = [take for take in data.main(device) if has(take[2], ONE_SETTING[device])]
    test = [take for take in takes if take[2]["dry_file"].startswith(TEST_TAKE)]
    write_table(work / "train.csv", [take for take in takes if take not in test])
    return test


def aliasing(options, data, work):
    frames = ("--million-frames", options.million_frames)
    print(
        f"\nError, and energy off the harmonics of full-scale/2 sines, after {options.million_frames} million frames.\n"
    )
    for device in options.devices:
        test = one_setting(data, work, device)
        for quality in options.qualities:
            for seed in options.seeds:
                capture(options, work, work / "train.csv", frames, quality, seed)
                tones = [off_harmonics_db(options.coil, work / "model.safetensors", hz) for hz in TONES_HZ]
                print(
                    f"{device:10s} {quality:9s} seed {seed}  ESR {processed_esr(options, work, test[0]):.2e}  "
                    + "  ".join(f"{hz / 1000:g} kHz {db:.1f} dB" for hz, db in zip(TONES_HZ, tones)),
                    flush=True,
                )


def noise(options, data, work):
    print(
        "\nHiss and hum in equal parts, added to what is trained on: error against the noisy recordings, and "
        "against the clean device.\n"
    )
    generator = np.random.default_rng(1)
    for device in options.devices:
        one_setting(data, work, device)
        takes = [
            take
            for take in data.main(device)
            if has(take[2], ONE_SETTING[device]) and not take[2]["dry_file"].startswith(TEST_TAKE)
        ]
        for level_db in NOISE_DB:
            noisy = []
            for wet, dry, row in takes:
                sound = read_sound(wet)
                noise_rms = np.sqrt((sound**2).mean()) * 10 ** (level_db / 20)
                hum = np.sin(2 * np.pi * 50 * np.arange(len(sound)) / 48000) * np.sqrt(2)
                sound = sound + noise_rms * (hum + generator.standard_normal(len(sound))) / np.sqrt(2)
                noisy.append((write_sound(work / f"noisy_{len(noisy)}.wav", sound), dry, row))
            write_table(work / "noisy.csv", noisy)
            capture(
                options,
                work,
                work / "noisy.csv",
                ("--million-frames", options.million_frames),
                "standard",
                options.seeds[0],
            )
            to_noisy, to_clean = (np.mean([processed_esr(options, work, take) for take in of]) for of in (noisy, takes))
            print(
                f"{device:10s} noise {level_db} dB: {to_noisy:.2e} to the recordings, {to_clean:.2e} to the device",
                flush=True,
            )


def knobs(options, data, work):
    print("\nKnobs, at settings that were not recorded: mean and worst ESR.\n")
    for device in options.devices:
        kept = KEPT_BACK[device]
        names, seen, train, test = list(kept), set(), data.spread(device), []
        for take in data.main(device):
            positions = tuple(take[2][name] for name in names)
            if has(take[2], kept):
                test.append(take)
            elif device == "preamp" or positions not in seen:  # for the overdrive, one take per corner and edge
                seen.add(positions)
                train.append(take)
        write_table(work / "train.csv", train, names)
        for seed in options.seeds:
            for seconds in options.seconds or KNOB_SECONDS:
                result = capture(options, work, work / "train.csv", seconds, "standard", seed)
                errors = [processed_esr(options, work, take, names) for take in test]
                print(
                    f"{device:10s} seed {seed}  {seconds:3d} s ({result['million_frames']:.0f} million frames, "
                    f"{result['cpu_seconds']:.0f} "
                    f"core-seconds): {np.mean(errors):.2e}, worst {max(errors):.2e}",
                    flush=True,
                )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=pathlib.Path)
    parser.add_argument("--coil", type=pathlib.Path, default=pathlib.Path("build/cli/coil"))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--devices", choices=list(ONE_SETTING), nargs="+", default=list(ONE_SETTING))
    parser.add_argument("--seconds", type=int, nargs="+", help="other times of training")
    parser.add_argument("--pace", type=float, help="count a second as so many million frames")
    parser.add_argument("--qualities", nargs="+", default=["lite", "standard", "hq"])
    parser.add_argument("--only", choices=["single", "knobs", "aliasing", "noise"])
    parser.add_argument("--million-frames", type=int, default=440, help="to train on, for aliasing and noise")
    options = parser.parse_args()
    options.coil = options.coil.resolve()
    data = Data(options.data)
    with tempfile.TemporaryDirectory() as folder:
        for part in (single, knobs, aliasing, noise):
            if options.only in (None, part.__name__):
                part(options, data, pathlib.Path(folder))


if __name__ == "__main__":
    main()
