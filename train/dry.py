"""Dry signals: synthetic guitar-like excerpts, and excerpts of recorded takes packed by pack_data.py."""
import ctypes
import functools

import numpy as np

import native
from circuit import SAMPLE_RATE

# The split is by take: no moment of a take is in two parts.
TRAIN_TAKES = ("celestial_guitar", "fear_guitar", "jazz_trot_guitar", "power_guitar", "raid_guitar")
VALIDATION_TAKES = ("john_guitar",)
TEST_TAKES = ("pop_punk_guitar", "slide_lead_guitar", "rollin_bass")
FADE = 480


@functools.lru_cache(None)
def _library():
    return native.load("dry.c")


def synthetic(seed, frames):
    out = np.empty(frames, np.float32)
    if _library().dry_synthesize(
        ctypes.c_uint32(seed), out.ctypes.data_as(ctypes.POINTER(ctypes.c_float)), ctypes.c_long(frames)
    ):
        raise MemoryError
    return faded(out)


def faded(signal):
    """Silent at both ends, so that an excerpt cut out of a signal has no step that no guitar makes."""
    ramp = 0.5 - 0.5 * np.cos(np.pi * (np.arange(FADE) + 0.5) / FADE)
    signal = signal.astype(np.float32)
    signal[:FADE] *= ramp
    signal[-FADE:] *= ramp[::-1]
    return signal


def load_takes(path):
    """name -> samples in -1 .. 1"""
    with np.load(path) as packed:
        if int(packed["sample_rate"]) != SAMPLE_RATE:
            raise ValueError(f"{path}: takes are not at {SAMPLE_RATE} Hz")
        return {name: packed[name].astype(np.float32) / 32768 for name in packed.files if name != "sample_rate"}


def recorded(takes, names, rng, count, frames, gains):
    """Excerpts of the named takes in proportion to their length, evenly spread over time, at gains drawn log-
    uniformly from a range.
    """
    joined = [(name, start) for name in names for start in range(0, len(takes[name]) - frames + 1, frames // 4)]
    picks = np.linspace(0, len(joined), count, endpoint=False)
    out = []
    for pick in picks:
        name, start = joined[int(pick)]
        start = min(start + int(rng.integers(frames // 4)), len(takes[name]) - frames)
        excerpt = takes[name][start : start + frames]
        gain = gains[0] * (gains[1] / gains[0]) ** rng.random()
        out.append(faded(excerpt * min(gain, 1 / max(np.abs(excerpt).max(), 1e-3))))
    return out
