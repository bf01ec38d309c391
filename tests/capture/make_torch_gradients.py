"""Writes torch_gradients.safetensors: small networks like the trainer's, one batch for each, and PyTorch's gradients
in double precision. python3 make_torch_gradients.py OUT"""
import json
import math
import struct
import sys

import torch

D, PAIRS, LAYERS, LANES = 8, 3, 2, 16
HOP, SEGMENT_HOPS, LOOKBACK_HOPS = 64, 3, 4
UNITS, HIDDEN, HEAD = 8, 16, 16
PRE_EMPHASIS = 0.85

torch.manual_seed(5)
torch.set_default_dtype(torch.float64)


def normal(*shape, scale=1.0):
    return (torch.randn(*shape) * scale).float().double().requires_grad_()  # exact in float32


class Network:
    """parameters: in the order of ParameterMap; frames: per segment"""

    def __init__(self, knobs, features=0, modes=0):
        self.knobs, self.features, self.modes = knobs, features, modes
        self.frames = SEGMENT_HOPS * HOP if features else 64
        self.film_size = 2 * D * LAYERS + D
        self.layers = [self.layer() for _ in range(LAYERS)]
        self.ends = {
            "input": normal(D),
            "output": normal(D),
            "direct": normal(1),
            "knobs": normal(self.film_size, knobs + knobs * (knobs + 1) // 2, scale=0.2),
        }
        self.slow = self.slow_path() if features else {}
        self.filter = self.output_filter() if modes else {}
        if modes:
            with torch.no_grad():
                self.ends["direct"].zero_()

    def layer(self):
        made = {
            "log_dt": normal(D),
            "log_A_real": normal(D, PAIRS, scale=0.3),
            "A_imag": normal(D, PAIRS, scale=2),
            "C": normal(D, PAIRS, 2),
            "D": normal(D),
            "in_weight": normal(D, D, scale=0.4),
            "in_bias": normal(D, scale=0.3),
            "out_weight": normal(D, D, scale=0.2),
        }
        with torch.no_grad():
            made["log_dt"] -= 2
        return made

    def slow_path(self):
        return {
            "in_weight": normal(HIDDEN, 2 * self.features + self.knobs, scale=0.5),
            "in_bias": normal(HIDDEN, scale=0.3),
            "recurrent": normal(HIDDEN, UNITS, scale=0.3),
            "gate_weight": normal(UNITS, HIDDEN, scale=0.3),
            "gate_bias": normal(UNITS),
            "value_weight": normal(UNITS, HIDDEN, scale=0.3),
            "value_bias": normal(UNITS, scale=0.2),
            "head_weight": normal(HEAD, UNITS, scale=0.3),
            "head_bias": normal(HEAD, scale=0.2),
            "out_weight": normal(self.film_size, HEAD, scale=0.1),
            "out_bias": normal(self.film_size, scale=0.1),
        }

    def output_filter(self):
        made = {
            "log_dt": normal(self.modes),
            "log_A_real": normal(self.modes, scale=0.3),
            "A_imag": normal(self.modes, scale=2),
            "C": normal(self.modes, 2),
            "D": normal(1),
        }
        with torch.no_grad():
            made["log_dt"] -= 2
        return made

    def parameters(self):
        groups = [*self.layers, self.ends, self.slow, self.filter]
        return [tensor for group in groups for tensor in group.values()]

    def still_film(self, knobs):
        k = 2 * knobs - 1
        products = [k[:, i] * k[:, j] for i in range(self.knobs) for j in range(i, self.knobs)]
        columns = torch.cat([k, torch.stack(products, 1)], 1) if self.knobs else k
        return columns @ self.ends["knobs"].T  # (lanes, film)

    def film(self, knobs, hops, state):
        """(frames, lanes, film); hops: (lanes, hops, 2 features), state: (lanes, units)"""
        still = self.still_film(knobs)
        if not self.features:
            return still.expand(self.frames, *still.shape)
        p, c, states = self.slow, state, [state]
        for k in range(hops.shape[1]):
            x = torch.cat([hops[:, k], 2 * knobs - 1], 1)
            z = torch.tanh(x @ p["in_weight"].T + p["in_bias"] + c @ p["recurrent"].T)
            gate = torch.sigmoid(z @ p["gate_weight"].T + p["gate_bias"])
            c = c + gate * (z @ p["value_weight"].T + p["value_bias"] - c)
            states.append(c)
        at_boundary = [
            still + torch.tanh(c @ p["head_weight"].T + p["head_bias"]) @ p["out_weight"].T + p["out_bias"]
            for c in states[LOOKBACK_HOPS:]
        ]
        rows = []
        for t in range(self.frames):
            before, after, way = at_boundary[t // HOP], at_boundary[t // HOP + 1], (t % HOP + 1) / HOP
            rows.append(before + (after - before) * way)
        return torch.stack(rows)

    def forward(self, u, knobs, states, filter_states, hops, slow_state):
        """u: (frames, lanes); states: (layers, D, PAIRS, 2, lanes); filter_states: (modes, 2, lanes)"""
        vector = self.film(knobs, hops, slow_state)
        h = u[:, :, None] * self.ends["input"]
        for i, p in enumerate(self.layers):
            s = torch.complex(states[i, :, :, 0], states[i, :, :, 1]).permute(2, 0, 1)
            y = run_modes(p, p["log_dt"][:, None], h, s)
            scale = 1 + vector[..., 2 * D * i : 2 * D * i + D]
            shift = scale * p["in_bias"] + vector[..., 2 * D * i + D : 2 * D * i + 2 * D]
            h = h + (torch.tanh(scale * (y @ p["in_weight"].T) + shift) - torch.tanh(shift)) @ p["out_weight"].T
        row = self.ends["output"] + vector[..., 2 * D * LAYERS :]
        out = (h * row).sum(-1) + self.ends["direct"] * u
        if not self.modes:
            return out
        s = torch.complex(filter_states[:, 0], filter_states[:, 1]).T[:, None, :]
        return run_modes(self.filter, self.filter["log_dt"], out[:, :, None], s)[..., 0]


def run_modes(p, log_dt, h, s):
    """y = D h + sum of Re(c s); h: (frames, lanes, channels), s: (lanes, channels, modes)"""
    A = torch.complex(-torch.exp(p["log_A_real"]), p["A_imag"])
    z = torch.exp(torch.exp(log_dt) * A)
    c = 2 * torch.complex(p["C"][..., 0], p["C"][..., 1]) * (z - 1) / A
    rows = []
    for t in range(h.shape[0]):
        s = z * s + h[t, :, :, None]
        rows.append(p["D"] * h[t] + (c * s).real.sum(-1))
    return torch.stack(rows)


def stored_as(tensor):
    """Stores in single precision where that is exact."""
    return ("F32", 4) if torch.equal(tensor, tensor.float().double()) else ("F64", 8)


def write(path, tensors, metadata):
    header, offset = {"__metadata__": metadata}, 0
    for name, tensor in tensors.items():
        dtype, size = stored_as(tensor)
        header[name] = {
            "dtype": dtype,
            "shape": list(tensor.shape),
            "data_offsets": [offset, offset + size * tensor.numel()],
        }
        offset += size * tensor.numel()
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text)
        for tensor in tensors.values():
            f.write(tensor.detach().numpy().astype("<f" + str(stored_as(tensor)[1])).tobytes())


def case(name, network):
    def exact(values):
        return values.float().double()

    u, target = exact(torch.randn(network.frames, LANES) * 0.5), exact(torch.randn(network.frames, LANES))
    knobs = exact(torch.rand(LANES, network.knobs))
    states, filter_states = exact(torch.randn(LAYERS, D, PAIRS, 2, LANES)), exact(torch.randn(network.modes, 2, LANES))
    # Lane i's segment starts with hop 10 + i, its gradient LOOKBACK_HOPS earlier; the film vector is one hop late.
    features, slow_state = exact(torch.rand(64, 2 * network.features)), exact(torch.randn(UNITS, LANES))
    first = [10 + i - LOOKBACK_HOPS - 1 for i in range(LANES)]
    hops = torch.stack([features[at : at + LOOKBACK_HOPS + SEGMENT_HOPS] for at in first])
    e = network.forward(u, knobs, states, filter_states, hops, slow_state.T) - target
    loss = (e**2).sum() + ((e[1:] - PRE_EMPHASIS * e[:-1]) ** 2).sum()
    loss.backward()
    assert math.isfinite(loss.item())
    parameters = network.parameters()
    tensors = {
        "parameters": torch.cat([p.detach().flatten() for p in parameters]),
        "gradient": torch.cat([p.grad.flatten() if p.grad is not None else torch.zeros(0) for p in parameters]),
        "loss": loss.reshape(1),
        "input": u,
        "target": target,
        "knobs": knobs,
        "states": states,
        "filter_states": filter_states,
        "features": features,
        "slow_states": slow_state,
    }
    return {f"{name}.{key}": tensor for key, tensor in tensors.items()}


def main():
    tensors = {
        **case("plain", Network(knobs=2)),
        **case("filter", Network(knobs=1, modes=8)),
        **case("slow", Network(knobs=1, features=2)),
        **case("slow_filter", Network(knobs=0, features=1, modes=4)),
    }
    write(sys.argv[1], tensors, {"made_by": f"make_torch_gradients.py, PyTorch {torch.__version__}"})


if __name__ == "__main__":
    main()
