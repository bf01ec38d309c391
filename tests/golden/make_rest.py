"""Writes coil_rest*.safetensors beside this file: small networks that are silent at rest, with random weights, an
input, and the output by the definition in ssm/MODEL_FILE.md, frame by frame in float64. Needs numpy.

python3 tests/golden/make_rest.py

"""
import json
import pathlib
import struct

import numpy as np

BATCH, FRAMES = 2, 50
D_MODEL, D_INNER, D_OUTPUT, PAIRS, LAYERS = 8, 11, 2, 3, 3
HOP, FEATURES, HIDDEN, UNITS = 8, 3, 6, 5
KNOBS = [
    {"name": "drive", "min": 0, "max": 10, "default": 7},
    {"name": "tone", "min": -1, "max": 1, "default": -0.8},
    {"name": "sag", "min": 0, "max": 1, "default": 0.45},
]


def config(knobs, slow):
    parts = [
        {"type": "s4d", "name": "mixer", "d_state": 2 * PAIRS, "mode": "complex", "discretization": "zoh"},
        {"type": "linear", "name": "in_proj", "d_out": D_INNER, "bias": True},
        *([{"type": "film"}] if knobs else []),
        {"type": "tanh", "rest": True},
        {"type": "linear", "name": "out_proj", "d_out": D_MODEL, "bias": False},
    ]
    made = {
        "model_type": "coil",
        "sample_rate": 48000,
        "d_input": 1,
        "d_model": D_MODEL,
        "d_output": D_OUTPUT,
        "direct": True,
        "norm_f": False,
        "in_proj_bias": False,
        "out_proj_bias": False,
        "layers": [{"repeat": LAYERS, "residual": True, "parts": parts}],
    }
    if knobs:
        made["controls"] = {"count": len(KNOBS), "polynomial": 2, "output": True}
    if slow:
        gated = {"residual": False, "parts": [{"type": "gated", "name": "units", "d_out": UNITS}]}
        made["slow_path"] = {
            "hop_frames": HOP,
            "n_features": FEATURES,
            "d_model": HIDDEN,
            "controls": True,
            "output": True,
            "layers": [gated],
        }
    return made


def weights(rng, knobs, slow):
    normal = lambda *shape, scale=1.0: (scale * rng.standard_normal(shape)).astype(np.float32)
    w = {
        "backbone.in_proj.weight": normal(D_MODEL, 1),
        "backbone.out_proj.weight": normal(D_OUTPUT, D_MODEL, scale=0.4),
        "backbone.direct.weight": normal(D_OUTPUT, 1),
    }
    for i in range(LAYERS):
        name = f"backbone.layers.{i}."
        w[name + "mixer.kernel.log_dt"] = np.log(rng.uniform(0.02, 0.2, D_MODEL)).astype(np.float32)
        w[name + "mixer.kernel.log_A_real"] = np.log(rng.uniform(0.4, 1.5, (D_MODEL, PAIRS))).astype(np.float32)
        w[name + "mixer.kernel.A_imag"] = np.tile(np.pi * np.arange(PAIRS), (D_MODEL, 1)).astype(np.float32)
        w[name + "mixer.kernel.C"] = normal(D_MODEL, PAIRS, 2, scale=1 / PAIRS)
        w[name + "mixer.D"] = normal(D_MODEL)
        w[name + "in_proj.weight"] = normal(D_INNER, D_MODEL, scale=D_MODEL**-0.5)
        w[name + "in_proj.bias"] = normal(D_INNER, scale=0.5)
        w[name + "out_proj.weight"] = normal(D_MODEL, D_INNER, scale=D_INNER**-0.5)
    if knobs:
        film, features = 2 * D_INNER * LAYERS + D_OUTPUT * D_MODEL, len(KNOBS) + len(KNOBS) * (len(KNOBS) + 1) // 2
        w["controls.weight"], w["controls.bias"] = normal(film, features, scale=0.3), normal(film, scale=0.3)
    if slow:
        for name, d_out, d_in, scale in (
            ("features", FEATURES, 1, 1),
            ("in_proj", HIDDEN, 2 * FEATURES + len(KNOBS), 0.5),
            ("layers.0.units.gate", UNITS, HIDDEN, 0.5),
            ("layers.0.units.value", UNITS, HIDDEN, 1),
            ("out_proj", film, UNITS, 0.3),
        ):
            w[f"slow.{name}.weight"], w[f"slow.{name}.bias"] = normal(d_out, d_in, scale=scale), normal(
                d_out, scale=0.3
            )
        w["slow.layers.0.units.recurrent.weight"] = normal(HIDDEN, UNITS, scale=0.5)
    return w


class SlowPath:
    """Means over a hop, a gated recurrence, and linear interpolation of the film vector."""

    def __init__(self, w, k):
        self.w, self.k = w, k
        self.sums, self.frame, self.units = np.zeros((2, FEATURES)), 0, np.zeros(UNITS)
        self.older, self.newer = np.zeros((2, len(w["slow.out_proj.bias"])))

    def _linear(self, name, x):
        return self.w[f"slow.{name}.weight"] @ x + self.w[f"slow.{name}.bias"]

    def step(self, u):
        film = self.older + (self.newer - self.older) * (self.frame + 1) / HOP
        f = np.tanh(self._linear("features", u))
        self.sums, self.frame = self.sums + (f, f**2), self.frame + 1
        if self.frame == HOP:
            x = self._linear("in_proj", np.concatenate((self.sums.ravel() / HOP, self.k)))
            z = np.tanh(x + self.w["slow.layers.0.units.recurrent.weight"] @ self.units)
            gate = 1 / (1 + np.exp(-self._linear("layers.0.units.gate", z)))
            self.units = self.units + gate * (self._linear("layers.0.units.value", z) - self.units)
            self.older, self.newer = self.newer, self._linear("out_proj", self.units)
            self.sums, self.frame = np.zeros((2, FEATURES)), 0
        return film


class Network:
    """One signal, one frame at a time."""

    def __init__(self, w, knobs, slow):
        self.w = {name: value.astype(np.float64) for name, value in w.items()}
        self.states = [np.zeros((D_MODEL, PAIRS), complex) for _ in range(LAYERS)]
        k = np.array([2 * (knob["default"] - knob["min"]) / (knob["max"] - knob["min"]) - 1 for knob in KNOBS])
        self.film = self.still_film = self._film(k) if knobs else None
        self.slow = SlowPath(self.w, k) if slow else None

    def _film(self, k):
        products = [k[i] * k[j] for i in range(len(k)) for j in range(i, len(k))]
        return self.w["controls.weight"] @ np.concatenate((k, products)) + self.w["controls.bias"]

    def step(self, u):
        if self.slow is not None:
            self.film = self.still_film + self.slow.step(u)
        h = self.w["backbone.in_proj.weight"] @ u
        for i in range(LAYERS):
            h = h + self._layer(i, h)
        out = self.w["backbone.out_proj.weight"]
        if self.film is not None:
            out = out + self.film[2 * D_INNER * LAYERS :].reshape(out.shape)
        return out @ h + self.w["backbone.direct.weight"] @ u

    def _layer(self, i, h):
        at = lambda name: self.w[f"backbone.layers.{i}.{name}"]
        A = -np.exp(at("mixer.kernel.log_A_real")) + 1j * at("mixer.kernel.A_imag")
        z = np.exp(np.exp(at("mixer.kernel.log_dt"))[:, None] * A)
        self.states[i] = z * self.states[i] + (z - 1) / A * h[:, None]
        y = 2 * ((at("mixer.kernel.C") @ np.array([1, 1j])) * self.states[i]).sum(1).real + at("mixer.D") * h
        x, rest = at("in_proj.weight") @ y + at("in_proj.bias"), at("in_proj.bias")
        if self.film is not None:
            scale, shift = self.film[2 * D_INNER * i : 2 * D_INNER * (i + 1)].reshape(2, D_INNER)
            x, rest = (1 + scale) * x + shift, (1 + scale) * rest + shift
        return at("out_proj.weight") @ (np.tanh(x) - np.tanh(rest))


def write(path, tensors, metadata):
    header, data = {"__metadata__": metadata}, b""
    for name, value in tensors.items():
        piece = np.ascontiguousarray(value, np.float32).tobytes()
        header[name] = {"dtype": "F32", "shape": list(value.shape), "data_offsets": [len(data), len(data) + len(piece)]}
        data += piece
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def main():
    for seed, (name, knobs, slow) in enumerate(
        (("coil_rest", False, False), ("coil_rest_knobs", True, False), ("coil_rest_slow", True, True))
    ):
        rng = np.random.default_rng(seed)
        w = weights(rng, knobs, slow)
        frames = rng.standard_normal((BATCH, FRAMES, 1)).astype(np.float32)
        frames[:, :5] = 0  # starts with silence, for which the output must be silent
        outputs, states, slow_states = [], [], []
        for signal in frames:
            network = Network(w, knobs, slow)
            outputs.append([network.step(frame.astype(np.float64)) for frame in signal])
            states.append([np.stack((state.real, state.imag), -1) for state in network.states])
            if slow:
                s = network.slow
                slow_states.append({"0.gated": s.units, "features": s.sums, "from": s.older, "to": s.newer})
        outputs, states = np.array(outputs), np.array(states)
        assert not outputs[:, :5].any()
        tensors = (
            w
            | {"input": frames, "output": outputs, "output_step": outputs}
            | {f"state.{i}.ssm": states[:, i] for i in range(LAYERS)}
        )
        if slow:
            tensors |= {f"state.slow.{key}": np.stack([s[key] for s in slow_states]) for key in slow_states[0]}
        card = {"name": "at rest", "sample_rate": 48000, "channels": 1, "controls": KNOBS if knobs else []}
        write(
            pathlib.Path(__file__).parent / f"{name}.safetensors",
            tensors,
            {"config": json.dumps(config(knobs, slow)), "card": json.dumps(card)},
        )


if __name__ == "__main__":
    main()
