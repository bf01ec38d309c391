"""Mamba-3 (SISO), Mamba-2 and, to compare, S4D in plain PyTorch, over whole sequences, as in ssm/MODEL_FILE.md.

Each mixer is computed as a masked matrix of frames by frames, which short sequences allow.
"""

import math

import torch
from torch import nn
from torch.nn import functional

EPS = 1e-5


def rms_normed(x):
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + EPS)


class RmsNorm(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x):
        return rms_normed(x) * self.weight


def causal(frames, device):
    return torch.ones(frames, frames, dtype=torch.bool, device=device).tril()


class Mamba3(nn.Module):
    """One group, one input and output a head, all states rotate, A by softplus and without a floor."""

    def __init__(self, d_model, headdim, d_state, expand=2):
        super().__init__()
        self.headdim, self.d_state, self.inner = headdim, d_state, expand * d_model
        self.heads, self.angles = self.inner // headdim, d_state // 2
        self.in_proj = nn.Linear(d_model, 2 * self.inner + 2 * d_state + 3 * self.heads + self.angles, bias=False)
        self.out_proj = nn.Linear(self.inner, d_model, bias=False)
        steps = torch.empty(self.heads).uniform_(0.3, 1.5)
        self.dt_bias = nn.Parameter(steps + torch.log(-torch.expm1(-steps)))
        self.B_norm, self.C_norm = RmsNorm(d_state), RmsNorm(d_state)
        self.B_bias = nn.Parameter(torch.ones(self.heads, 1, d_state))
        self.C_bias = nn.Parameter(torch.ones(self.heads, 1, d_state))
        self.D = nn.Parameter(torch.ones(self.heads))

    def settings(self):
        return {
            "layer": "Mamba3",
            "d_state": self.d_state,
            "headdim": self.headdim,
            "rope_fraction": 1.0,
            "A_floor": 0.0,
            "A_activation": "softplus",
        }

    def projected(self, u):
        """z, x, B, C of all frames; dt, A dt, the share of the present frame and the turns (radians) of each head"""
        widths = [self.inner, self.inner, self.d_state, self.d_state, self.heads, self.heads, self.heads, self.angles]
        z, x, B, C, dt, a, s, w = self.in_proj(u).split(widths, -1)
        dt = functional.softplus(dt + self.dt_bias)
        turns = math.pi * torch.tanh(w).unsqueeze(-2) * dt.unsqueeze(-1)
        return z, x, self.B_norm(B), self.C_norm(C), dt, functional.softplus(a) * dt, torch.sigmoid(s), turns

    def rotated(self, vectors, bias, angles):
        first, second = (vectors.unsqueeze(-2) + bias.squeeze(1)).unflatten(-1, (-1, 2)).unbind(-1)
        cosine, sine = angles.cos(), angles.sin()
        return torch.stack([first * cosine - second * sine, first * sine + second * cosine], -1).flatten(-2)

    def forward(self, u):
        z, x, B, C, dt, decay, now, turns = self.projected(u)
        angles = turns.cumsum(1)
        k, q = self.rotated(B, self.B_bias, angles), self.rotated(C, self.C_bias, angles)
        v = x.unflatten(-1, (self.heads, self.headdim))
        decayed = decay.cumsum(1).transpose(1, 2)  # batch, head, frame
        frames = causal(u.shape[1], u.device)
        kept = (decayed.unsqueeze(-2) - decayed.unsqueeze(-1)).masked_fill(~frames, -torch.inf).exp()
        late = functional.pad((1 - now) * dt, (0, 0, 0, 1))[:, 1:].transpose(1, 2)  # enters with the next frame
        own = (now * dt).transpose(1, 2)
        enters = own.unsqueeze(-2) + late.unsqueeze(-2) * frames.tril(-1)
        scores = torch.einsum("bthn,bshn->bhts", q, k) * kept * enters
        y = torch.einsum("bhts,bshp->bthp", scores, v) + self.D.unsqueeze(-1) * v
        return self.out_proj(y.flatten(-2) * functional.silu(z))


class Mamba2(nn.Module):
    """One group. `dt` holds the step sizes of the latest call, which penalties on the memory need."""

    def __init__(self, d_model, headdim, d_state, expand=2, d_conv=4):
        super().__init__()
        self.headdim, self.d_state, self.inner, self.d_conv = headdim, d_state, expand * d_model, d_conv
        self.heads, self.channels = self.inner // headdim, self.inner + 2 * d_state
        self.in_proj = nn.Linear(d_model, self.inner + self.channels + self.heads, bias=False)
        self.conv1d = nn.Conv1d(self.channels, self.channels, d_conv, groups=self.channels, padding=d_conv - 1)
        self.out_proj = nn.Linear(self.inner, d_model, bias=False)
        steps = torch.empty(self.heads).uniform_(math.log(1e-3), math.log(1e-1)).exp()
        self.dt_bias = nn.Parameter(steps + torch.log(-torch.expm1(-steps)))
        self.A_log = nn.Parameter(torch.empty(self.heads).uniform_(1, 16).log())
        self.D = nn.Parameter(torch.ones(self.heads))
        self.norm = RmsNorm(self.inner)

    def settings(self):
        return {"layer": "Mamba2", "d_state": self.d_state, "headdim": self.headdim, "d_conv": self.d_conv}

    def forward(self, u):
        z, mixed, dt = self.in_proj(u).split([self.inner, self.channels, self.heads], -1)
        mixed = functional.silu(self.conv1d(mixed.transpose(1, 2))[..., : u.shape[1]].transpose(1, 2))
        x, B, C = mixed.split([self.inner, self.d_state, self.d_state], -1)
        dt = self.dt = functional.softplus(dt + self.dt_bias)
        decayed = (-self.A_log.exp() * dt).cumsum(1).transpose(1, 2)
        frames = causal(u.shape[1], u.device)
        kept = (decayed.unsqueeze(-1) - decayed.unsqueeze(-2)).masked_fill(~frames, -torch.inf).exp()
        scores = torch.einsum("btn,bsn->bts", C, B).unsqueeze(1) * kept * dt.transpose(1, 2).unsqueeze(-2)
        v = x.unflatten(-1, (self.heads, self.headdim))
        y = torch.einsum("bhts,bshp->bthp", scores, v) + self.D.unsqueeze(-1) * v
        return self.out_proj(self.norm(y.flatten(-2) * functional.silu(z)))


class S4D(nn.Module):
    """A block like Mamba-2's around a bank of filters that no token changes."""

    def __init__(self, d_model, modes, expand=2, d_conv=4):
        super().__init__()
        self.inner = expand * d_model
        self.in_proj = nn.Linear(d_model, 2 * self.inner, bias=False)
        self.conv1d = nn.Conv1d(self.inner, self.inner, d_conv, groups=self.inner, padding=d_conv - 1)
        self.out_proj = nn.Linear(self.inner, d_model, bias=False)
        self.log_step = nn.Parameter(torch.empty(self.inner, 1).uniform_(math.log(1e-3), math.log(1e-1)))
        self.log_decay = nn.Parameter(torch.full((self.inner, modes), math.log(0.5)))
        self.frequency = nn.Parameter(math.pi * torch.arange(modes).float().repeat(self.inner, 1))
        self.weights = nn.Parameter(torch.randn(self.inner, modes, 2))
        self.D = nn.Parameter(torch.ones(self.inner))

    def forward(self, u):
        frames = u.shape[1]
        x, z = self.in_proj(u).chunk(2, -1)
        x = functional.silu(self.conv1d(x.transpose(1, 2))[..., :frames])
        rates = torch.complex(-self.log_decay.exp(), self.frequency) * self.log_step.exp()
        weights = torch.view_as_complex(self.weights) * (rates.exp() - 1) / rates * self.log_step.exp()
        powers = (rates.unsqueeze(-1) * torch.arange(frames, device=u.device)).exp()
        kernel = 2 * torch.einsum("cm,cmt->ct", weights, powers).real
        y = torch.fft.irfft(torch.fft.rfft(x, 2 * frames) * torch.fft.rfft(kernel, 2 * frames), 2 * frames)
        y = (y[..., :frames] + self.D.unsqueeze(-1) * x).transpose(1, 2)
        return self.out_proj(y * functional.silu(z))


class Layer(nn.Module):
    def __init__(self, d_model, mixer):
        super().__init__()
        self.norm, self.mixer = RmsNorm(d_model), mixer

    def forward(self, x):
        return x + self.mixer(self.norm(x))


class LanguageModel(nn.Module):
    """Token ids in, logits out, with the names and the config of mamba_ssm."""

    def __init__(self, vocab, d_model, mixers):
        super().__init__()
        self.vocab, self.d_model = vocab, d_model
        self.backbone = nn.Module()
        self.backbone.embedding = nn.Embedding(vocab, d_model)
        self.backbone.layers = nn.ModuleList(Layer(d_model, mixer) for mixer in mixers)
        self.backbone.norm_f = RmsNorm(d_model)
        self.lm_head = nn.Linear(d_model, vocab, bias=False)

    def forward(self, ids):
        x = self.backbone.embedding(ids)
        for layer in self.backbone.layers:
            x = layer(x)
        return self.lm_head(self.backbone.norm_f(x))

    def config(self):
        return {
            "d_model": self.d_model,
            "n_layer": len(self.backbone.layers),
            "vocab_size": self.vocab,
            "pad_vocab_size_multiple": 1,
            "tie_embeddings": False,
            "ssm_cfg": self.backbone.layers[0].mixer.settings(),
        }

    def tensors(self):
        return {name: value.detach().float().cpu().numpy() for name, value in self.state_dict().items()}
