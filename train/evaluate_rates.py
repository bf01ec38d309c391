"""Measures what a preset loses at other sample rates than its own: with its steps rescaled, and with the signal
resampled around it.

Each held-out take is limited to the band that both rates hold, given to the Coil executable at the preset's own rate
and at the other rate both ways, brought back to the preset's rate and limited to the same band. The error is that
against the preset's output at its own rate; the error against the circuit's, which hears the same, stands beside it,
and the aliasing of a sine in that band. Steps rescaled to twice or four times the own rate, as measured here, are what
oversampling by 2 or 4 would give. All resampling here is by discrete Fourier transform: exact in the band."""
import argparse
import functools
import json
import pathlib
import subprocess
import tempfile

import numpy as np

import circuit
import metrics
import wav
from evaluate import ALIAS_KNOBS, KNOB_RANGE

OWN = circuit.SAMPLE_RATE
ALIAS_HERTZ = 5000
RATES = (22050, 32000, 44100, 88200, 96000, 176400, 192000)
WAYS = ("steps", "resample")
# The pass band of the program's resamplers: flat to the lesser of both.
PASS_HERTZ, PASS_PART = 20000, 0.4535
SILENCE = OWN // 10  # before and after an excerpt, not scored: what a transform's wrap-around could reach


def resampled(signal, rate, to_rate, band=None):
    """the signal at another rate, or what lies below `band` Hz of it (raised cosine over the band's upper 5 %)"""
    frames = len(signal) * to_rate / rate
    if frames != round(frames):
        raise ValueError(f"{len(signal)} frames at {rate} Hz are no whole number of frames at {to_rate} Hz")
    spectrum = np.fft.rfft(np.asarray(signal, np.float64))
    if band:
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
        subprocess.run(
            [
                executable,
                "process",
                str(source),
                "-o",
                str(out),
                "-m",
                str(preset),
                "--quiet",
                "--set",
                f"drive={KNOB_RANGE * drive:.9g}",
                "--set",
                f"tone={KNOB_RANGE * tone:.9g}",
                *options,
            ],
            check=True,
        )
        samples, found = wav.read(out)
    if found != rate or len(samples) != len(signal):
        raise ValueError(f"{len(signal)} frames at {rate} Hz in, {len(samples)} at {found} Hz out")
    return samples


def decibel(error_and_target):
    return float(10 * np.log10(error_and_target[0] / error_and_target[1]))


class Takes:
    """the held-out takes, each limited to a band, with what the preset and the circuit make of it"""

    def __init__(self, executable, preset, pairs):
        self.executable, self.preset, self.pairs = executable, preset, pairs  # pairs: dry, drive, tone
        self.limited = functools.lru_cache(None)(self._limited)

    def _limited(self, index, band):
        """dry, the preset's and the circuit's output; the outputs limited as well, without the silence around them"""
        dry, drive, tone = self.pairs[index]
        dry = resampled(np.pad(dry, SILENCE), OWN, OWN, band)
        return (
            dry,
            scored(run(self.executable, self.preset, dry, OWN, drive, tone), OWN, band),
            scored(circuit.process(dry, drive, tone), OWN, band),
        )


def scored(signal, rate, band):
    return resampled(signal, rate, OWN, band)[SILENCE:-SILENCE]


def measure(takes, rate):
    band = min(PASS_HERTZ, PASS_PART * min(rate, OWN))
    sums = {name: np.zeros(2) for name in ("own_rate", *WAYS, *(f"{way}_circuit" for way in WAYS))}
    for index, (_, drive, tone) in enumerate(takes.pairs):
        dry, truth, wet = takes.limited(index, band)
        sums["own_rate"] += np.sum((truth - wet) ** 2), np.sum(wet**2)
        given = resampled(dry, OWN, rate)
        for way in WAYS:
            found = scored(
                run(takes.executable, takes.preset, given, rate, drive, tone, "--rate-scaling", way), rate, band
            )
            sums[way] += np.sum((found - truth) ** 2), np.sum(truth**2)
            sums[f"{way}_circuit"] += np.sum((found - wet) ** 2), np.sum(wet**2)
    result = {
        "rate_hz": rate,
        "band_hz": band,
        "excerpts": len(takes.pairs),
        "circuit_esr_db": {
            "own_rate": decibel(sums["own_rate"]),
            **{way: decibel(sums[f"{way}_circuit"]) for way in WAYS},
        },
    }
    for way in WAYS:
        result[f"{way}_esr_db"] = decibel(sums[way])
    given = resampled(metrics.sine(ALIAS_HERTZ, OWN), OWN, rate)
    result["aliasing_5khz_db"] = {
        way: metrics.aliasing_db(
            resampled(
                run(takes.executable, takes.preset, given, rate, *ALIAS_KNOBS, "--rate-scaling", way), rate, OWN, band
            ),
            ALIAS_HERTZ,
            OWN,
        )
        for way in WAYS
    }
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
    pairs = [
        (wav.read(o.heldout / p["dry"])[0], p["drive"], p["tone"])
        for p in json.loads((o.heldout / "index.json").read_text())[:: o.every]
    ]
    takes = Takes(o.executable, o.preset, pairs)
    print(
        "rate, Hz  band, Hz | ESR against its own rate, dB: steps  resample | against the circuit: own rate  "
        "steps  resample | aliasing: steps  resample"
    )
    results = []
    for rate in o.rates:
        r = measure(takes, rate)
        c, s = r["circuit_esr_db"], r["aliasing_5khz_db"]
        print(
            f"{rate:8d}  {r['band_hz']:8.0f} | {r['steps_esr_db']:6.1f}  {r['resample_esr_db']:6.1f} | "
            f"{c['own_rate']:6.1f}  {c['steps']:6.1f}  {c['resample']:6.1f} | "
            f"{s['steps']:6.1f}  {s['resample']:6.1f}",
            flush=True,
        )
        results.append(r)
    if o.json:
        o.json.write_text(json.dumps({"rates": results}, indent=1) + "\n")


if __name__ == "__main__":
    main()
