"""Runs a model file sample by sample, as the file format defines it, in float64: for checks, not for speed."""
import json

import numpy as np

from export import read_safetensors


def run(path, signal, controls):
    """output for a mono signal; controls in 0 .. 1, in the file's order"""
    tensors, metadata = read_safetensors(path)
    t = {k: v.astype(np.float64) for k, v in tensors.items()}
    config = json.loads(metadata["config"])
    layers = [entry["parts"] for entry in config["layers"] for _ in range(entry["repeat"])]
    linear = lambda name, v: t[f"{name}.weight"] @ v + t.get(f"{name}.bias", 0.0)
    film = linear("controls.layers.1", np.tanh(linear("controls.layers.0", 2 * np.asarray(controls, np.float64) - 1)))
    banks = []
    for i in range(len(layers)):
        kernel = f"backbone.layers.{i}.mixer.kernel."
        A = -np.exp(t[kernel + "log_A_real"]) + 1j * t[kernel + "A_imag"]
        step = np.exp(t[kernel + "log_dt"])[:, None] * A
        C = t[kernel + "C"] @ np.array([1, 1j])
        banks.append([np.exp(step), 2 * C * np.expm1(step) / A, np.zeros_like(A)])
    out = np.empty(len(signal))
    for n, u in enumerate(np.asarray(signal, np.float64)):
        h, at = linear("backbone.in_proj", np.array([u])), 0
        for i, parts in enumerate(layers):
            r = h
            for part in parts:
                if part["type"] == "s4d":
                    bank = banks[i]
                    bank[2] = bank[0] * bank[2] + r[:, None]
                    r = (bank[1] * bank[2]).sum(1).real + t[f"backbone.layers.{i}.{part['name']}.D"] * r
                elif part["type"] == "linear":
                    r = linear(f"backbone.layers.{i}.{part['name']}", r)
                elif part["type"] == "film":
                    w = len(r)
                    r = (1 + film[at : at + w]) * r + film[at + w : at + 2 * w]
                    at += 2 * w
                elif part["type"] == "tanh":
                    r = np.tanh(r)
                else:
                    raise ValueError(f"part {part['type']}")
            h = h + r
        out[n] = (linear("backbone.out_proj", h) + t["backbone.direct.weight"] @ [u])[0]
    return out
