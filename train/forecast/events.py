"""Events in a series: steps, spikes, regimes, machine cycles, counts, quantising, saturation, anomalies. All
functions map (series, steps) of about unit variance to the same."""
import torch

from .draws import by_segment, leaky, segments, standard


def levels(draws, series, steps):
    """piecewise constant: random levels, a random walk of levels, or two alternating levels"""
    ids = segments(
        draws,
        series,
        steps,
        draws.log_uniform(series, 1, low=5, high=1000),
        draws.log_uniform(series, 1, low=0.5, high=30),
    )
    values = draws.heavy(series, 256)
    few = torch.gather(draws.normal(series, 4), 1, draws.whole(series, 256, low=0, high=4))
    alternating = (torch.arange(256, device=draws.device) % 2).float().expand(series, 256)
    how = draws.uniform(series, 1)
    values = torch.where(
        how < 0.3, values, torch.where(how < 0.55, values.cumsum(1), torch.where(how < 0.75, few, alternating))
    )
    return standard(by_segment(values, ids))


def spikes(draws, series, steps):
    """rare spikes of both signs or one, that end at once or decay slowly"""
    rate = draws.log_uniform(series, 1, low=0.001, high=0.1)
    size = torch.exp(draws.normal(series, steps) * draws.uniform(series, 1, high=1.2))
    sign = torch.where(
        draws.chance(0.5, series, 1),
        torch.sign(draws.normal(series, 1)).expand(series, steps),
        torch.sign(draws.normal(series, steps)),
    )
    fall = draws.uniform(series, 1, high=0.97) * draws.chance(0.4, series, 1)
    impulses = size * sign * draws.chance(rate, series, steps)
    return leaky(impulses, fall) * draws.log_uniform(series, 1, low=2, high=30)


def regimes(draws, x, other):
    """switches between a series and another one, scaled and shifted"""
    series, steps = x.shape
    ids = segments(
        draws,
        series,
        steps,
        draws.log_uniform(series, 1, low=30, high=600),
        draws.log_uniform(series, 1, low=1, high=10),
    )
    changed = other * draws.log_uniform(series, 1, low=0.1, high=2) + draws.normal(series, 1)
    return torch.where(ids % 2 == 0, x, changed)


def machine(draws, x):
    """regular or irregular on/off cycles; the series modulates the running state"""
    series, steps = x.shape
    ids = segments(
        draws,
        series,
        steps,
        draws.log_uniform(series, 1, low=2, high=200),
        draws.log_uniform(series, 1, low=0.7, high=300),
    )
    duty = draws.uniform(series, 1, low=0.2, high=1.8)
    period = draws.log_uniform(series, 1, low=4, high=300)
    phase = (torch.arange(steps, device=x.device) / period + draws.uniform(series, 1)) % 1
    on = torch.where(draws.chance(0.5, series, 1), phase < duty / 2, ids % 2 == 0).float()
    heated = leaky(on, draws.uniform(series, 1, high=0.97) * draws.chance(0.4, series, 1))
    heated = heated / heated.amax(1, keepdim=True).clamp(min=1e-3)
    ripple = draws.log_uniform(series, 1, low=0.003, high=0.3) * draws.chance(0.8, series, 1)
    return heated * (3 + ripple * x) + ripple * 0.3 * x * draws.chance(0.5, series, 1)


def counts(draws, x):
    """Poisson counts whose rate follows the series, optionally with excess zeros"""
    series, steps = x.shape
    rate = torch.exp(
        torch.log(draws.log_uniform(series, 1, low=0.05, high=100)) + draws.uniform(series, 1, high=1) * x.clamp(-4, 4)
    )
    extra = draws.log_uniform(series, 1, low=0.3, high=20)
    spread = torch.where(
        draws.chance(0.3, series, 1), draws.gamma(extra.expand(series, steps).contiguous()) / extra, torch.ones_like(x)
    )
    return draws.poisson((rate * spread).clamp(max=1e4))


def demand(draws, x):
    """intermittent demand: amounts at some steps, zero at the others"""
    series, steps = x.shape
    share = torch.sigmoid(draws.uniform(series, 1, low=-4, high=1) + draws.uniform(series, 1, high=1.5) * x)
    amount = torch.exp(
        draws.uniform(series, 1, high=1) * draws.normal(series, steps)
        + draws.uniform(series, 1, high=0.5) * x.clamp(-4, 4)
    )
    whole = draws.chance(0.5, series, 1)
    return draws.chance(share, series, steps) * torch.where(whole, torch.ceil(3 * amount), amount)


def quantised(draws, x):
    step = draws.log_uniform(x.shape[0], 1, low=0.01, high=1)
    return torch.round(x / step) * step


def saturated(draws, x):
    low, high = draws.uniform(x.shape[0], 1, low=-2.5, high=0), draws.uniform(x.shape[0], 1, low=0, high=2.5)
    return torch.minimum(
        torch.where(draws.chance(0.6, x.shape[0], 1), torch.maximum(x, low), x),
        high + 3 * draws.chance(0.4, x.shape[0], 1),
    )


def anomalies(draws, x):
    """one to three anomalous stretches: spike, offset, stuck value, burst, drop to zero, drift"""
    series, steps = x.shape
    at = torch.arange(steps, device=x.device)
    for _ in range(3):
        start = (draws.uniform(series, 1) * steps).long()
        length = draws.log_uniform(series, 1, low=1, high=200)
        inside = (at >= start) & (at < start + length) & draws.chance(0.6, series, 1)
        size = draws.normal(series, 1) * draws.log_uniform(series, 1, low=1, high=30)
        stuck = torch.gather(x, 1, start).expand(series, steps)
        ramp = size * ((at - start) / length).clamp(0, 1)
        burst = x + size.abs() * draws.normal(series, steps)
        kinds = torch.stack((x + size * (at < start + 3), x + size, stuck, burst, torch.zeros_like(x), x + ramp))
        kind = draws.whole(series, low=0, high=6)
        x = torch.where(inside, kinds[kind, torch.arange(series, device=x.device)], x)
    return x
