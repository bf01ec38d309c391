"""Random processes that do not depend on time of day: trends, autoregressions, coloured noise, random walks, prices,
Gaussian processes of composed kernels, and graphs of causes and effects.

"""
import math

import torch
import torch.nn.functional as F

from .draws import by_segment, filtered, leaky, resonant, segments, standard


def trend(draws, series, steps):
    at = torch.linspace(-1, 1, steps, device=draws.device).expand(series, steps)
    line = at * torch.sign(draws.normal(series, 1))
    bent = standard(
        F.interpolate(draws.normal(series, 1, 6).cumsum(2), size=steps, mode="linear", align_corners=True)[:, 0]
    )
    many = standard(
        torch.cumsum(
            by_segment(
                draws.normal(series, 256),
                segments(
                    draws,
                    series,
                    steps,
                    draws.log_uniform(series, 1, low=20, high=400),
                    torch.ones(series, 1, device=draws.device),
                ),
            ),
            1,
        )
    )
    growth = standard(torch.exp(line * draws.uniform(series, 1, low=0.3, high=3)))
    saturating = standard(
        torch.sigmoid((at - draws.uniform(series, 1, low=-1, high=1)) * draws.log_uniform(series, 1, low=2, high=30))
    )
    kinds = torch.stack((standard(line), bent, many, growth, saturating))
    kind = draws.choice(range(5), series, weights=(4, 3, 2, 2, 1)).long()
    return kinds[kind, torch.arange(series, device=draws.device)]


def autoregressive(draws, series, steps):
    """a real pole, up to two pairs of complex ones and a moving average"""
    noise = draws.heavy(series, 2 * steps)
    noise = noise + draws.uniform(series, 1, low=-1, high=1) * draws.chance(0.5, series, 1) * torch.roll(noise, 1, 1)
    for share in (0.4, 0.15):
        radius = (1 - draws.log_uniform(series, 1, low=1e-3, high=0.9)) * draws.chance(share, series, 1)
        noise = resonant(noise, torch.polar(radius, draws.log_uniform(series, 1, low=0.01, high=math.pi)))
    kept = (1 - draws.log_uniform(series, 1, low=1e-3, high=1)) * torch.where(draws.chance(0.15, series, 1), -1, 1)
    return standard(leaky(noise, kept)[:, steps:])


def coloured(draws, series, steps):
    """power proportional to frequency^-a, with a from 0 to 3"""
    frequency = torch.arange(steps + 1, device=draws.device).clamp(min=1) / steps
    slope = draws.uniform(series, 1, low=0, high=3)
    return standard(filtered(draws.heavy(series, 2 * steps), frequency ** (-slope / 2))[:, :steps])


def random_walk(draws, series, steps):
    steps_of = draws.heavy(series, steps) * torch.exp(
        0.7 * draws.smooth(series, steps, 8) * draws.chance(0.4, series, 1)
    )
    steps_of = steps_of * torch.where(
        draws.chance(0.2, series, 1),
        draws.chance(draws.log_uniform(series, 1, low=0.01, high=0.5), series, steps),
        torch.ones((), dtype=torch.bool, device=draws.device),
    )
    drift = draws.normal(series, 1) * draws.log_uniform(series, 1, low=1e-3, high=0.5) * draws.chance(0.4, series, 1)
    walk = torch.cumsum(steps_of + drift, 1)
    momentum = torch.where(draws.chance(0.2, series, 1), torch.cumsum(walk - walk.mean(1, keepdim=True), 1), walk)
    return standard(momentum)


def prices(draws, series, steps):
    """geometric random walks: calm and wild times follow each other, with a few jumps"""
    calm = draws.log_uniform(series, 1, low=0.1, high=1)
    returns = draws.heavy(series, steps) * torch.exp(calm * autoregressive(draws, series, steps))
    jumps = (
        5 * draws.normal(series, steps) * draws.chance(draws.log_uniform(series, 1, low=3e-4, high=0.02), series, steps)
    )
    # a tenth to all of the price over the whole series
    size = draws.log_uniform(series, 1, low=0.1, high=2) / steps**0.5
    drift = draws.normal(series, 1) * draws.log_uniform(series, 1, low=0.01, high=1) / steps
    return standard(torch.exp((size * (returns + jumps) + drift).clamp(-1, 1).cumsum(1).clamp(-6, 6)))


def effects(draws, inputs):
    """One node of a graph whose nodes follow from others: `inputs` (series, steps) are its roots, such as a season, a
    trend and noise. Each further node is a bent sum of earlier ones, late and slow."""
    nodes = [standard(x) for x in inputs]
    series = nodes[0].shape[0]
    for _ in range(3):
        total = 0.0
        for node in nodes:
            weight = draws.normal(series, 1) * draws.chance(0.6, series, 1)
            lag = int(draws.log_uniform(1, low=1, high=100).item())
            # the first values are those of the end: any other past would do as well
            late = torch.where(draws.chance(0.5, series, 1), torch.roll(node, lag, 1), node)
            kept = draws.uniform(series, 1, high=0.98) * draws.chance(0.5, series, 1)
            total = total + weight * standard(leaky(late, kept))
        bent = torch.stack((total, torch.tanh(2 * total), torch.relu(total), total * nodes[-1].tanh(), total.abs()))
        kind = draws.choice(range(5), series, weights=(4, 2, 2, 2, 1)).long()
        noise = draws.log_uniform(series, 1, low=0.003, high=0.5) * draws.heavy(series, total.shape[1])
        nodes.append(standard(bent[kind, torch.arange(series, device=draws.device)]) + noise)
    return standard(nodes[-1])


def kernels(draws, series, steps, periods):
    """Gaussian processes: two or three random kernels, added or multiplied, sampled through their spectrum"""
    m = 2 * steps
    lag = torch.arange(m, device=draws.device)
    lag = torch.minimum(lag, m - lag).float()
    total = None
    for _ in range(3):
        length = draws.log_uniform(series, 1, low=2, high=steps)
        period = periods(draws, series)
        z = lag / length
        family = torch.stack(
            (
                torch.exp(-z * z / 2),
                torch.exp(-z),
                (1 + math.sqrt(3) * z) * torch.exp(-math.sqrt(3) * z),
                1 / (1 + z * z),
                torch.exp(
                    -2 * torch.square(torch.sin(math.pi * lag / period) * draws.log_uniform(series, 1, low=0.3, high=3))
                ),
                torch.cos(2 * math.pi * lag / period),
                (lag == 0).float().expand(series, m),
            )
        )
        kind = draws.choice(range(7), series, weights=(3, 1, 2, 1, 4, 1, 0.5)).long()
        own = family[kind, torch.arange(series, device=draws.device)] * draws.log_uniform(series, 1, low=0.1, high=1)
        if total is None:
            total = own
        else:
            added, multiplied = total + own, total * own
            how = draws.uniform(series, 1)
            total = torch.where(how < 0.45, added, torch.where(how < 0.75, multiplied, total))
    power = torch.fft.rfft(total).real.clamp(min=0)
    return standard(filtered(draws.normal(series, m), torch.sqrt(power))[:, :steps])
