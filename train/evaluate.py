"""Runs the Coil executable with a preset over the held-out pairs that dataset.py writes: ESR over all, per source and per knob setting, and aliasing."""
import argparse
import json
import pathlib
import subprocess
import tempfile

import numpy as np

import circuit
import metrics
import wav

KNOB_RANGE = 10


def process(executable, preset, source, out, drive, tone):
    subprocess.run([executable, "process", str(source), "-o", str(out), "-m", str(preset), "--set", f"drive={KNOB_RANGE * drive:.9g}", "--set", f"tone={KNOB_RANGE * tone:.9g}"],
                   check=True, stdout=subprocess.DEVNULL)
    samples, rate = wav.read(out)
    if rate != circuit.SAMPLE_RATE:
        raise ValueError(f"{out}: {rate} Hz")
    return samples


def ratio(rows):
    """plain and pre-emphasised ESR of (error, target, error pre-emphasised, target pre-emphasised) rows together"""
    error, target, error_pre, target_pre = np.sum(rows, 0)
    return {"esr": float(error / target), "esr_pre": float(error_pre / target_pre), "excerpts": len(rows)}


def main():
    a = argparse.ArgumentParser(description=__doc__)
    a.add_argument("--executable", default="coil")
    a.add_argument("--preset", type=pathlib.Path, required=True)
    a.add_argument("--heldout", type=pathlib.Path, required=True, help="folder written by dataset.py")
    a.add_argument("--alias-hertz", type=int, default=5000)
    a.add_argument("--json", type=pathlib.Path, help="write the numbers here too")
    o = a.parse_args()
    pairs = json.loads((o.heldout / "index.json").read_text())
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(folder) / "out.wav"
        for pair in pairs:
            wet = process(o.executable, o.preset, o.heldout / pair["dry"], out, pair["drive"], pair["tone"])
            target, _ = wav.read(o.heldout / pair["wet"])
            if len(wet) != len(target):
                raise ValueError(f"{pair['dry']}: {len(target)} frames in, {len(wet)} out")
            rows.append(metrics.energies(wet, target))
        tone = metrics.sine(o.alias_hertz, circuit.SAMPLE_RATE)
        source = pathlib.Path(folder) / "sine.wav"
        wav.write(source, tone, circuit.SAMPLE_RATE)
        sine = process(o.executable, o.preset, source, out, 1.0, 0.5)
    result = {"all": ratio(rows)}
    for kind in sorted({p["source"] for p in pairs}):
        result[kind] = ratio([r for r, p in zip(rows, pairs) if p["source"] == kind])
    cells = {}
    for row, pair in zip(rows, pairs):
        # to the nearest quarter of each knob's range
        cells.setdefault((round(pair["drive"] * 4) / 4, round(pair["tone"] * 4) / 4), []).append(row)
    result["knobs"] = [{"drive": d * KNOB_RANGE, "tone": t * KNOB_RANGE, **ratio(r)} for (d, t), r in sorted(cells.items())]
    result["aliasing"] = {"hertz": o.alias_hertz, "preset_db": metrics.aliasing_db(sine, o.alias_hertz, circuit.SAMPLE_RATE),
                          "circuit_db": metrics.aliasing_db(circuit.process(tone, 1.0, 0.5), o.alias_hertz, circuit.SAMPLE_RATE)}
    for name in ("all", "synthetic", "recorded"):
        if name in result:
            print(f"{name:10s} ESR {result[name]['esr']:.6f}, pre-emphasised {result[name]['esr_pre']:.6f}, {result[name]['excerpts']} excerpts")
    print("\ndrive  tone  ESR       pre-emph  excerpts")
    for c in result["knobs"]:
        print(f"{c['drive']:5.1f} {c['tone']:5.1f}  {c['esr']:.6f}  {c['esr_pre']:.6f}  {c['excerpts']}")
    print(f"\naliasing of a {o.alias_hertz} Hz sine at full drive: preset {result['aliasing']['preset_db']:.1f} dB, circuit {result['aliasing']['circuit_db']:.1f} dB")
    if o.json:
        o.json.write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
