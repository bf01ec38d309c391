"""The networks: S4D-tanh stack (the preset), and WaveNet and LSTM as controls; audio (batch, 1, time), knobs (batch,
2) in 0 .. 1.

Each network has macs, its multiply-accumulates per sample in step form; what runs only when a knob moves is not
counted."""
import math

import torch
import torch.nn as nn
import torch.nn.functional as F

KNOBS = 2
# Re A = -0.5 at first: time constants of 5 to 25000 samples
DT_RANGE = (8e-5, 0.4)


class Kernel(nn.Module):
    """Parameters of a diagonal complex filter bank, named as in the S4D reference implementation."""

    def __init__(self, d_model, pairs):
        super().__init__()
        low, high = map(math.log, DT_RANGE)
        # one draw in each of d_model equal parts of the range, so that no small model misses a time scale
        log_dt = low + (high - low) * (torch.arange(d_model) + torch.rand(d_model)) / d_model
        self.log_dt = nn.Parameter(log_dt[torch.randperm(d_model)])
        self.log_A_real = nn.Parameter(torch.full((d_model, pairs), math.log(0.5)))
        self.A_imag = nn.Parameter(math.pi * torch.arange(pairs).float().repeat(d_model, 1))
        self.C = nn.Parameter(torch.randn(d_model, pairs, 2) * math.sqrt(0.5 / pairs))

    def forward(self, length):
        """impulse responses (d_model, length) of the zero-order-hold bank, without its direct path D"""
        dt = self.log_dt.exp()[:, None]
        decay, turn = -self.log_A_real.exp(), self.A_imag
        x, w = decay * dt, turn * dt
        # exp(dt A) - 1 without cancellation: slow modes have |dt A| near float32's resolution of 1
        real = torch.expm1(x) * torch.cos(w) - 2 * torch.sin(w / 2) ** 2
        imag = torch.exp(x) * torch.sin(w)
        held = torch.complex(real, imag) / torch.complex(decay, turn)
        steps = torch.arange(length, device=dt.device, dtype=torch.float32)
        modes = torch.exp(torch.complex(x, w)[..., None] * steps)
        return 2 * torch.einsum("dn,dnl->dl", torch.view_as_complex(self.C) * held, modes).real


class S4D(nn.Module):
    def __init__(self, d_model, pairs):
        super().__init__()
        self.kernel = Kernel(d_model, pairs)
        self.D = nn.Parameter(torch.ones(d_model))
        self.macs = 6 * d_model * pairs + d_model

    def forward(self, u):
        length = u.shape[-1]
        spectrum = torch.fft.rfft(self.kernel(length), n=2 * length)
        y = torch.fft.irfft(torch.fft.rfft(u, n=2 * length) * spectrum, n=2 * length)[..., :length]
        return y + self.D[:, None] * u


def channels(linear, x):
    """a Linear over the channel axis of (batch, channels, time)"""
    y = torch.matmul(linear.weight, x)
    return y if linear.bias is None else y + linear.bias[:, None]


class Block(nn.Module):
    """h + out_proj(tanh(film(in_proj(s4d(h)))))"""

    def __init__(self, d_model, pairs):
        super().__init__()
        self.mixer = S4D(d_model, pairs)
        self.in_proj = nn.Linear(d_model, d_model)
        self.out_proj = nn.Linear(d_model, d_model, bias=False)
        with torch.no_grad():
            self.in_proj.weight.normal_(0, 1 / math.sqrt(d_model))
            self.in_proj.bias.normal_(0, 0.1)
            self.out_proj.weight.normal_(0, 0.5 / math.sqrt(d_model))
        self.macs = self.mixer.macs + 2 * d_model * d_model

    def forward(self, h, scale, shift):
        a = channels(self.in_proj, self.mixer(h))
        return h + channels(self.out_proj, torch.tanh(torch.addcmul(shift, a, 1 + scale)))


class Controls(nn.Module):
    def __init__(self, hidden, film):
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(KNOBS, hidden), nn.Linear(hidden, film)])
        with torch.no_grad():
            self.layers[1].weight.mul_(0.3)
            self.layers[1].bias.zero_()

    def forward(self, knobs):
        return self.layers[1](torch.tanh(self.layers[0](2 * knobs - 1)))


class S4DStack(nn.Module):
    """Parameter names are the tensor names of the exported file."""

    def __init__(self, d_model=8, pairs=4, layers=6, hidden=32):
        super().__init__()
        self.shape = {"d_model": d_model, "pairs": pairs, "layers": layers, "hidden": hidden}
        self.backbone = nn.Module()
        self.backbone.in_proj = nn.Linear(1, d_model)
        self.backbone.layers = nn.ModuleList([Block(d_model, pairs) for _ in range(layers)])
        self.backbone.out_proj = nn.Linear(d_model, 1)
        self.backbone.direct = nn.Linear(1, 1, bias=False)
        self.controls = Controls(hidden, layers * 2 * d_model)
        with torch.no_grad():
            self.backbone.in_proj.weight.normal_(0, 1)
            self.backbone.in_proj.bias.normal_(0, 0.1)
            self.backbone.out_proj.weight.normal_(0, 0.5 / math.sqrt(d_model))
            self.backbone.out_proj.bias.zero_()
            self.backbone.direct.weight.zero_()
        self.macs = sum(b.macs for b in self.backbone.layers) + 2 * d_model + 1

    def forward(self, x, knobs):
        net = self.backbone
        film = self.controls(knobs)[..., None].chunk(2 * len(net.layers), 1)
        h = channels(net.in_proj, x)
        for i, block in enumerate(net.layers):
            h = block(h, film[2 * i], film[2 * i + 1])
        return channels(net.out_proj, h) + net.direct.weight * x


class WaveNet(nn.Module):
    """Stacks of dilated causal convolutions with tanh; input and knobs are mixed into every layer, the stacks' heads
    are chained.

    The default has the layers and widths of the A1 standard architecture of Neural Amp Modeler."""

    def __init__(self, widths=(16, 8), head=8, taps=3, dilations=(tuple(2**i for i in range(10)),) * 2):
        super().__init__()
        self.stacks = nn.ModuleList()
        wide, self.macs = 1, 0
        for i, (width, dilation) in enumerate(zip(widths, dilations)):
            last = i == len(widths) - 1
            s = nn.Module()
            s.rechannel = nn.Conv1d(wide, width, 1, bias=False)
            s.dilated = nn.ModuleList([nn.Conv1d(width, width, taps, dilation=d) for d in dilation])
            s.mixin = nn.ModuleList([nn.Conv1d(1 + KNOBS, width, 1, bias=False) for _ in dilation])
            s.out = nn.ModuleList([nn.Conv1d(width, width, 1) for _ in dilation])
            s.head = nn.Conv1d(width, 1 if last else head, 1, bias=last)
            self.stacks.append(s)
            # the knobs' share of the mix-in is constant between knob moves
            self.macs += wide * width + len(dilation) * (taps * width**2 + width + width**2) + s.head.weight.numel()
            wide = width
        self.scale = nn.Parameter(torch.tensor(0.1))

    def forward(self, x, knobs):
        condition = torch.cat([x, knobs[..., None].expand(-1, -1, x.shape[-1])], 1)
        h, head = x, None
        for s in self.stacks:
            h = s.rechannel(h)
            for dilated, mixin, out in zip(s.dilated, s.mixin, s.out):
                past = dilated.dilation[0] * (dilated.kernel_size[0] - 1)
                z = torch.tanh(dilated(F.pad(h, (past, 0))) + mixin(condition))
                head = z if head is None else head + z
                h = h + out(z)
            head = s.head(head)
        return head * self.scale


class LSTM(nn.Module):
    def __init__(self, hidden=16):
        super().__init__()
        self.lstm = nn.LSTM(1 + KNOBS, hidden, batch_first=True)
        self.out = nn.Linear(hidden, 1)
        self.macs = 4 * hidden * (1 + hidden) + 3 * hidden + hidden

    def forward(self, x, knobs):
        u = torch.cat([x, knobs[..., None].expand(-1, -1, x.shape[-1])], 1).transpose(1, 2)
        state, parts = None, []
        for piece in u.split(32768, 1):  # cuDNN refuses longer sequences
            y, state = self.lstm(piece.contiguous(), state)
            parts.append(self.out(y))
        return torch.cat(parts, 1).transpose(1, 2)


SHORT_DILATIONS = (1, 2, 4, 8, 16, 32, 64), (128, 256, 512, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512)


def wavenet_feather():
    """A1 feather of Neural Amp Modeler"""
    return WaveNet((8, 4), 4, 3, SHORT_DILATIONS)


def wavenet_nano():
    """A1 nano of Neural Amp Modeler"""
    return WaveNet((4, 2), 2, 3, SHORT_DILATIONS)


MODELS = {
    "s4d_8x6": lambda: S4DStack(8, 4, 6),
    "s4d_9x5": lambda: S4DStack(9, 4, 5),
    "s4d_10x5p3": lambda: S4DStack(10, 3, 5),
    "s4d_8x8p2": lambda: S4DStack(8, 2, 8),
    "wavenet_standard": WaveNet,
    "wavenet_feather": wavenet_feather,
    "wavenet_nano": wavenet_nano,
    "lstm_16": LSTM,
}
# not decayed, and trained at a smaller rate: they set the time constants
SLOW_PARAMETERS = ("log_dt", "log_A_real", "A_imag")
