"""Writes tests/golden/coil_forecaster.safetensors: a small forecaster with random weights, an input, and what comes out
by the definition, frame by frame in float64, together with the states after the last frame."""
import argparse
import json
import pathlib

import numpy as np
import torch

from safetensors_file import write_safetensors

from . import export, model

SHAPE = {"d_model": 16, "layers": "smm", "d_state": 8, "headdim": 8, "modes": 4}
BATCH, FRAMES = 2, 40

silu = lambda x: x / (1 + np.exp(-x))


class Stepper:
    """The network of one signal, one frame at a time."""

    def __init__(self, shape, parameters):
        self.shape, self.p = shape, {n: v.double().numpy() for n, v in parameters.items()}
        inner = model.EXPAND * shape["d_model"]
        mixed = inner + 2 * shape["d_state"]
        self.states = {}
        for i, kind in enumerate(shape["layers"]):
            if kind == "s":
                self.states[f"{i}.ssm"] = np.zeros((shape["d_model"], shape["modes"]), complex)
            else:
                self.states[f"{i}.conv"] = np.zeros((mixed, model.CONV))
                self.states[f"{i}.ssm"] = np.zeros((inner // shape["headdim"], shape["headdim"], shape["d_state"]))

    def step(self, frame):
        p = self.p
        h = p["backbone.in_proj.weight"] @ frame + p["backbone.in_proj.bias"]
        for i, kind in enumerate(self.shape["layers"]):
            at = lambda name: p[f"backbone.layers.{i}.{name}"]
            u = self._norm(h, at("norm.weight"))
            h = h + (self._s4d(i, at, u) if kind == "s" else self._mamba2(i, at, u))
        return p["backbone.out_proj.weight"] @ self._norm(h, p["backbone.norm_f.weight"]) + p["backbone.out_proj.bias"]

    @staticmethod
    def _norm(x, weight):
        return x / np.sqrt(np.mean(x * x) + model.EPS) * weight

    def _s4d(self, i, at, u):
        A = -np.exp(at("mixer.kernel.log_A_real")) + 1j * at("mixer.kernel.A_imag")
        z = np.exp(np.exp(at("mixer.kernel.log_dt"))[:, None] * A)
        state = self.states[f"{i}.ssm"] = z * self.states[f"{i}.ssm"] + (z - 1) / A * u[:, None]
        y = 2 * ((at("mixer.kernel.C") @ np.array([1, 1j])) * state).sum(1).real + at("mixer.D") * u
        value, gate = np.split(at("out_proj.weight") @ y + at("out_proj.bias"), 2)
        return value / (1 + np.exp(-gate))

    def _mamba2(self, i, at, u):
        n, heads = self.shape["d_state"], len(at("mixer.dt_bias"))
        inner = heads * self.shape["headdim"]
        z, mixed, dt = np.split(at("mixer.in_proj.weight") @ u, [inner, 2 * inner + 2 * n])
        window = self.states[f"{i}.conv"] = np.concatenate((self.states[f"{i}.conv"][:, 1:], mixed[:, None]), 1)
        mixed = silu((window * at("mixer.conv1d.weight")[:, 0]).sum(1) + at("mixer.conv1d.bias"))
        x, B, C = mixed[:inner].reshape(heads, -1), mixed[inner : inner + n], mixed[inner + n :]
        dt = np.logaddexp(0, dt + at("mixer.dt_bias"))[:, None, None]
        state = self.states[f"{i}.ssm"] = (
            np.exp(-dt * np.exp(at("mixer.A_log"))[:, None, None]) * self.states[f"{i}.ssm"] + dt * x[..., None] * B
        )
        y = (state @ C + at("mixer.D")[:, None] * x).reshape(-1)
        return at("mixer.out_proj.weight") @ self._norm(y * silu(z), at("mixer.norm.weight"))


def parameters(seed):
    """all random, rounded to the precision of the file"""
    generator = torch.Generator().manual_seed(seed)
    made = {n: model.initial(n, s, len(SHAPE["layers"]), generator) for n, s in model.parameter_shapes(SHAPE).items()}
    return {n: p + 0.1 * torch.randn(p.shape, generator=generator) for n, p in made.items()}


def main(argv=None):
    a = argparse.ArgumentParser(description=__doc__)
    a.add_argument("--out", type=pathlib.Path, default=pathlib.Path("tests/golden/coil_forecaster.safetensors"))
    o = a.parse_args(argv)
    own = parameters(1)
    frames = torch.randn(BATCH, FRAMES, model.INPUTS, generator=torch.Generator().manual_seed(2)).numpy()
    outputs, states = [], {}
    for signal in frames:
        stepper = Stepper(SHAPE, own)
        outputs.append([stepper.step(frame.astype(np.float64)) for frame in signal])
        for name, state in stepper.states.items():
            states.setdefault(f"state.{name}", []).append(
                np.stack((state.real, state.imag), -1) if np.iscomplexobj(state) else state
            )
    tensors = {n: p.numpy() for n, p in own.items()}
    tensors.update(
        input=frames,
        output=np.array(outputs),
        output_step=np.array(outputs),
        **{n: np.array(s) for n, s in states.items()},
    )
    write_safetensors(
        o.out, tensors, {"config": json.dumps(export.config(SHAPE)), "card": json.dumps(export.card("watch", {}, {}))}
    )


if __name__ == "__main__":
    main()
