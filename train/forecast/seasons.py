"""Seasonal series: common periods of people and machines, shapes from sine to weekday profiles, drifts in amplitude
and phase; days with weekends, holidays and a year.

"""
import math

import torch

from .draws import standard
from .processes import autoregressive

USUAL = (4, 5, 6, 7, 8, 10, 12, 13, 14, 24, 26, 30, 48, 52, 60, 90, 96, 120, 144, 168, 288, 365)
WEIGHTS = (2, 1, 1, 6, 1, 1, 8, 1, 1, 12, 1, 2, 5, 5, 3, 1, 4, 1, 2, 5, 3, 2)
MULTIPLES = (2, 3, 4, 5, 7, 12, 24)
TABLE = 256
DAYS = (24, 48, 96, 12, 144, 288, 1)  # records a day
DAY_WEIGHTS = (10, 3, 2, 1, 1, 1.5, 3)


def periods(draws, series):
    """(series, 1) in steps"""
    usual = draws.choice(USUAL, series, 1, weights=WEIGHTS)
    usual = usual * torch.where(
        draws.chance(0.25, series, 1), torch.exp(0.01 * draws.normal(series, 1)), torch.ones_like(usual)
    )
    return torch.where(draws.chance(0.65, series, 1), usual, draws.log_uniform(series, 1, low=2.5, high=500))


def shapes(draws, series, period):
    """one cycle, sampled at TABLE points: (series, TABLE)"""
    at = torch.arange(TABLE, device=draws.device) / TABLE
    order = torch.arange(1, TABLE // 2 + 1, device=draws.device)
    last = torch.where(
        draws.chance(0.25, series, 1),
        torch.ones(series, 1, device=draws.device),
        draws.log_uniform(series, 1, low=1, high=40),
    )
    size = order ** -draws.uniform(series, 1, low=0.3, high=2.5) * (order <= last)
    waves = torch.complex(draws.normal(series, TABLE // 2), draws.normal(series, TABLE // 2)) * size
    fourier = standard(
        torch.fft.irfft(torch.cat((torch.zeros(series, 1, dtype=waves.dtype, device=draws.device), waves), 1), n=TABLE)
    )

    each_step = (period <= TABLE) & draws.chance(0.7, series, 1)
    bins = torch.where(each_step, torch.round(period), draws.log_uniform(series, 1, low=3, high=50).round())
    profile = torch.gather(draws.heavy(series, TABLE), 1, (at * bins.clamp(min=2)).floor().long().clamp(max=TABLE - 1))
    duty = draws.uniform(series, 1, low=0.05, high=0.95)
    square = torch.sigmoid((duty - at) * draws.log_uniform(series, 1, low=20, high=1000))
    bumps = sum(
        draws.uniform(series, 1)
        * torch.exp(
            -torch.square(
                (((at - draws.uniform(series, 1) + 0.5) % 1) - 0.5) / draws.log_uniform(series, 1, low=0.01, high=0.2)
            )
            / 2
        )
        for _ in range(3)
    )
    peak = draws.uniform(series, 1, low=0.02, high=0.98)
    triangle = torch.where(at < peak, at / peak, (1 - at) / (1 - peak))
    daylight = torch.relu(fourier - draws.uniform(series, 1, low=-0.5, high=1))
    peaky = torch.exp(fourier * draws.uniform(series, 1, low=0.3, high=1.5))
    kinds = torch.stack([standard(k) for k in (fourier, profile, square, bumps, triangle, daylight, peaky)])
    kind = draws.choice(range(7), series, weights=(6, 3, 1, 1.5, 1, 1, 1.5)).long()
    return kinds[kind, torch.arange(series, device=draws.device)]


def cycle(draws, series, steps, period):
    """one seasonality with drifts, of about unit variance"""
    wander = torch.where(
        draws.chance(0.2, series, 1),
        draws.log_uniform(series, 1, low=0.003, high=0.15),
        torch.zeros(series, 1, device=draws.device),
    )
    # phase in cycles: a random walk whose deviation after one cycle is `wander`
    speed = 1 / period + draws.normal(series, steps) * wander / torch.sqrt(period)
    phase = (draws.uniform(series, 1).double() + torch.cumsum(speed.double(), 1)) % 1
    place = phase.float() * TABLE
    table = shapes(draws, series, period)
    low = place.floor().long() % TABLE
    value = torch.lerp(torch.gather(table, 1, low), torch.gather(table, 1, (low + 1) % TABLE), place - place.floor())
    swell = draws.uniform(series, 1, high=0.8) * draws.chance(0.3, series, 1)
    return value * (1 + swell * draws.smooth(series, steps, 8))


def seasonal(draws, series, steps):
    """one to three seasonalities, added, multiplied or one switching another, with unit variance"""
    first = periods(draws, series)
    multiple = first * draws.choice(MULTIPLES, series, 1, weights=(1, 1, 1, 1, 8, 2, 2))
    second = torch.where(draws.chance(0.6, series, 1), multiple, periods(draws, series))
    a, b, c = (cycle(draws, series, steps, p) for p in (first, second, periods(draws, series)))
    weight = draws.log_uniform(series, 1, low=0.1, high=2)
    how = draws.uniform(series, 1)
    both = torch.where(
        how < 0.2,
        a + weight * b,
        torch.where(
            how < 0.3,
            a * torch.exp(0.5 * weight * b),
            torch.where(how < 0.38, a * (b > draws.uniform(series, 1, low=-1, high=1)), a),
        ),
    )
    return standard(both + (0.5 * c) * draws.chance(0.06, series, 1))


def calendar(draws, series, steps):
    """The working days and weekends of people, with unit variance: each has its own shape of the day, each weekday its
    own level, some days are holidays, the level of days wanders, and a year may go by."""
    day = draws.choice(DAYS, series, 1, weights=DAY_WEIGHTS)
    at = torch.arange(steps, device=draws.device) + (draws.uniform(series, 1) * 7 * day).floor()
    number = (at / day).floor()
    phase = at / day - number
    weekday = (number % 7).long()
    free = draws.choice((0, 1, 2), series, 1, weights=(2, 1, 5))
    most = 1 + int(number.max())
    holiday = torch.gather(draws.chance(0.03, series, most), 1, number.long()) & draws.chance(0.5, series, 1)
    is_free = (weekday >= 7 - free) | holiday

    work, other = shapes(draws, series, day), shapes(draws, series, day)
    likeness = draws.uniform(series, 1)
    rest = draws.uniform(series, 1, low=0.1, high=1) * torch.lerp(other, work, likeness) + draws.normal(series, 1)
    place = phase * TABLE
    low = place.floor().long().clamp(max=TABLE - 1)

    def of_day(table):
        return torch.lerp(torch.gather(table, 1, low), torch.gather(table, 1, (low + 1) % TABLE), place - place.floor())

    value = torch.where(is_free, of_day(rest), of_day(work))
    weekdays = torch.gather(draws.normal(series, 7), 1, weekday)
    wander = torch.gather(autoregressive(draws, series, max(most, 16)), 1, number.long())
    value = value + draws.uniform(series, 1, high=0.4) * draws.chance(0.5, series, 1) * weekdays
    value = value + draws.log_uniform(series, 1, low=0.01, high=0.6) * draws.chance(0.5, series, 1) * wander
    year = torch.sin(2 * math.pi * (at / (365.25 * day) + draws.uniform(series, 1)))
    value = value + draws.uniform(series, 1, high=2) * draws.chance(0.3, series, 1) * year
    grown = torch.exp(draws.uniform(series, 1, high=0.4) * draws.smooth(series, steps, 8))
    return standard(value * torch.where(draws.chance(0.3, series, 1), grown, torch.ones_like(grown)))
