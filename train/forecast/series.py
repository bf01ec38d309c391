"""Synthetic series for training and validation: random mixtures of processes, seasons and events, normalised, with
the values for the targets.
"""
import torch

from . import events, processes, sampling, seasons
from .draws import Draws, standard
from .normaliser import HORIZONS, normalise

#               share  trend season process kernels walk  noise  size of the noise
RECIPES = {
    "seasonal": (0.27, 0.45, 1.00, 0.45, 0.05, 0.10, 0.75, 1.0),
    "clean": (0.13, 0.60, 1.00, 0.10, 0.15, 0.00, 0.60, 0.02),
    "calendar": (0.15, 0.40, 1.00, 0.40, 0.05, 0.05, 0.85, 0.3),
    "stochastic": (0.12, 0.20, 0.00, 0.70, 0.10, 0.40, 0.35, 1.0),
    "kernels": (0.10, 0.30, 0.15, 0.00, 1.00, 0.05, 0.40, 1.0),
    "walk": (0.07, 0.10, 0.10, 0.15, 0.00, 1.00, 0.20, 1.0),
    "trend": (0.07, 1.00, 0.20, 0.30, 0.00, 0.10, 0.70, 1.0),
    "anything": (0.09, 0.50, 0.50, 0.50, 0.50, 0.50, 0.50, 1.0),
}
FAR = 1e4  # in standard deviations: larger values are clamped


def mixtures(draws, series, steps):
    """(series, steps), finite and of about unit variance"""
    table = torch.tensor(list(RECIPES.values()), device=draws.device)
    recipe = torch.multinomial(table[:, 0], series, replacement=True, generator=draws.generator)
    is_calendar = (recipe == list(RECIPES).index("calendar"))[:, None]
    present = draws.uniform(series, 6) < table[recipe, 1:7]
    weight = torch.exp(0.9 * draws.normal(series, 6)) * present
    # from a thousandth of the other components to more than them
    weight[:, 5] = draws.log_uniform(series, low=0.003, high=3) * present[:, 5] * table[recipe, 7]
    volatility = torch.exp(
        draws.uniform(series, 1, high=1)
        * draws.chance(0.3, series, 1)
        * torch.where(
            draws.chance(0.5, series, 1),
            draws.smooth(series, steps, 12),
            processes.autoregressive(draws, series, steps),
        )
    )
    autoregressive = torch.where(
        draws.chance(0.75, series, 1),
        processes.autoregressive(draws, series, steps),
        processes.coloured(draws, series, steps),
    )
    parts = (
        processes.trend(draws, series, steps),
        torch.where(is_calendar, seasons.calendar(draws, series, steps), seasons.seasonal(draws, series, steps)),
        autoregressive * volatility,
        processes.kernels(draws, series, steps, seasons.periods),
        torch.where(
            draws.chance(0.4, series, 1),
            processes.prices(draws, series, steps),
            processes.random_walk(draws, series, steps),
        ),
        draws.heavy(series, steps) * volatility,
    )
    added = standard(sum(weight[:, i : i + 1] * part for i, part in enumerate(parts)))
    return torch.where(draws.chance(0.06, series, 1), processes.effects(draws, (added, parts[1], parts[2])), added)


def values(draws, series, steps):
    """complete series, before sampling"""
    x = mixtures(draws, series, steps)

    def sometimes(p, changed):
        return torch.where(draws.chance(p, series, 1), changed, x)

    x = sometimes(0.18, standard(torch.exp(draws.uniform(series, 1, low=0.1, high=1.5) * x)))
    x = sometimes(0.08, events.regimes(draws, x, torch.roll(x, 1, 0)))
    x = sometimes(0.12, x + draws.log_uniform(series, 1, low=0.2, high=4) * events.levels(draws, series, steps))
    x = sometimes(0.10, x + events.spikes(draws, series, steps) * draws.log_uniform(series, 1, low=0.05, high=1))
    kind = draws.uniform(series, 1)
    counts, demand, machine = events.counts(draws, x), events.demand(draws, x), events.machine(draws, x)
    x = torch.where(kind < 0.09, counts, torch.where(kind < 0.15, demand, torch.where(kind < 0.23, machine, x)))
    x = sometimes(0.05, events.levels(draws, series, steps) + 0.05 * draws.chance(0.5, series, 1) * x)
    x = sometimes(0.05, torch.relu(x - draws.uniform(series, 1, low=-1, high=0.7)))
    x = sometimes(0.12, events.quantised(draws, x))
    x = sometimes(0.06, events.saturated(draws, x))
    x = sometimes(0.10, events.anomalies(draws, x))
    x = sometimes(0.01, torch.zeros_like(x) + draws.chance(0.003, series, steps) * draws.chance(0.5, series, 1))
    # add a large random offset relative to the spread: it only affects rounding
    return torch.nan_to_num(x).clamp(-FAR, FAR) + draws.normal(series, 1) * draws.log_uniform(
        series, 1, low=0.1, high=30
    )


class Pool:
    """Normalised series, drawn from a seed: frames (series, steps, 6); x (series, steps + 64), where the last 64
    values are only targets; x_ref, D (series, steps); seen (series, steps + 64), true where a value may be a target;
    valid (series, steps), the steps that are scored."""

    def __init__(self, seed, series, steps, device, chunk=4096):
        draws = Draws(seed, device)
        parts = [self._draw(draws, min(chunk, series - done), steps) for done in range(0, series, chunk)]
        x, observed, intervals, kept = (torch.cat(p) for p in zip(*parts))
        self.frames, x_ref, D = normalise(x[:, :steps], observed[:, :steps], intervals[:, :steps])
        self.x, self.x_ref, self.D, self.seen = x, x_ref.float(), D.float(), observed
        self.valid = kept[:, :steps] & (observed[:, :steps].cumsum(1) >= 2)

    @staticmethod
    def _draw(draws, series, steps):
        return sampling.sample(draws, values(draws, series, steps + HORIZONS))

    def __len__(self):
        return len(self.frames)

    def rows(self, first, last):
        """frames, x, x_ref, D, seen, valid for some of the series"""
        return tuple(t[first:last] for t in (self.frames, self.x, self.x_ref, self.D, self.seen, self.valid))
