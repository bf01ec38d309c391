"""`coil process` end to end, from decoding to encoding: a long file and a folder of short ones, on the CPU and on
the machine's GPUs.

python3 tests/bench/fleet.py COIL [--device cpu] [--device cuda] [--minutes 60] [--files 200] [--runs 3]

Prints the median wall time, the peak resident memory, and the difference between GPU and CPU output.

"""

import argparse
import math
import os
import pathlib
import random
import statistics
import subprocess
import sys
import tempfile
import time
import wave

import numpy

ROOT = pathlib.Path(__file__).resolve().parents[2]
RATE = 48000


def run(*command):
    """Returns wall seconds and the peak resident memory in MiB."""
    with tempfile.TemporaryFile("w+") as said:
        begin, highest_kib = time.monotonic(), 0
        process = subprocess.Popen([str(word) for word in command], stderr=said)
        status = pathlib.Path(f"/proc/{process.pid}/status")
        while process.poll() is None:
            try:
                fields = dict(line.split(":", 1) for line in status.read_text().splitlines())
                highest_kib = max(highest_kib, int(fields["VmHWM"].split()[0]))
            except (OSError, KeyError, ValueError):
                pass  # it has just ended
            time.sleep(0.01)
        took = time.monotonic() - begin
        if process.returncode != 0:
            said.seek(0)
            sys.exit(f"{' '.join(map(str, command))}: {said.read()}")
    return took, highest_kib / 1024


def write_wav(path, samples):
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, RATE, len(samples), "NONE", ""))
        file.writeframes((samples * 32767).astype("<i2").tobytes())


def floats_of(path):
    """The samples of a float WAV file with one channel."""
    content = numpy.memmap(path, dtype=numpy.uint8, mode="r")
    head = bytes(content[:4096])
    begin = head.index(b"data") + 8
    end = begin + (len(content) - begin) // 4 * 4
    return content[begin:end].view("<f4")


def largest_difference(a, b):
    left, right = floats_of(a), floats_of(b)
    worst = 0.0
    for begin in range(0, min(len(left), len(right)), 1 << 24):
        worst = max(
            worst, float(numpy.max(numpy.abs(left[begin : begin + (1 << 24)] - right[begin : begin + (1 << 24)])))
        )
    return worst


def write_mamba(path, width=64, layers=4, state=16, rank=4):
    """A Mamba-1 with random weights."""
    sys.path.insert(0, str(ROOT / "tests" / "cli"))
    os.environ.setdefault("COIL", "coil")
    from support import write_model

    rng, inner = random.Random(1), 2 * width

    def normal(*shape, scale):
        return list(shape), [rng.gauss(0, scale) for _ in range(math.prod(shape))]

    tensors = {
        "backbone.in_proj.weight": normal(width, 1, scale=1),
        "backbone.in_proj.bias": normal(width, scale=0.1),
        "backbone.out_proj.weight": normal(1, width, scale=0.02),
        "backbone.out_proj.bias": ([1], [0]),
        "backbone.norm_f.weight": ([width], [1] * width),
    }
    for i in range(layers):
        mixer = f"backbone.layers.{i}.mixer."
        tensors |= {
            f"backbone.layers.{i}.norm.weight": ([width], [1] * width),
            mixer + "in_proj.weight": normal(2 * inner, width, scale=0.1),
            mixer + "conv1d.weight": normal(inner, 1, 4, scale=0.3),
            mixer + "conv1d.bias": normal(inner, scale=0.1),
            mixer + "x_proj.weight": normal(rank + 2 * state, inner, scale=0.1),
            mixer + "dt_proj.weight": normal(inner, rank, scale=0.3),
            mixer + "dt_proj.bias": ([inner], [-3] * inner),
            mixer + "A_log": ([inner, state], [math.log(1 + k) for _ in range(inner) for k in range(state)]),
            mixer + "D": ([inner], [1] * inner),
            mixer + "out_proj.weight": normal(width, inner, scale=0.1),
        }
    parts = [
        {"type": "rmsnorm", "name": "norm"},
        {"type": "mamba1", "name": "mixer", "d_state": state, "dt_rank": rank},
    ]
    write_model(
        path,
        {
            "model_type": "coil",
            "sample_rate": RATE,
            "d_input": 1,
            "d_model": width,
            "d_output": 1,
            "layers": [{"repeat": layers, "residual": True, "parts": parts}],
        },
        tensors,
    )


def write_sounds(options, folder):
    """A guitar at the overdrive's output: long.wav, and in short/ excerpts of it. Returns the long sound."""
    excerpt = folder / "excerpt.wav"
    guitar = ROOT / "assets" / "guitar_slide_lead.flac"
    settings = ["--set", "drive=0", "--set", "level=-6", "--bits", "32f"]
    run(*options.coil, "process", guitar, "-o", excerpt, "-m", "green_overdrive", *settings)
    long_sound = numpy.resize(numpy.clip(floats_of(excerpt).copy(), -1, 1), int(options.minutes * 60 * RATE))
    write_wav(folder / "long.wav", long_sound)
    (folder / "short").mkdir()
    rng = random.Random(1)
    for i in range(options.files):
        begin, frames = rng.randrange(len(long_sound) - 12 * RATE), rng.randrange(4 * RATE, 12 * RATE)
        write_wav(folder / "short" / f"{i:03}.wav", long_sound[begin : begin + frames])
    return long_sound


def measure(options, work, minutes, device, source, target, *arguments):
    command = [*options.coil, "process", source, "-o", target, *arguments, "--device", device]
    runs = [run(*command) for _ in range(options.runs)]
    seconds = statistics.median(took for took, _ in runs)
    print(
        f"{work:42} {device:8} {seconds:8.2f} {60 * minutes / seconds:12.0f} {max(used for _, used in runs):7.0f}",
        flush=True,
    )


def measure_preset(options, folder, device):
    long, preset, floats = f"{options.minutes:g} min", ["-m", "green_overdrive"], ["--bits", "32f"]
    short_minutes = sum(wave.open(str(path)).getnframes() for path in (folder / "short").iterdir()) / RATE / 60
    for work, source, target, *arguments in (
        (f"{long} WAV to WAV, 16 bit", "long.wav", "out.wav"),
        (f"{long} WAV to FLAC, 16 bit", "long.wav", "long.flac"),
        (f"{long} FLAC to FLAC, 16 bit", "long.flac", "out.flac"),
        (f"{long} WAV to WAV, float", "long.wav", f"{device}.wav", *floats),
    ):
        measure(options, work, options.minutes, device, folder / source, folder / target, *preset, *arguments)
    work = f"{options.files} WAV files of 4 to 12 s, float"
    measure(options, work, short_minutes, device, folder / "short", folder / device, *preset, *floats)


def measure_mamba(options, folder, devices, long_sound):
    model = folder / "mamba.safetensors"
    write_mamba(model)
    write_wav(folder / "mamba.wav", long_sound[: int(options.mamba_minutes * 60 * RATE)])
    for device in devices:
        work, target = f"Mamba-1 64 x 4, {options.mamba_minutes:g} min WAV, float", folder / f"mamba_{device}.wav"
        arguments = ["-m", model, "--bits", "32f"]
        measure(options, work, options.mamba_minutes, device, folder / "mamba.wav", target, *arguments)


def compare_to_cpu(options, folder, device):
    pairs = [(folder / "cpu.wav", folder / f"{device}.wav")]
    pairs += [(path, folder / device / path.name) for path in (folder / "cpu").iterdir()]
    if options.mamba_minutes:
        pairs.append((folder / "mamba_cpu.wav", folder / f"mamba_{device}.wav"))
    worst = max(largest_difference(*pair) for pair in pairs)
    print(f"largest difference of {len(pairs)} files between cpu and {device}: {worst:.1e}", flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("coil", nargs="+", help="the program, with what must stand before it")
    parser.add_argument("--device", action="append")
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--files", type=int, default=200)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument(
        "--mamba-minutes", type=float, default=0, help="also a Mamba-1 with d_model 64 and 4 layers, over so much sound"
    )
    options = parser.parse_args()
    devices = options.device or ["cpu"]
    with tempfile.TemporaryDirectory(prefix="coil-bench-") as name:
        folder = pathlib.Path(name)
        long_sound = write_sounds(options, folder)
        print(f"{'work':42} {'device':8} {'s':>8} {'x real time':>12} {'MiB':>7}", flush=True)
        for device in devices:
            measure_preset(options, folder, device)
        if options.mamba_minutes:
            measure_mamba(options, folder, devices, long_sound)
        for device in devices:
            if device != "cpu" and "cpu" in devices:
                compare_to_cpu(options, folder, device)


if __name__ == "__main__":
    main()
