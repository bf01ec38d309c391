"""Shared helpers for tests of the program: tiny models and sound files made byte by byte, and running `coil`."""

import array
import json
import math
import os
import pathlib
import random
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest

COIL = os.environ["COIL"]


def floats(values):
    data = array.array("f", values)
    if sys.byteorder == "big":
        data.byteswap()
    return data.tobytes()


def write_model(path, config, tensors, card=None):
    """`tensors`: name -> (shape, values). The format: u64 header length, JSON, bytes."""
    header, data = {}, b""
    for name, (shape, values) in tensors.items():
        piece = floats(values)
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [len(data), len(data) + len(piece)]}
        data += piece
    header["__metadata__"] = {"config": json.dumps(config)}
    if card is not None:
        header["__metadata__"]["card"] = json.dumps(card)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    pathlib.Path(path).write_bytes(struct.pack("<Q", len(text)) + text + data)


def write_matrix_model(path, matrix, sample_rate=48000, card=None):
    """A model without memory: output = matrix * input."""
    width = len(matrix)
    config = {
        "model_type": "coil",
        "d_input": width,
        "d_model": 1,
        "d_output": width,
        "direct": True,
        "norm_f": False,
        "layers": [],
    }
    if sample_rate:
        config["sample_rate"] = sample_rate
    tensors = {
        "backbone.in_proj.weight": ([1, width], [0] * width),
        "backbone.in_proj.bias": ([1], [0]),
        "backbone.out_proj.weight": ([width, 1], [0] * width),
        "backbone.out_proj.bias": ([width], [0] * width),
        "backbone.direct.weight": ([width, width], [value for row in matrix for value in row]),
    }
    write_model(path, config, tensors, card)


def write_filter_model(path, controls=0, seed=1, fields=None):
    """A small random S4D network with FiLM controls: a model with memory. `fields`: additional fields of its config."""
    rng = random.Random(seed)

    def normal(count, scale):
        return [rng.gauss(0, scale) for _ in range(count)]

    width, modes, layers = 4, 2, 2
    parts = [
        {"type": "s4d", "name": "mixer", "d_state": 2 * modes, "mode": "complex", "discretization": "zoh"},
        {"type": "linear", "name": "in_proj", "d_out": width, "bias": True},
        {"type": "tanh"},
    ]
    if controls:
        parts.insert(2, {"type": "film"})
    config = {
        "model_type": "coil",
        "sample_rate": 48000,
        "d_input": 1,
        "d_model": width,
        "d_output": 1,
        "direct": True,
        "norm_f": False,
        "layers": [{"repeat": layers, "residual": True, "parts": parts}],
        **(fields or {}),
    }
    tensors = {
        "backbone.in_proj.weight": ([width, 1], normal(width, 1)),
        "backbone.in_proj.bias": ([width], normal(width, 0.1)),
        "backbone.out_proj.weight": ([1, width], normal(width, 0.3)),
        "backbone.out_proj.bias": ([1], [0]),
        "backbone.direct.weight": ([1, 1], [0.5]),
    }
    for i in range(layers):
        prefix = f"backbone.layers.{i}."
        tensors[prefix + "mixer.kernel.log_dt"] = ([width], [math.log(1e-3 * (k + 1)) for k in range(width)])
        tensors[prefix + "mixer.kernel.log_A_real"] = ([width, modes], [math.log(0.5)] * (width * modes))
        tensors[prefix + "mixer.kernel.A_imag"] = (
            [width, modes],
            [math.pi * (k % modes) for k in range(width * modes)],
        )
        tensors[prefix + "mixer.kernel.C"] = ([width, modes, 2], normal(2 * width * modes, 0.7))
        tensors[prefix + "mixer.D"] = ([width], normal(width, 1))
        tensors[prefix + "in_proj.weight"] = ([width, width], normal(width * width, 0.5))
        tensors[prefix + "in_proj.bias"] = ([width], normal(width, 0.1))
    card = None
    if controls:
        hidden, film = 3, 2 * width * layers
        config["controls"] = {"count": 2, "hidden": hidden}
        tensors["controls.layers.0.weight"] = ([hidden, 2], normal(2 * hidden, 1))
        tensors["controls.layers.0.bias"] = ([hidden], normal(hidden, 0.1))
        tensors["controls.layers.1.weight"] = ([film, hidden], normal(film * hidden, 0.5))
        tensors["controls.layers.1.bias"] = ([film], [0] * film)
        card = {
            "name": "Test Filter",
            "task": "test",
            "description": "Random weights.",
            "sample_rate": 48000,
            "channels": 1,
            "latency_frames": 0,
            "licence": "CC0",
            "controls": [
                {"name": "drive", "min": 0, "max": 10, "default": 5, "unit": "", "to": "network"},
                {"name": "tone", "min": 0, "max": 1, "default": 0.5, "unit": "", "to": "network"},
                {"name": "level", "min": -40, "max": 12, "default": 0, "unit": "dB", "to": "output_gain_db"},
            ],
        }
    write_model(path, config, tensors, card)


def write_forecaster(path, seed=1, gain=0.1):
    """Forecasts the last value, with bounds that widen with the horizon, plus `gain` times the output of a random
    Mamba-2 layer.

    """
    rng = random.Random(seed)

    def normal(count, scale):
        return [rng.gauss(0, scale) for _ in range(count)]

    width, inner, d_state, heads, taps, horizons = 8, 16, 8, 4, 4, 64
    normal_quantiles = [-1.2816, -0.8416, -0.5244, -0.2533, 0, 0.2533, 0.5244, 0.8416, 1.2816]
    channels = inner + 2 * d_state
    config = {
        "model_type": "coil",
        "d_input": 6,
        "d_model": width,
        "d_output": 9 * horizons,
        "norm_f": True,
        "layers": [
            {
                "residual": True,
                "parts": [
                    {"type": "rmsnorm", "name": "norm"},
                    {
                        "type": "mamba2",
                        "name": "mixer",
                        "d_state": d_state,
                        "d_conv": taps,
                        "expand": 2,
                        "headdim": inner // heads,
                    },
                ],
            }
        ],
    }
    mixer = "backbone.layers.0.mixer."
    tensors = {
        "backbone.in_proj.weight": ([width, 6], normal(width * 6, 0.4)),
        "backbone.in_proj.bias": ([width], normal(width, 0.1)),
        "backbone.layers.0.norm.weight": ([width], [1] * width),
        mixer + "in_proj.weight": ([inner + channels + heads, width], normal((inner + channels + heads) * width, 0.35)),
        mixer + "conv1d.weight": ([channels, 1, taps], normal(channels * taps, 0.5)),
        mixer + "conv1d.bias": ([channels], [0] * channels),
        mixer + "dt_bias": ([heads], [-3, -2, -1, 0]),
        mixer + "A_log": ([heads], normal(heads, 0.5)),
        mixer + "D": ([heads], [1] * heads),
        mixer + "norm.weight": ([inner], [1] * inner),
        mixer + "out_proj.weight": ([width, inner], normal(width * inner, 0.25)),
        "backbone.norm_f.weight": ([width], [1] * width),
        "backbone.out_proj.weight": ([9 * horizons, width], normal(9 * horizons * width, gain / math.sqrt(width))),
        "backbone.out_proj.bias": (
            [9 * horizons],
            [z * math.sqrt(h + 1) for h in range(horizons) for z in normal_quantiles],
        ),
    }
    card = {
        "name": "Test Forecaster",
        "task": "forecast",
        "description": "Persistence and random weights.",
        "licence": "CC0",
        "forecast": {"horizons": horizons, "quantiles": [q / 10 for q in range(1, 10)], "window": 256, "version": 1},
    }
    write_model(path, config, tensors, card)


def sensor_lines(sensors, records, seed, gaps=False):
    """NDJSON lines of noisy sines, one record per minute, sensor by sensor; `gaps`: some are missing or null."""
    rng = random.Random(seed)
    lines = []
    for t in range(records):
        for s in range(sensors):
            value = round(10 * math.sin(2 * math.pi * t / 24 + s) + rng.gauss(0, 1), 3)
            if gaps and rng.random() < 0.03:
                continue
            if gaps and rng.random() < 0.03:
                value = None
            lines.append((json.dumps({"sensor": f"s{s}", "time": 1700000000 + 60 * t, "value": value}) + "\n").encode())
    return lines


def write_wav(path, channels, rate=48000, kind="float", chunks=b"", size=None):
    """`channels`: lists of samples, as numbers from -1 to 1, or whole numbers for kind 16 and 24."""
    frames = len(channels[0])
    interleaved = [channels[c][i] for i in range(frames) for c in range(len(channels))]
    if kind == "float":
        data, tag, bits = floats(interleaved), 3, 32
    elif kind == 16:
        data, tag, bits = struct.pack(f"<{len(interleaved)}h", *interleaved), 1, 16
    else:
        data, tag, bits = b"".join(struct.pack("<i", value)[:3] for value in interleaved), 1, 24
    pathlib.Path(path).write_bytes(wav_bytes(data, tag, bits, len(channels), rate, chunks, size))


def wav_bytes(data, tag, bits, channels, rate, chunks=b"", size=None):
    form = struct.pack("<HHIIHH", tag, channels, rate, rate * channels * bits // 8, channels * bits // 8, bits)
    data_size = len(data) if size is None else size
    body = (
        b"WAVE" + b"fmt " + struct.pack("<I", len(form)) + form + chunks + b"data" + struct.pack("<I", data_size) + data
    )
    return b"RIFF" + struct.pack("<I", len(body) if size is None else size) + body


class Wav:
    """A WAV file or stream, read back: rate, bits, whether float, and the channels' samples (whole numbers if
    integers).
    """

    def __init__(self, source):
        content = source if isinstance(source, bytes) else pathlib.Path(source).read_bytes()
        assert content[:4] == b"RIFF" and content[8:12] == b"WAVE", content[:12]
        self.chunks = {}
        at = 12
        while at + 8 <= len(content):
            name, size = content[at : at + 4], struct.unpack("<I", content[at + 4 : at + 8])[0]
            size = min(size, len(content) - at - 8)
            self.chunks[name] = content[at + 8 : at + 8 + size]
            at += 8 + size + size % 2
        form = self.chunks[b"fmt "]
        tag, count, self.rate, _, _, self.bits = struct.unpack("<HHIIHH", form[:16])
        if tag == 0xFFFE:
            tag = struct.unpack("<H", form[24:26])[0]
        self.is_float = tag == 3
        data = self.chunks[b"data"]
        if self.is_float:
            values = struct.unpack(f"<{len(data) // 4}f", data[: len(data) // 4 * 4])
        elif self.bits == 16:
            values = struct.unpack(f"<{len(data) // 2}h", data[: len(data) // 2 * 2])
        else:
            step = self.bits // 8
            values = [
                int.from_bytes(data[i : i + step], "little", signed=True)
                for i in range(0, len(data) // step * step, step)
            ]
        self.channels = [list(values[c::count]) for c in range(count)]
        self.frames = len(self.channels[0])


def sine(frames, hz, rate, amplitude=0.5):
    return [amplitude * math.sin(2 * math.pi * hz * i / rate) for i in range(frames)]


def noise(frames, seed, amplitude=0.5):
    rng = random.Random(seed)
    return [rng.uniform(-amplitude, amplitude) for _ in range(frames)]


class CoilTest(unittest.TestCase):
    """Each test has an empty folder, in which `coil` also runs."""

    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="coil-test-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        write_matrix_model(self.path("identity.safetensors"), [[1]])

    def path(self, name):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def coil(self, *arguments, code=0, **options):
        """Runs coil; checks its exit code, and that errors are one line each."""
        done = subprocess.run(
            [COIL, *map(str, arguments)], cwd=self.folder, capture_output=True, timeout=300, **options
        )
        self.assertEqual(
            done.returncode, code, f"coil {' '.join(map(str, arguments))}: {done.stderr.decode(errors='replace')}"
        )
        self.stderr = done.stderr.decode(errors="replace")
        errors = [line for line in self.stderr.splitlines() if line.startswith("coil: error: ")]
        if code not in (0, 130):
            self.assertTrue(errors, self.stderr)
        return done.stdout

    def process(self, source, target, *arguments, model="identity.safetensors", code=0, **options):
        return self.coil("process", source, "-o", target, "-m", model, *arguments, code=code, **options)

    def json_lines(self, output):
        return [json.loads(line) for line in output.decode().splitlines()]

    def names(self):
        """All files, as paths relative to the test's folder; models left out."""
        return sorted(
            str(path.relative_to(self.folder))
            for path in self.folder.rglob("*")
            if path.is_file() and path.suffix != ".safetensors"
        )

    def check_union(self, written, expected):
        """Every run starts inside what was written before it, and continues bit-identically."""
        place = 0
        for got in written:
            if got and not got[-1].endswith(b"\n"):
                got.pop()
            if not got:
                continue
            begin = expected.index(got[0])
            self.assertLessEqual(begin, place, "records were lost")
            self.assertEqual(got, expected[begin : begin + len(got)])
            place = max(place, begin + len(got))
        self.assertEqual(place, len(expected))
