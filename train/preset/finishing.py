"""Makes a preset of a trained model: its card with the engine's measurements, and the page beside it."""

import csv
import json
import subprocess
import tempfile
import tomllib
from pathlib import Path

import numpy as np

from preset import envelope, model_file, page, sound

ROOT = Path(__file__).resolve().parents[2]
LEVEL_KNOB = {"name": "level", "min": -40, "max": 12, "default": 0, "unit": "dB", "to": "output_gain_db",
              "description": "a gain behind the network"}  # fmt: skip
LOUDNESS_LUFS = -23  # of the demonstration take at the default knob positions
DEMO_TAKE = ROOT / "assets/guitar_slide_lead.flac"
LICENCE = "CC0-1.0"
NOISE_SEED = 1


def dbu(peak_volts):
    return 20 * np.log10(peak_volts / np.sqrt(2) / 0.7746)


def controls_of(netlist, texts, level_db):
    """Ranges and defaults from the netlist; the level's gain is exact."""
    knobs = [
        {**knob, "unit": "", "description": texts["knobs"][knob["name"]], "to": "network"} for knob in netlist["knobs"]
    ]
    return knobs + [{**LEVEL_KNOB, "default": level_db}]


def errors(coil, model, work, knobs, part):
    """Error-to-signal ratio on takes and settings that were not used in training; `level` at 0 dB."""
    rows, distances, error, energy = [], [], 0.0, 0.0
    with open(work / f"{part}.csv", newline="") as f:
        for row in csv.DictReader(f):
            positions = {knob["name"]: float(row[knob["name"]]) for knob in knobs}
            settings = [f"{name}={value}" for name, value in positions.items()] + ["level=0"]
            found, wanted = sound.process(coil, model, work / row["dry"], settings), sound.read(work / row["wet"])
            rows.append((((found - wanted) ** 2).sum() / (wanted**2).sum(), positions))
            distances.append(sound.spectral_distance_db(found, wanted))
            error, energy = error + ((found - wanted) ** 2).sum(), energy + (wanted**2).sum()
    worst = max(rows, key=lambda row: row[0])
    return {
        "takes": len(rows),
        "esr_of_all": error / energy,
        "esr_mean": float(np.mean([ratio for ratio, _ in rows])),
        "esr_median": float(np.median([ratio for ratio, _ in rows])),
        "esr_worst": worst[0],
        "worst_at": worst[1],
        "spectral_distance_db": float(np.mean(distances)),
    }


def circuit_tone(circuit, netlist_path, samples):
    with tempfile.TemporaryDirectory() as folder:
        sound.write(Path(folder, "dry.wav"), samples)
        Path(folder, "table.csv").write_text("wet,dry\nwet.wav,dry.wav\n")
        subprocess.run(
            [circuit, "render", netlist_path, Path(folder, "table.csv"), "--threads", "1"],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        return sound.read(Path(folder, "wet.wav"))


def aliasing(coil, circuit, model, netlist_path):
    figures = {}
    for hz in sound.TONES_HZ:
        samples, periods = sound.tone(hz)
        figures[f"aliasing_{hz}hz_db"] = sound.off_harmonics_db(sound.process_samples(coil, model, samples), periods)
        figures[f"circuit_aliasing_{hz}hz_db"] = sound.off_harmonics_db(
            circuit_tone(circuit, netlist_path, samples), periods
        )
    return figures


def stability(coil, model):
    """Output peaks for signals that no guitar produces; silence must stay silent."""
    frames = 10 * sound.RATE_HZ
    noise = np.random.default_rng(NOISE_SEED).standard_normal(frames)
    figures = {}
    for name, samples in (
        ("silence", np.zeros(frames)),
        ("noise", 0.5 * noise),
        ("dc", np.full(frames, 0.5)),
        ("noise_24_db_hotter", 8 * noise),
    ):
        output = sound.process_samples(coil, model, samples)
        if not np.isfinite(output).all():
            raise ArithmeticError(f"{model}: {name} gives values that are no numbers")
        figures[f"peak_of_{name}"] = float(np.abs(output).max())
        if name == "dc":
            figures["dc_left_after_9_s"] = float(abs(output[-sound.RATE_HZ :].mean()))
    if figures["peak_of_silence"] > 0:
        raise ArithmeticError(f"{model}: is not silent at rest")
    return figures


def loudness(coil, model):
    output = sound.process(coil, model, DEMO_TAKE)
    return {
        "loudness_lufs_at_default": sound.loudness_lufs(output),
        "headroom_db_at_default": -20 * np.log10(np.abs(output).max()),
    }


def rounded(value):
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    return float(f"{value:.4g}") if isinstance(value, float) else value


def data(options):
    return (
        f"{options.takes} takes of {options.take_seconds:g} s, each at another setting, half of them cut from dry "
        "recordings (MIT, Copyright (c) 2023 Steven Atkinson, github.com/tone-3000/neural-amp-modeler-wasm), through a "
        "simulation of the circuit"
    )


def command(options):
    """All that decides what is in the file, but for the SIMD target."""
    words = [f"train/make_preset {options.name} --recordings FOLDER --takes {options.takes}"]
    words += [f"--take-seconds {options.take_seconds:g} --million-frames {options.million_frames:g}"]
    words += [f"--test-takes {options.test_takes} --test-seconds {options.test_seconds:g}"]
    words += ["--test-corners 1"] if options.test_corners else []
    words += [
        f"--quality {options.quality} --network {options.network} --seed {options.seed} --threads {options.threads}"
    ]
    return " ".join(words)


def measured(options, work, model, netlist_path, knobs):
    metrics = {
        "measured": "by the engine on takes and settings that nothing was learned from (train/make_preset)",
        "recorded": errors(options.coil, model, work, knobs, "recorded"),
        "synthetic": errors(options.coil, model, work, knobs, "synthetic"),
    }
    metrics |= aliasing(options.coil, options.circuit, model, netlist_path)
    by_setting = envelope.errors_db(options.coil, options.circuit, model, netlist_path, knobs)
    metrics |= {"envelope_error_db": float(np.mean(by_setting)), "envelope_error_db_worst": max(by_setting)}
    metrics |= stability(options.coil, model)
    metrics |= loudness(options.coil, model)
    for part in ("recorded", "synthetic"):
        print(f"{options.name}, {part}:", {k: v for k, v in rounded(metrics[part]).items() if k.startswith("esr")})
    return rounded(metrics)


def netlist_info(options):
    netlist_path = ROOT / "train/circuits/devices" / f"{options.name}.net"
    done = subprocess.run([options.circuit, "info", netlist_path], check=True, capture_output=True)
    return netlist_path, json.loads(done.stdout)


def measure_again(options, work):
    """A preset as it is, with new figures on its card."""
    netlist_path, netlist = netlist_info(options)
    card = model_file.read_card(options.output)
    card["metrics"] = measured(options, work, options.output, netlist_path, netlist["knobs"])
    model_file.write_with_card(options.output, options.output, card)


def finish(options, work):
    netlist_path, netlist = netlist_info(options)
    texts = tomllib.loads(netlist_path.with_suffix(".toml").read_text())
    trained = work / "model.safetensors"
    capture = json.loads((work / "model.json").read_text())
    old = model_file.read_card(trained)
    card = {
        "name": texts["name"] + ("" if options.quality == "standard" else f" ({options.quality})"),
        "task": texts["task"],
        "category": texts["category"],
        "tags": texts["tags"],
        "description": texts["description"],
        "sample_rate": sound.RATE_HZ,
        "channels": 1,
        "latency_frames": 0,
        "input_peak_volts": netlist["input_volts"],
        "output_peak_volts": netlist["output_volts"],
        "input_full_scale_dbu": float(dbu(netlist["input_volts"])),
        "output_full_scale_dbu": float(dbu(netlist["output_volts"])),
        "controls": controls_of(netlist, texts, 0),
        "licence": LICENCE,
        "training": {
            "data": data(options),
            "quality": capture["quality"],
            "million_frames": capture["million_frames"],
            "seed": options.seed,
            "command": command(options),
        },
    }
    if "filter" in texts:
        card["filter"] = {"knobs": texts["filter"]["knobs"], "source": "computed from the circuit's values"}
        card["filter"] |= {f"error_{key}": error for key, error in capture["filter_error"].items()}
    assert len(old["controls"]) == len(netlist["knobs"]), "the model has other knobs than the netlist"
    partial = work / "preset.safetensors"
    model_file.write_with_card(trained, partial, card)  # so that the engine knows the ranges of the knobs
    level_db = round(2 * (LOUDNESS_LUFS - loudness(options.coil, partial)["loudness_lufs_at_default"])) / 2
    level_db = min(max(level_db, LEVEL_KNOB["min"]), LEVEL_KNOB["max"])  # of a network that learned too little
    card["controls"] = controls_of(netlist, texts, level_db)
    model_file.write_with_card(trained, partial, card)
    card["metrics"] = measured(options, work, partial, netlist_path, netlist["knobs"])
    model_file.write_with_card(trained, options.output, rounded(card))


def write_page(options):
    texts = tomllib.loads((ROOT / "train/circuits/devices" / f"{options.name}.toml").read_text())
    command = [options.coil, "info", "--json", options.output]
    info = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    options.output.with_suffix(".md").write_text(page.render(info["card"], info, texts))
