"""Measures what a preset loses at other sample rates than its own: with its steps rescaled, and with the signal resampled around it.

Each held-out take is limited to the band that both rates hold, given to the Coil executable at the preset's own rate and at the other rate both
ways, brought back to the preset's rate and limited to the same band. The error is that against the preset's output at its own rate; the
error against the circuit's, which hears the same, stands beside it. All resampling here is by discrete Fourier transform: exact in the band."""
import argparse
import json
import pathlib
import subprocess
import tempfile

import numpy as np

import circuit
import metrics
import wav
from evaluate import ALIAS_KNOBS, KNOB_RANGE

RATES = (22050, 32000, 44100, 88200, 96000, 176400, 192000)
WAYS = ("steps", "resample")
# The pass band of the program's resamplers: flat to the lesser of both.
PASS_HERTZ, PASS_PART = 20000, 0.4535
SILENCE = circuit.SAMPLE_RATE // 10  # before and after an excerpt, not scored: what a transform's wrap-around could reach


def resampled(signal, rate, to_rate, band):
    """the signal at another rate, without what lies above `band` (raised cosine over its upper 5 %)"""
    frames = len(signal) * to_rate / rate
    if frames != round(frames):
        raise ValueError(f"{len(signal)} frames at {rate} Hz are no whole number of frames at {to_rate} Hz")
    spectrum = np.fft.rfft(np.asarray(signal, np.float64))
    hertz = np.arange(len(spectrum)) * rate / len(signal)
    spectrum *= np.sin(np.pi / 2 * np.clip((band - hertz) / (0.05 * band), 0, 1)) ** 2
    out = np.zeros(round(frames) // 2 + 1, complex)
    shared = min(len(out), len(spectrum))
    out[:shared] = spectrum[:shared]
    return np.fft.irfft(out, round(frames)) * (to_rate / rate)


def run(executable, preset, signal, rate, drive, tone, *options):
    """coil process of one mono signal; knobs in 0 .. 1"""
    with tempfile.TemporaryDirectory() as folder:
        source, out = pathlib.Path(folder, "dry.wav"), pathlib.Path(folder, "wet.wav")
        wav.write(source, signal, rate)
        subprocess.run([executable, "process", str(source), "-o", str(out), "-m", str(preset), "--quiet", "--set", f"drive={KNOB_RANGE * drive:.9g}",
                        "--set", f"tone={KNOB_RANGE * tone:.9g}", *options], check=True)
        samples, found = wav.read(out)
    if found != rate or len(samples) != len(signal):
        raise ValueError(f"{len(signal)} frames at {rate} Hz in, {len(samples)} at {found} Hz out")
    return samples


def decibel(error, target):
    return float(10 * np.log10(error / target))


def measure(executable, preset, pairs, rate):
    """pairs: dry, drive, tone"""
    own = circuit.SAMPLE_RATE
    band = min(PASS_HERTZ, PASS_PART * min(rate, own))
    scored = slice(SILENCE, -SILENCE)
    sums = {name: [0.0, 0.0] for name in ("own_rate", *WAYS, *(f"{way}_circuit" for way in WAYS))}
    for dry, drive, tone in pairs:
        dry = resampled(np.pad(dry, SILENCE), own, own, band)
        limited = lambda signal, at: resampled(signal, at, own, band)[scored]
        truth = limited(run(executable, preset, dry, own, drive, tone), own)
        wet = limited(circuit.process(dry, drive, tone), own)

        def add(name, found, target):
            sums[name][0] += np.sum((found - target) ** 2)
            sums[name][1] += np.sum(target ** 2)

        add("own_rate", truth, wet)
        given = resampled(dry, own, rate, band)
        for way in WAYS:
            found = limited(run(executable, preset, given, rate, drive, tone, "--rate-scaling", way), rate)
            add(way, found, truth)
            add(f"{way}_circuit", found, wet)
    result = {"rate_hz": rate, "band_hz": band, "excerpts": len(pairs),
              "circuit_esr_db": {"own_rate": decibel(*sums["own_rate"]), **{way: decibel(*sums[f"{way}_circuit"]) for way in WAYS}}}
    for way in WAYS:
        result[f"{way}_esr_db"] = decibel(*sums[way])
    tone = metrics.sine(5000, rate)
    result["aliasing_5khz_db"] = {way: metrics.aliasing_db(run(executable, preset, tone, rate, *ALIAS_KNOBS, "--rate-scaling", way), 5000, rate) for way in WAYS}
    return result


def main():
    a = argparse.ArgumentParser(description=__doc__)
    a.add_argument("--executable", default="coil")
    a.add_argument("--preset", type=pathlib.Path, required=True)
    a.add_argument("--heldout", type=pathlib.Path, required=True, help="folder written by dataset.py")
    a.add_argument("--rates", type=int, nargs="+", default=RATES)
    a.add_argument("--every", type=int, default=1, help="take every so many-th held-out pair")
    a.add_argument("--json", type=pathlib.Path, help="write the numbers here too")
    o = a.parse_args()
    pairs = [(wav.read(o.heldout / p["dry"])[0], p["drive"], p["tone"]) for p in json.loads((o.heldout / "index.json").read_text())[::o.every]]
    print("rate, Hz  band, Hz | ESR against its own rate, dB: steps  resample | against the circuit: own rate  steps  resample | aliasing: steps  resample")
    results = []
    for rate in o.rates:
        r = measure(o.executable, o.preset, pairs, rate)
        c, s = r["circuit_esr_db"], r["aliasing_5khz_db"]
        print(f"{rate:8d}  {r['band_hz']:8.0f} | {r['steps_esr_db']:6.1f}  {r['resample_esr_db']:6.1f} | {c['own_rate']:6.1f}  {c['steps']:6.1f}  {c['resample']:6.1f} | "
              f"{s['steps']:6.1f}  {s['resample']:6.1f}", flush=True)
        results.append(r)
    if o.json:
        o.json.write_text(json.dumps({"rates": results}, indent=1) + "\n")


if __name__ == "__main__":
    main()
