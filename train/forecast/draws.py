"""Seeded random draws on one device, and the two building blocks of all series: filtered noise and piecewise-
constant segments.
"""
import math

import torch
import torch.nn.functional as F


class Draws:
    def __init__(self, seed, device):
        self.device = device
        self.generator = torch.Generator(device=device).manual_seed(seed)

    def uniform(self, *size, low=0.0, high=1.0):
        return low + (high - low) * torch.rand(*size, device=self.device, generator=self.generator)

    def log_uniform(self, *size, low, high):
        return torch.exp(self.uniform(*size, low=math.log(low), high=math.log(high)))

    def normal(self, *size):
        return torch.randn(*size, device=self.device, generator=self.generator)

    def chance(self, p, *size):
        """true with probability p"""
        return self.uniform(*size) < p

    def whole(self, *size, low, high):
        """low .. high - 1"""
        return torch.randint(low, high, size, device=self.device, generator=self.generator)

    def choice(self, values, *size, weights=None):
        values = torch.tensor(values, dtype=torch.float32, device=self.device)
        weights = (
            torch.ones_like(values)
            if weights is None
            else torch.tensor(weights, dtype=torch.float32, device=self.device)
        )
        picked = torch.multinomial(weights, math.prod(size), replacement=True, generator=self.generator)
        return values[picked].view(size)

    def gamma(self, shape):
        return torch._standard_gamma(shape, generator=self.generator)

    def poisson(self, rate):
        return torch.poisson(rate, generator=self.generator)

    def heavy(self, series, steps):
        """noise with random tails per series: from normal to Student's t with 2 degrees of freedom, scaled to a
        typical size of 1

        """
        freedom = self.log_uniform(series, 1, low=2, high=8)
        tail = torch.sqrt(freedom / (2 * self.gamma((freedom / 2).expand(series, steps).contiguous()).clamp(min=1e-3)))
        return self.normal(series, steps) * torch.where(self.chance(0.35, series, 1), tail, torch.ones_like(tail))

    def smooth(self, series, steps, knots):
        """slowly varying, with unit variance at the knots"""
        return F.interpolate(self.normal(series, 1, knots), size=steps, mode="linear", align_corners=True)[:, 0]


def standard(x):
    """zero mean, unit standard deviation over time; a constant stays 0"""
    x = x - x.mean(1, keepdim=True)
    return x / x.std(1, keepdim=True).clamp(min=1e-6)


def filtered(noise, response):
    """noise (series, m) through `response` (series, m / 2 + 1), around the circle of m steps"""
    return torch.fft.irfft(torch.fft.rfft(noise) * response, n=noise.shape[1])


def delays(m, device):
    """one step's delay at the frequencies of a circle of m steps"""
    angle = 2 * math.pi * torch.arange(m // 2 + 1, device=device) / m
    return torch.polar(torch.ones_like(angle), -angle)


def resonant(noise, poles):
    """noise filtered by 1 / (1 - pole / z) for a pole (series, 1) and its conjugate"""
    z = delays(noise.shape[1], noise.device)
    return filtered(noise, 1 / ((1 - poles * z) * (1 - poles.conj() * z)))


def leaky(x, kept):
    """leaky integrator y = x + kept * y_previous, kept (series, 1) below 1; starts at 0"""
    padded = F.pad(x, (x.shape[1], 0))
    return filtered(padded, 1 / (1 - kept * delays(padded.shape[1], x.device)))[:, x.shape[1] :]


def segments(draws, series, steps, mean, regularity):
    """ids (series, steps), counting up from 0, of segments whose durations are gamma distributed: mean and regularity
    (shape) (series, 1); at most 256 segments, the last then lasting to the end"""
    durations = draws.gamma(regularity.expand(series, 256).contiguous()) / regularity * mean
    ends = torch.cumsum(durations.clamp(min=1.0), 1) - durations[:, :1] * draws.uniform(series, 1)
    at = torch.arange(steps, device=ends.device, dtype=ends.dtype).expand(series, steps).contiguous()
    return torch.searchsorted(ends.contiguous(), at).clamp(max=255)


def by_segment(values, ids):
    """the value (series, 256) of each step's segment"""
    return torch.gather(values, 1, ids)
