"""Imperfect sampling of series: missing single values and blocks, omitted records, irregular and jittered times.

"""
import torch

from .draws import segments


def sample(draws, x):
    """x (series, steps) -> values, observed, intervals, valid, all of that shape; records left out shorten a series:
    past its end valid is false
    """
    series, steps = x.shape
    outage = (
        segments(
            draws, series, steps, draws.log_uniform(series, 1, low=10, high=400), torch.ones(series, 1, device=x.device)
        )
        % 8
        == 3
    )
    single = draws.chance(draws.log_uniform(series, 1, low=0.002, high=0.3), series, steps)
    how = draws.uniform(series, 1)
    missing = (single & (how < 0.10)) | (outage & (how > 0.06) & (how < 0.16))

    # omitted records: the others move up, with the time since their predecessor
    left_out = torch.where(
        how > 0.96, outage, draws.chance(draws.uniform(series, 1, low=0.05, high=0.6), series, steps)
    ) & (how > 0.92)
    at = torch.arange(steps, device=x.device).expand(series, steps)
    order = torch.sort(at + steps * left_out.long(), 1)
    kept, source = order.values < steps, order.indices
    jitter = torch.exp(0.3 * draws.normal(series, steps) * draws.chance(0.3, series, 1))
    intervals = torch.diff(source, dim=1, prepend=source[:, :1] - 1).clamp(min=1) * torch.where(
        how > 0.92, jitter, torch.ones_like(jitter)
    )
    # regular series come with or without times
    intervals = (
        intervals * (draws.chance(0.5, series, 1) | (how > 0.92)) * draws.log_uniform(series, 1, low=0.01, high=1e5)
    )
    return torch.gather(x, 1, source), ~torch.gather(missing, 1, source) & kept, intervals, kept
