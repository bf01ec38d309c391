"""The forecaster: S4D and Mamba-2 layers on normalised frames. It is trained in parallel over time; the engine runs
it one record per step.

Parameters have the model file's tensor names (ssm/MODEL_FILE.md)."""
import math

import torch
import torch.nn.functional as F

from .normaliser import HORIZONS, INPUTS, QUANTILES

EPS = 1e-5
CONV = 4
EXPAND = 2
OUTPUTS = HORIZONS * len(QUANTILES)
FINE = 64  # an S4D kernel of n frames is computed from n / 64 coarse and 64 fine powers of its poles

# layers: s an S4D bank with a gated linear layer, m a Mamba-2 mixer
SHAPES = {
    "watch": {"d_model": 192, "layers": "smmmsmmmm", "d_state": 64, "headdim": 64, "modes": 32},
    "watch_mamba": {"d_model": 192, "layers": "mmmmmmmm", "d_state": 64, "headdim": 64, "modes": 32},
    "watch_small": {"d_model": 48, "layers": "smsmm", "d_state": 32, "headdim": 32, "modes": 16},
}


def parameter_shapes(shape):
    """name -> shape, in the model file's order"""
    d, n = shape["d_model"], shape["d_state"]
    inner = EXPAND * d
    heads, mixed = inner // shape["headdim"], inner + 2 * n
    shapes = {"backbone.in_proj.weight": (d, INPUTS), "backbone.in_proj.bias": (d,)}
    for i, kind in enumerate(shape["layers"]):
        layer = f"backbone.layers.{i}."
        shapes[layer + "norm.weight"] = (d,)
        if kind == "s":
            own = {
                "mixer.kernel.log_dt": (d,),
                "mixer.kernel.log_A_real": (d, shape["modes"]),
                "mixer.kernel.A_imag": (d, shape["modes"]),
                "mixer.kernel.C": (d, shape["modes"], 2),
                "mixer.D": (d,),
                "out_proj.weight": (2 * d, d),
                "out_proj.bias": (2 * d,),
            }
        else:
            own = {
                "mixer.in_proj.weight": (inner + mixed + heads, d),
                "mixer.conv1d.weight": (mixed, 1, CONV),
                "mixer.conv1d.bias": (mixed,),
                "mixer.dt_bias": (heads,),
                "mixer.A_log": (heads,),
                "mixer.D": (heads,),
                "mixer.norm.weight": (inner,),
                "mixer.out_proj.weight": (d, inner),
            }
        shapes.update({layer + name: s for name, s in own.items()})
    shapes.update(
        {"backbone.norm_f.weight": (d,), "backbone.out_proj.weight": (OUTPUTS, d), "backbone.out_proj.bias": (OUTPUTS,)}
    )
    return shapes


def initial(name, shape, layers, generator):
    """the initial value of a parameter"""
    leaf = ".".join(name.split(".")[-2:])
    uniform = lambda low, high: low + (high - low) * torch.rand(shape, generator=generator)
    if leaf in ("norm.weight", "norm_f.weight") or leaf == "mixer.D":
        return torch.ones(shape)
    if leaf == "kernel.log_dt":
        return uniform(math.log(1e-3), math.log(0.1))
    if leaf == "kernel.log_A_real":
        return torch.full(shape, math.log(0.5))
    if leaf == "kernel.A_imag":
        return (math.pi * torch.arange(shape[1], dtype=torch.float32)).expand(shape).clone()
    if leaf == "kernel.C":
        return torch.randn(shape, generator=generator) * math.sqrt(0.5)
    if leaf == "mixer.dt_bias":
        step = torch.exp(uniform(math.log(1e-3), math.log(0.1)))
        return step + torch.log(-torch.expm1(-step))
    if leaf == "mixer.A_log":
        return torch.log(uniform(1, 16))
    if leaf == "conv1d.weight":
        return uniform(-1, 1) / math.sqrt(CONV)
    if leaf.endswith("bias"):
        return torch.zeros(shape)
    gain = 1 / math.sqrt(2 * layers) if leaf == "out_proj.weight" and ".layers." in name else 1.0
    return torch.randn(shape, generator=generator) * gain / math.sqrt(shape[1])


def rms_norm(x, weight):
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + EPS) * weight


def s4d_kernel(log_dt, log_A_real, A_imag, C, frames):
    """the impulse response of a bank: (d, frames), zero-order hold"""
    A = torch.complex(-torch.exp(log_A_real), A_imag)
    step = torch.exp(log_dt)[:, None] * A
    weight = 2 * torch.complex(C[..., 0], C[..., 1]) * (torch.exp(step) - 1) / A
    powers = lambda at: torch.exp(step[..., None] * at)
    coarse = powers(torch.arange(0, frames, FINE, device=step.device, dtype=log_dt.dtype))
    fine = powers(torch.arange(FINE, device=step.device, dtype=log_dt.dtype))
    return torch.matmul((weight[..., None] * coarse).transpose(1, 2), fine).real.flatten(1)[:, :frames]


def s4d_mix(u, log_dt, log_A_real, A_imag, C, D):
    """u (batch, frames, d) through one bank per channel"""
    frames = u.shape[1]
    kernel = s4d_kernel(log_dt, log_A_real, A_imag, C, frames)
    u = u.transpose(1, 2)
    y = torch.fft.irfft(torch.fft.rfft(u, n=2 * frames) * torch.fft.rfft(kernel, n=2 * frames), n=2 * frames)[
        ..., :frames
    ]
    return (y + D[:, None] * u).transpose(1, 2)


def gated(h, y, weight, bias, dtype):
    return h + F.glu(F.linear(y.to(dtype), weight.to(dtype), bias.to(dtype)).to(h.dtype))


def ssd(x, dt, A, B, C, chunk):
    """The scan of Mamba-2 in chunks: x (batch, frames, heads, headdim), dt (batch, frames, heads), B and C (batch,
    frames, d_state); matrix products in x's type, decays in dt's."""
    batch, frames, heads, headdim = x.shape
    count = frames // chunk
    x, B, C = (
        x.view(batch, count, chunk, heads, headdim),
        B.view(batch, count, chunk, -1),
        C.view(batch, count, chunk, -1),
    )
    dt = dt.view(batch, count, chunk, heads)
    total = torch.cumsum(dt * A, 2)  # log decay since the chunk's start
    later = torch.ones(chunk, chunk, dtype=torch.bool, device=x.device).triu(1)
    by_head = total.permute(0, 1, 3, 2)  # (batch, count, heads, chunk)
    decay = torch.exp((by_head[..., :, None] - by_head[..., None, :]).masked_fill(later, -math.inf))
    scores = torch.matmul(C, B.transpose(-1, -2))  # (batch, count, chunk, chunk)
    mixing = (scores[:, :, None] * decay * dt.permute(0, 1, 3, 2)[..., None, :]).to(x.dtype)
    within = torch.matmul(mixing, x.permute(0, 1, 3, 2, 4)).permute(
        0, 1, 3, 2, 4
    )  # (batch, count, chunk, heads, headdim)

    left = (torch.exp(total[:, :, -1:] - total) * dt)[..., None]  # share of a frame that remains at the chunk's end
    states = torch.matmul(
        (x * left).to(x.dtype).flatten(3).transpose(2, 3), B
    )  # (batch, count, heads * headdim, d_state)
    # (batch, heads, count): log decay up to the end of a chunk
    passed = torch.cumsum(total[:, :, -1], 1).transpose(1, 2)
    begun = F.pad(passed, (1, 0))[..., :-1]  # and up to its start
    earlier = torch.ones(count, count, dtype=torch.bool, device=x.device).tril(-1)
    carry = torch.exp((begun[..., :, None] - passed[..., None, :]).masked_fill(~earlier, -math.inf)).to(x.dtype)
    states = states.view(batch, count, heads, -1).transpose(1, 2)
    before = torch.matmul(carry, states).transpose(1, 2).reshape(batch, count, heads * headdim, -1)
    across = torch.matmul(C, before.transpose(2, 3)).view(batch, count, chunk, heads, headdim)
    return (within + across * torch.exp(total)[..., None]).reshape(batch, frames, heads, headdim)


def mamba2(h, norm, in_proj, conv, conv_bias, dt_bias, A_log, D, gate_norm, out_proj, d_state, headdim, chunk, dtype):
    """one residual layer; dtype: of the matrix products"""
    batch, frames, _ = h.shape
    heads = dt_bias.shape[0]
    inner, rows = heads * headdim, in_proj.shape[0]
    # pad rows to multiples of 8, because tensor cores need aligned outputs
    projected = F.linear(rms_norm(h, norm).to(dtype), F.pad(in_proj, (0, 0, 0, -rows % 8)).to(dtype))
    z, mixed, dt = projected[..., :inner], projected[..., inner : rows - heads], projected[..., rows - heads : rows]
    padded = F.pad(mixed, (0, 0, CONV - 1, 0))
    mixed = conv_bias + sum(padded[:, i : i + frames] * conv[:, 0, i] for i in range(CONV))
    mixed = F.silu(mixed).to(dtype)
    x, B, C = (
        mixed[..., :inner].view(batch, frames, heads, headdim),
        mixed[..., inner : inner + d_state],
        mixed[..., inner + d_state :],
    )
    dt = F.softplus(dt.to(h.dtype) + dt_bias)
    y = ssd(x, dt, -torch.exp(A_log), B, C, chunk) + x * D[:, None]
    y = rms_norm(y.reshape(batch, frames, inner).to(h.dtype) * F.silu(z.to(h.dtype)), gate_norm)
    return h + F.linear(y.to(dtype), out_proj.to(dtype)).to(h.dtype)


class Forecaster:
    """The network with named parameters. `parameters`: name -> tensor; compiled: use torch.compile, for GPUs."""

    def __init__(self, shape, parameters, chunk=64, dtype=torch.float32, compiled=False):
        self.shape, self.parameters, self.chunk, self.dtype = shape, parameters, chunk, dtype
        compile_if = (lambda f: torch.compile(f, dynamic=False)) if compiled else lambda f: f
        self.mamba2, self.gated, self.norm, self.head = (compile_if(f) for f in (mamba2, gated, rms_norm, self._head))

    def _head(self, h, norm, weight, bias):
        return F.linear(rms_norm(h, norm).to(self.dtype), weight.to(self.dtype), bias.to(self.dtype))

    def __call__(self, frames):
        """frames (batch, steps, 6) -> (batch, steps, 576); steps a multiple of the chunk"""
        p = self.parameters
        h = F.linear(frames, p["backbone.in_proj.weight"], p["backbone.in_proj.bias"])
        for i, kind in enumerate(self.shape["layers"]):
            at = lambda *names: [p[f"backbone.layers.{i}.{name}"] for name in names]
            if kind == "s":
                u = self.norm(h, *at("norm.weight"))
                y = s4d_mix(
                    u,
                    *at(
                        "mixer.kernel.log_dt",
                        "mixer.kernel.log_A_real",
                        "mixer.kernel.A_imag",
                        "mixer.kernel.C",
                        "mixer.D",
                    ),
                )
                h = self.gated(h, y, *at("out_proj.weight", "out_proj.bias"), self.dtype)
            else:
                h = self.mamba2(
                    h,
                    *at(
                        "norm.weight",
                        "mixer.in_proj.weight",
                        "mixer.conv1d.weight",
                        "mixer.conv1d.bias",
                        "mixer.dt_bias",
                        "mixer.A_log",
                        "mixer.D",
                        "mixer.norm.weight",
                        "mixer.out_proj.weight",
                    ),
                    self.shape["d_state"],
                    self.shape["headdim"],
                    self.chunk,
                    self.dtype,
                )
        return self.head(h, p["backbone.norm_f.weight"], p["backbone.out_proj.weight"], p["backbone.out_proj.bias"])
