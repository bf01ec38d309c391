"""Writes torch_gradients.safetensors: a small network of the trainer's kind, a batch, and PyTorch's gradients in double
precision. python3 make_torch_gradients.py OUT"""
import json
import math
import struct
import sys

import torch

D, PAIRS, LAYERS, KNOBS, LANES, FRAMES = 8, 3, 2, 2, 16, 64
PRE_EMPHASIS = 0.85

torch.manual_seed(5)
torch.set_default_dtype(torch.float64)


def normal(*shape, scale=1.0):
    return (torch.randn(*shape) * scale).float().double().requires_grad_()  # exact in float32


def network():
    layers = []
    for _ in range(LAYERS):
        layers.append(
            {
                "log_dt": normal(D),
                "log_A_real": normal(D, PAIRS, scale=0.3),
                "A_imag": normal(D, PAIRS, scale=2),
                "C": normal(D, PAIRS, 2),
                "D": normal(D),
                "in_weight": normal(D, D, scale=0.4),
                "in_bias": normal(D, scale=0.3),
                "out_weight": normal(D, D, scale=0.2),
            }
        )
        with torch.no_grad():
            layers[-1]["log_dt"] -= 2
    features = KNOBS + KNOBS * (KNOBS + 1) // 2
    ends = {
        "input": normal(D),
        "output": normal(D),
        "direct": normal(1),
        "knobs": normal(2 * D * LAYERS + D, features, scale=0.2),
    }
    return layers, ends


def film(ends, knobs):
    k = 2 * knobs - 1
    pairs = [k[:, i] * k[:, j] for i in range(KNOBS) for j in range(i, KNOBS)]
    return torch.cat([k, torch.stack(pairs, 1)], 1) @ ends["knobs"].T  # (lanes, film)


def forward(layers, ends, u, knobs, states):
    """u: (frames, lanes); states: (layers, D, PAIRS, 2, lanes)"""
    vector = film(ends, knobs)
    h = u[:, :, None] * ends["input"]
    for i, p in enumerate(layers):
        A = torch.complex(-torch.exp(p["log_A_real"]), p["A_imag"])
        z = torch.exp(torch.exp(p["log_dt"])[:, None] * A)
        c = 2 * torch.complex(p["C"][..., 0], p["C"][..., 1]) * (z - 1) / A
        s = torch.complex(states[i, :, :, 0], states[i, :, :, 1]).permute(2, 0, 1)
        rows = []
        for t in range(FRAMES):
            s = z * s + h[t, :, :, None]
            rows.append(p["D"] * h[t] + (c * s).real.sum(-1))
        y = torch.stack(rows)
        scale = 1 + vector[:, 2 * D * i : 2 * D * i + D]
        shift = scale * p["in_bias"] + vector[:, 2 * D * i + D : 2 * D * i + 2 * D]
        h = h + (torch.tanh(scale * (y @ p["in_weight"].T) + shift) - torch.tanh(shift)) @ p["out_weight"].T
    row = ends["output"] + vector[:, 2 * D * LAYERS :]
    return (h * row).sum(-1) + ends["direct"] * u


def write(path, tensors, metadata):
    header, offset = {"__metadata__": metadata}, 0
    for name, tensor in tensors.items():
        header[name] = {
            "dtype": "F64",
            "shape": list(tensor.shape),
            "data_offsets": [offset, offset + 8 * tensor.numel()],
        }
        offset += 8 * tensor.numel()
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text)
        for tensor in tensors.values():
            f.write(tensor.detach().numpy().astype("<f8").tobytes())


def main():
    layers, ends = network()
    u = (torch.randn(FRAMES, LANES) * 0.5).float().double()
    target, knobs = torch.randn(FRAMES, LANES).float().double(), torch.rand(LANES, KNOBS).float().double()
    states = torch.randn(LAYERS, D, PAIRS, 2, LANES).float().double()
    e = forward(layers, ends, u, knobs, states) - target
    loss = (e**2).sum() + ((e[1:] - PRE_EMPHASIS * e[:-1]) ** 2).sum()
    loss.backward()
    assert math.isfinite(loss.item())

    parameters = [p[name] for p in layers for name in p] + list(ends.values())
    flat = torch.cat([p.detach().flatten() for p in parameters])
    gradient = torch.cat([p.grad.flatten() for p in parameters])
    write(
        sys.argv[1],
        {
            "parameters": flat,
            "gradient": gradient,
            "loss": loss.reshape(1),
            "input": u,
            "target": target,
            "knobs": knobs,
            "states": states,
        },
        {"made_by": f"make_torch_gradients.py, PyTorch {torch.__version__}"},
    )


main()
