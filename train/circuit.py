"""The overdrive circuit: component values, state equations, knob tapers, and its simulation of a 48 kHz signal."""
import ctypes
import functools

import numpy as np

import native

SAMPLE_RATE = 48000
OVERSAMPLING = 32
INPUT_PEAK_VOLTS = 0.5
OUTPUT_PEAK_VOLTS = 1.0

# Ibanez TS808 signal path, ohm and farad. Values as published in "The Technology of the Tube Screamer" (R. G. Keen,
# geofex.com)
# and "Tube Screamer Analysis" (electrosmash.com).
COMPONENTS = {
    "c_in": 20e-9,
    "r_in": 1e3,
    "r_bias_in": 510e3,  # guitar to the input emitter follower
    "c_buffer": 1e-6,
    "r_bias_clip": 10e3,  # follower to the clipping op-amp
    "r_series": 4.7e3,
    "c_series": 47e-9,  # its inverting input to ground
    "r_drive_end": 51e3,
    "r_drive_pot": 500e3,
    "c_feedback": 51e-12,
    "r_tone_in": 1e3,
    "c_tone_in": 220e-9,
    "r_bias_tone": 10e3,
    "r_tone_pot": 20e3,
    "r_pot_end": 10.0,
    "r_tone_wiper": 220.0,
    "c_tone_wiper": 220e-9,
    "r_tone_feedback": 1e3,
    "r_out": 1e3,
    "c_out": 1e-6,
    "r_level_pot": 100e3,
    "c_follower": 100e-9,
    "r_bias_out": 510e3,  # level pot to the output emitter follower
    "r_follower_out": 100.0,
    "c_load": 10e-6,
    "r_load": 10e3,
}
# 1N914 as in the usual SPICE model, without its series resistance and junction capacitance; both diodes alike
DIODE_SATURATION = 2.52e-9
DIODE_EMISSION = 1.752
THERMAL_VOLTS = 1.380649e-23 * 300.15 / 1.602176634e-19


def drive_resistance(drive):
    """Feedback resistance for the knob in 0 .. 1: an audio-taper pot, 15 % of its track at half turn."""
    root = 1 / 0.15 - 1
    return COMPONENTS["r_drive_end"] + COMPONENTS["r_drive_pot"] * (root ** (2 * drive) - 1) / (root**2 - 1)


def tone_track(tone):
    """Share of the tone track between wiper and the non-inverting side for the knob in 0 .. 1: a smooth S, flat at
    both ends (G taper).
    """
    return tone * tone * (3 - 2 * tone)


def input_stage():
    """State equations x' = a x + b u, y = c x + d u from the input jack to the clipping op-amp's input; followers
    are ideal.
    """
    k = COMPONENTS
    share = k["r_bias_in"] / (k["r_in"] + k["r_bias_in"])
    to_follower = np.array([-share, 0.0, share])
    rows = np.array(
        [
            np.array([-1.0, 0.0, 1.0]) / ((k["r_in"] + k["r_bias_in"]) * k["c_in"]),
            (to_follower - [0.0, 1.0, 0.0]) / (k["r_bias_clip"] * k["c_buffer"]),
        ]
    )
    out = to_follower - [0.0, 1.0, 0.0]
    return rows[:, :2], rows[:, 2], out[:2], out[2]


def output_stage(track):
    """The same from the clipper's output to the output jack, level pot fully up; states: the five capacitor
    voltages.
    """
    k = COMPONENTS
    tone_in, tone_wiper, c_out, c_follower, c_load, u = np.eye(6)
    end = k["r_pot_end"]
    plus = 1 / (end + track * k["r_tone_pot"])
    minus = 1 / (end + (1 - track) * k["r_tone_pot"])
    shunt = 1 / k["r_tone_wiper"]
    wiper = (shunt * tone_wiper + (plus + minus) * tone_in) / (shunt + plus + minus)
    op_amp = tone_in + k["r_tone_feedback"] * minus * (tone_in - wiper)
    level = ((op_amp - c_out) / k["r_out"] + c_follower / k["r_bias_out"]) / (
        1 / k["r_out"] + 1 / k["r_level_pot"] + 1 / k["r_bias_out"]
    )
    follower = level - c_follower
    rows = np.array(
        [
            ((u - tone_in) / k["r_tone_in"] - tone_in / k["r_bias_tone"] - plus * (tone_in - wiper)) / k["c_tone_in"],
            shunt * (wiper - tone_wiper) / k["c_tone_wiper"],
            (op_amp - c_out - level) / (k["r_out"] * k["c_out"]),
            follower / (k["r_bias_out"] * k["c_follower"]),
            (follower - c_load) / ((k["r_follower_out"] + k["r_load"]) * k["c_load"]),
        ]
    )
    out = (follower - c_load) * k["r_load"] / (k["r_follower_out"] + k["r_load"])
    return rows[:, :5], rows[:, 5], out[:5], out[5]


class _Linear(ctypes.Structure):
    _fields_ = [
        ("states", ctypes.c_int),
        ("a", ctypes.c_double * 64),
        ("b", ctypes.c_double * 8),
        ("c", ctypes.c_double * 8),
        ("d", ctypes.c_double),
    ]


class _Clipper(ctypes.Structure):
    _fields_ = [
        (n, ctypes.c_double)
        for n in ("step", "r_series", "c_series", "r_feedback", "c_feedback", "saturation", "emission_volts")
    ]


def _trapezoidal(stage, step):
    a, b, c, d = stage
    n = len(b)
    inverse = np.linalg.inv(np.eye(n) - step / 2 * a)
    s = _Linear(n)
    s.a[: n * n] = (inverse @ (np.eye(n) + step / 2 * a)).ravel().tolist()
    s.b[:n] = (inverse @ b * step / 2).tolist()
    s.c[:n] = c.tolist()
    s.d = float(d)
    return s


def _pointer(array):
    return array.ctypes.data_as(ctypes.POINTER(ctypes.c_double))


@functools.lru_cache(None)
def _library():
    library = native.load("circuit.c")
    library.circuit_run.restype = ctypes.c_long
    return library


def simulate(volts, rate, feedback, track):
    """Output volts for input volts at a high sample rate; feedback in ohm, tone track share in 0 .. 1; starts at
    rest.
    """
    signal = np.array(volts, dtype=np.float64)
    clipper = _Clipper(
        1 / rate,
        COMPONENTS["r_series"],
        COMPONENTS["c_series"],
        feedback,
        COMPONENTS["c_feedback"],
        DIODE_SATURATION,
        DIODE_EMISSION * THERMAL_VOLTS,
    )
    failures = _library().circuit_run(
        ctypes.byref(_trapezoidal(input_stage(), 1 / rate)),
        ctypes.byref(clipper),
        ctypes.byref(_trapezoidal(output_stage(track), 1 / rate)),
        _pointer(signal),
        ctypes.c_long(len(signal)),
    )
    if failures or not np.all(np.isfinite(signal)):
        raise ArithmeticError(f"the solver did not converge in {failures} of {len(signal)} steps")
    return signal


@functools.lru_cache(None)
def _prototype(cutoff, transition, attenuation=110.0):
    """Linear-phase low-pass at the oversampled rate, unit gain: Kaiser-windowed sinc over +- half samples of 48 kHz."""
    half = int(np.ceil((attenuation - 8) / (2.285 * 2 * np.pi * transition / SAMPLE_RATE) / 2))
    t = np.arange(-half * OVERSAMPLING, half * OVERSAMPLING + 1) / OVERSAMPLING
    h = np.sinc(2 * cutoff / SAMPLE_RATE * t) * np.kaiser(len(t), 0.1102 * (attenuation - 8.7))
    return half, h / h.sum()


def resampled(signal):
    """The band-limited signal between its samples: flat to 20 kHz, images from 28 kHz on removed, no delay; 50
    samples longer.
    """
    half, h = _prototype(24000, 8000)
    offsets = np.arange(OVERSAMPLING) + (half - np.arange(2 * half + 1))[:, None] * OVERSAMPLING
    inside = np.abs(offsets) <= half * OVERSAMPLING
    table = np.where(inside, h[np.clip(offsets + half * OVERSAMPLING, 0, len(h) - 1)] * OVERSAMPLING, 0.0)
    signal = np.ascontiguousarray(signal, dtype=np.float64)
    frames = len(signal) + 50
    out = np.empty(frames * OVERSAMPLING)
    _library().upsample(
        _pointer(signal),
        ctypes.c_long(len(signal)),
        _pointer(np.ascontiguousarray(table)),
        half,
        OVERSAMPLING,
        _pointer(out),
        ctypes.c_long(frames),
    )
    return out


def decimated(signal, frames):
    """48 kHz samples of an oversampled signal: flat to 20 kHz, everything above 24 kHz removed, no delay (zero
    phase).
    """
    half, h = _prototype(22000, 4000)
    out = np.empty(frames)
    taps = np.ascontiguousarray(h[:-1])
    if _library().downsample(
        _pointer(signal),
        ctypes.c_long(len(signal)),
        _pointer(taps),
        half,
        OVERSAMPLING,
        _pointer(out),
        ctypes.c_long(frames),
    ):
        raise MemoryError
    return out


def process(dry, drive, tone):
    """Wet signal (1 = 1 V) for a dry one (1 = 0.5 V), both at 48 kHz and sample-aligned, knobs in 0 .. 1."""
    high = simulate(
        resampled(dry) * INPUT_PEAK_VOLTS, SAMPLE_RATE * OVERSAMPLING, drive_resistance(drive), tone_track(tone)
    )
    return decimated(high, len(dry)) / OUTPUT_PEAK_VOLTS
