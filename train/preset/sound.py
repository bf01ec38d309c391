"""Sound files, loudness and tones, for the figures on the card of a preset."""

import pathlib
import struct
import subprocess
import tempfile

import numpy as np

RATE_HZ = 48000
TONES_HZ = (5000, 2500, 1200)
PERIOD_FRAMES = 1 << 15
SPECTRUM_FRAMES = (512, 1024, 2048)
SPECTRUM_FLOOR = 1e-6  # of the mean power over all windows and frequencies


def write(path, samples):
    data = np.asarray(samples, "<f4").tobytes()
    head = b"fmt " + struct.pack("<IHHIIHHH", 18, 3, 1, RATE_HZ, 4 * RATE_HZ, 4, 32, 0)
    body = b"WAVE" + head + b"data" + struct.pack("<I", len(data)) + data
    pathlib.Path(path).write_bytes(b"RIFF" + struct.pack("<I", len(body)) + body)


def read(path):
    """Mono 32-bit float WAV at 48 kHz, as coil and circuit write it."""
    blob, at = pathlib.Path(path).read_bytes(), 12
    while at + 8 <= len(blob):
        name, size = blob[at : at + 4], struct.unpack_from("<I", blob, at + 4)[0]
        if name == b"data":
            return np.frombuffer(blob, "<f4", min(size, len(blob) - at - 8) // 4, at + 8).astype(float)
        at += 8 + size + size % 2
    raise ValueError(f"{path}: no data chunk")


def process(coil, model, source, settings=()):
    """Runs `coil process` on a sound file and returns its output."""
    with tempfile.TemporaryDirectory() as folder:
        target = pathlib.Path(folder, "out.wav")
        options = [part for setting in settings for part in ("--set", setting)]
        command = [coil, "process", source, "-o", target, "-m", model, "--bits", "32f", *options]
        done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(done.stderr)
        return read(target)


def process_samples(coil, model, samples, settings=()):
    with tempfile.TemporaryDirectory() as folder:
        write(pathlib.Path(folder, "in.wav"), samples)
        return process(coil, model, pathlib.Path(folder, "in.wav"), settings)


def tone(hz, level=0.5):
    """A sine with an odd number of periods in PERIOD_FRAMES, so that no alias falls on a harmonic."""
    periods = int(hz / RATE_HZ * PERIOD_FRAMES) | 1
    frames = RATE_HZ + PERIOD_FRAMES + 4096
    return level * np.sin(2 * np.pi * periods / PERIOD_FRAMES * np.arange(frames)), periods


def off_harmonics_db(output, periods):
    """Energy off a steady tone's harmonics, in dB relative to the total."""
    power = np.abs(np.fft.rfft(output[RATE_HZ : RATE_HZ + PERIOD_FRAMES])) ** 2
    power[1:-1] *= 2
    power[0] = 0
    return 10 * np.log10(1e-30 + max(0.0, 1 - power[::periods].sum() / power.sum()))


def spectral_distance_db(found, wanted):
    """Mean difference of the levels in windows of 512, 1024 and 2048 frames, over all frequencies, above a floor."""
    distances = []
    for size in SPECTRUM_FRAMES:
        window = np.hanning(size)
        power = (
            lambda x: np.abs(np.fft.rfft(np.lib.stride_tricks.sliding_window_view(x, size)[:: size // 2] * window)) ** 2
        )
        of_found, of_wanted = power(found), power(wanted)
        floor = SPECTRUM_FLOOR * of_wanted.mean()
        distances.append(np.abs(10 * np.log10((of_found + floor) / (of_wanted + floor))).mean())
    return float(np.mean(distances))


def loudness_lufs(samples):
    """Loudness by ITU-R BS.1770, without gates."""
    z = np.exp(-2j * np.pi * np.fft.rfftfreq(len(samples)))
    shelf = (1.53512485958697 - 2.69169618940638 * z + 1.19839281085285 * z * z) / (
        1 - 1.69065929318241 * z + 0.73248077421585 * z * z
    )
    high_pass = (1 - 2 * z + z * z) / (1 - 1.99004745483398 * z + 0.99007225036621 * z * z)
    weighted = np.fft.irfft(np.fft.rfft(samples) * shelf * high_pass, len(samples))
    return -0.691 + 10 * np.log10((weighted**2).mean())
