"""Runs the Coil executable with a preset over the held-out pairs that dataset.py writes: ESR, aliasing and what
silence gives; also the controls.

Every figure is taken twice: from the reset state, and settled, after one second of silence that is not scored."""
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
SETTLING = circuit.SAMPLE_RATE
ALIAS_KNOBS = (1.0, 0.5)
CORNERS = [(d, t) for d in (0.0, 0.5, 1.0) for t in (0.0, 0.5, 1.0)]


class Engine:
    """coil process as a function of a mono signal and the knobs in 0 .. 1"""

    def __init__(self, executable, preset):
        self.executable, self.preset = executable, preset

    def __call__(self, dry, drive, tone):
        with tempfile.TemporaryDirectory() as folder:
            source, out = pathlib.Path(folder, "dry.wav"), pathlib.Path(folder, "wet.wav")
            wav.write(source, dry, circuit.SAMPLE_RATE)
            subprocess.run(
                [
                    self.executable,
                    "process",
                    str(source),
                    "-o",
                    str(out),
                    "-m",
                    str(self.preset),
                    "--set",
                    f"drive={KNOB_RANGE * drive:.9g}",
                    "--set",
                    f"tone={KNOB_RANGE * tone:.9g}",
                ],
                check=True,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            samples, rate = wav.read(out)
        if rate != circuit.SAMPLE_RATE or len(samples) != len(dry):
            raise ValueError(f"{len(dry)} frames at {circuit.SAMPLE_RATE} Hz in, {len(samples)} at {rate} Hz out")
        return samples


class Network:
    """the same for a job of a checkpoint, in PyTorch: the controls have no engine"""

    def __init__(self, checkpoint, name):
        import torch
        import models

        self.torch = torch
        state, _, self.x_scale, self.y_scale, *_ = checkpoint.for_export(name)
        self.model = models.MODELS[checkpoint.jobs[name]["record"]["model"]]()
        self.model.load_state_dict({k: torch.from_numpy(v.copy()) for k, v in state.items()})

    def __call__(self, dry, drive, tone):
        with self.torch.no_grad():
            x = self.torch.from_numpy(np.asarray(dry, np.float32) / np.float32(self.x_scale))[None, None]
            return self.model(x, self.torch.tensor([[drive, tone]], dtype=self.torch.float32))[
                0, 0
            ].numpy() * np.float32(self.y_scale)


def ratio(rows):
    """plain and pre-emphasised ESR of (error, target, error pre-emphasised, target pre-emphasised) rows together"""
    error, target, error_pre, target_pre = np.sum(rows, 0)
    return {"esr": float(error / target), "esr_pre": float(error_pre / target_pre), "excerpts": len(rows)}


def settled(process, dry, drive, tone):
    return process(np.concatenate([np.zeros(SETTLING, np.float32), dry]), drive, tone)[SETTLING:]


def decibel(value):
    return float(20 * np.log10(max(abs(value), 1e-12)))


def evaluate(process, pairs, alias_hertz):
    """pairs: dry, wet, drive, tone, source"""
    cold = [metrics.energies(process(dry, d, t), wet) for dry, wet, d, t, _ in pairs]
    warm = [metrics.energies(settled(process, dry, d, t), wet) for dry, wet, d, t, _ in pairs]
    result = {"all": ratio(cold), "all_settled": ratio(warm)}
    for kind in sorted({p[4] for p in pairs}):
        own = [i for i, p in enumerate(pairs) if p[4] == kind]
        result[kind], result[f"{kind}_settled"] = ratio([cold[i] for i in own]), ratio([warm[i] for i in own])
    cells = {}
    for c, w, (_, _, d, t, _) in zip(cold, warm, pairs):
        # to the nearest quarter of each knob's range
        cells.setdefault((round(d * 4) / 4, round(t * 4) / 4), []).append((c, w))
    result["knobs"] = [
        {
            "drive": d * KNOB_RANGE,
            "tone": t * KNOB_RANGE,
            **ratio([c for c, _ in r]),
            "esr_settled": ratio([w for _, w in r])["esr"],
        }
        for (d, t), r in sorted(cells.items())
    ]
    tone = metrics.sine(alias_hertz, circuit.SAMPLE_RATE)
    result["aliasing"] = {
        "hertz": alias_hertz,
        "db": metrics.aliasing_db(process(tone, *ALIAS_KNOBS), alias_hertz, circuit.SAMPLE_RATE),
    }
    quiet = [process(np.zeros(2 * circuit.SAMPLE_RATE, np.float32), d, t) for d, t in CORNERS]
    result["silence"] = {
        "start_peak_dbfs": max(decibel(np.abs(q).max()) for q in quiet),
        "settled_dbfs": max(decibel(np.abs(q[circuit.SAMPLE_RATE :]).max()) for q in quiet),
    }
    return result


def report(name, r):
    print(
        f"{name}\n  ESR {r['all']['esr']:.6f}, settled {r['all_settled']['esr']:.6f}; pre-emphasised "
        f"{r['all']['esr_pre']:.6f}, settled {r['all_settled']['esr_pre']:.6f}"
    )
    for kind in ("synthetic", "recorded"):
        if kind in r:
            print(
                f"  {kind} ESR {r[kind]['esr']:.6f}, settled {r[kind + '_settled']['esr']:.6f}, "
                f"{r[kind]['excerpts']} excerpts"
            )
    print(
        f"  aliasing of a {r['aliasing']['hertz']} Hz sine at full drive {r['aliasing']['db']:.1f} dB; silence "
        f"in: first second at most {r['silence']['start_peak_dbfs']:.1f} dBFS, "
        f"after it {r['silence']['settled_dbfs']:.1f} dBFS",
        flush=True,
    )


def main():
    a = argparse.ArgumentParser(description=__doc__)
    a.add_argument("--executable", default="coil")
    a.add_argument("--preset", type=pathlib.Path, help="model file for the executable")
    a.add_argument("--checkpoint", type=pathlib.Path, help="also run its jobs, in PyTorch")
    a.add_argument("--heldout", type=pathlib.Path, required=True, help="folder written by dataset.py")
    a.add_argument("--alias-hertz", type=int, default=5000)
    a.add_argument("--json", type=pathlib.Path, help="write the numbers here too")
    o = a.parse_args()
    pairs = [
        (wav.read(o.heldout / p["dry"])[0], wav.read(o.heldout / p["wet"])[0], p["drive"], p["tone"], p["source"])
        for p in json.loads((o.heldout / "index.json").read_text())
    ]
    tone = metrics.sine(o.alias_hertz, circuit.SAMPLE_RATE)
    result = {
        "circuit_aliasing_db": metrics.aliasing_db(
            circuit.process(tone, *ALIAS_KNOBS), o.alias_hertz, circuit.SAMPLE_RATE
        )
    }
    print(f"the circuit's own aliasing of a {o.alias_hertz} Hz sine: {result['circuit_aliasing_db']:.1f} dB")
    if o.preset:
        result["preset"] = evaluate(Engine(o.executable, o.preset), pairs, o.alias_hertz)
        report(f"{o.preset.name} in the engine", result["preset"])
        print("  drive  tone  ESR       settled   excerpts")
        for c in result["preset"]["knobs"]:
            print(f"  {c['drive']:5.1f} {c['tone']:5.1f}  {c['esr']:.6f}  {c['esr_settled']:.6f}  {c['excerpts']}")
    if o.checkpoint:
        from checkpoint import Checkpoint

        checkpoint = Checkpoint.read(o.checkpoint)
        result["jobs"] = {}
        for name in checkpoint.jobs:
            result["jobs"][name] = evaluate(Network(checkpoint, name), pairs, o.alias_hertz)
            report(f"{name} in PyTorch", result["jobs"][name])
    if o.json:
        o.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
