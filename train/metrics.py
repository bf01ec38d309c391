"""How far a wet signal is from the target, and how much of a sine's response lies between its harmonics."""
import numpy as np

PRE_EMPHASIS = 0.85


def energies(wet, target):
    """squared error and squared target, plain and pre-emphasised: four sums over the last axis"""
    wet, target = np.asarray(wet, np.float64), np.asarray(target, np.float64)
    error = wet - target
    pre = lambda s: s[..., 1:] - PRE_EMPHASIS * s[..., :-1]
    return [np.sum(s**2, -1) for s in (error, target, pre(error), pre(target))]


def summary(wet, target):
    """ESR over all excerpts together, the same pre-emphasised, the median excerpt's, and each excerpt's"""
    e, t, pe, pt = energies(wet, target)
    each = e / t
    return {
        "esr": float(e.sum() / t.sum()),
        "esr_pre": float(pe.sum() / pt.sum()),
        "esr_median": float(np.median(each)),
        "each": each.tolist(),
    }


def sine(frequency, rate, amplitude=0.5):
    return (amplitude * np.sin(2 * np.pi * frequency * np.arange(2 * rate) / rate)).astype(np.float32)


def aliasing_db(response, frequency, rate):
    """Energy of the last second away from 0 Hz and all harmonics below half the rate, relative to all but 0 Hz, in
    dB.
    """
    tail = np.asarray(response, np.float64)[-rate:]
    n = np.arange(rate) / rate
    window = (
        0.35875 - 0.48829 * np.cos(2 * np.pi * n) + 0.14128 * np.cos(4 * np.pi * n) - 0.01168 * np.cos(6 * np.pi * n)
    )
    power = np.abs(np.fft.rfft(tail * window)) ** 2
    hertz = np.arange(len(power))
    off = np.abs(hertz - frequency * np.round(hertz / frequency)) > 10
    return float(10 * np.log10(max(power[off].sum(), 1e-300) / power[hertz > 10].sum()))
