"""The causal normaliser before the forecaster: six numbers per step, and the scale of forecasts.

The memory of a series: k records observed, the last value x_ref, level m, spread s, step scale d, typical log interval
g. An interval is the time since the previous record, observed or not, and 0 if unknown; it is expressed relative to the
typical one so far. A missing value changes none of the six."""
import math

import torch

WINDOW = 256
HORIZONS = 64
QUANTILES = tuple(round(0.1 * (i + 1), 1) for i in range(9))
INPUTS = 6
FAR = 8.0  # the largest change of the level by one observation, in units of (s + d)
LIMIT = 20.0  # of a target or a forecast in asinh space
FIRST_FREE = 8  # the first records change the level without a limit


class Reference:
    """One series in plain float64, step by step: the reference for other implementations."""

    def __init__(self, window=WINDOW):
        self.window = window
        self.k, self.x_ref, self.m, self.root_s, self.root_d, self.g, self.has_g = 0, 0.0, 0.0, 0.0, 0.0, 0.0, False

    def scale(self):
        return max(self.root_d**2, 1e-4 * self.root_s**2, 1e-9 * max(abs(self.m), abs(self.x_ref)), 1e-30)

    def step(self, x, interval=0.0):
        """the frame of a record; x None or not finite: missing"""
        missing = x is None or not math.isfinite(x)
        before = self.x_ref
        e = min(max((math.log(interval) - self.g) / math.log(2), -6.0), 6.0) / 2 if interval > 0 and self.has_g else 0.0
        if not missing:
            if self.k == 0:
                self.m = before = x
            else:
                r, r1 = max(1 / (self.k + 1), 1 / self.window), max(1 / self.k, 1 / self.window)
                self.root_d += r1 * (math.sqrt(abs(x - self.x_ref)) - self.root_d)
                self.root_s += r * (math.sqrt(abs(x - self.m)) - self.root_s)
                limit = FAR * (self.root_s**2 + self.root_d**2)
                deviation = x - self.m
                self.m += r * (deviation if self.k < FIRST_FREE else min(max(deviation, -limit), limit))
                if interval > 0:
                    self.g += (r1 if self.has_g else 1.0) * (math.log(interval) - self.g)
                    self.has_g = True
            self.x_ref = x
            self.k += 1
        D, s = self.scale(), self.root_s**2
        return [
            math.asinh((self.x_ref - self.m) / D),
            0.0 if missing else math.asinh((x - before) / D),
            float(missing),
            e,
            math.log((s + D) / D),
            1 / math.sqrt(max(self.k, 1)),
        ]


def normalise(values, observed, intervals, window=WINDOW):
    """values, observed, intervals (series, steps) -> frames (series, steps, 6) float32, x_ref and scale D after each
    step, both float64
    """
    x = torch.where(observed, values.double(), torch.zeros((), dtype=torch.float64, device=values.device))
    intervals = intervals.double()
    log_interval = torch.log(intervals.clamp(min=1e-300))
    seen = observed.double().cumsum(1)  # k after each step
    k = seen - observed.double()  # and before it
    # a step without an update has rates of 0
    later = observed & (k > 0)
    rate = torch.where(later, (1 / (k + 1)).clamp(min=1 / window), torch.zeros_like(k))
    rate1 = torch.where(later, (1 / k.clamp(min=1)).clamp(min=1 / window), torch.zeros_like(k))
    timed = later & (intervals > 0)
    first_timed = timed & (timed.cumsum(1) == 1)
    rate_g = torch.where(timed, torch.where(first_timed, torch.ones_like(k), rate1), torch.zeros_like(k))
    first, bound = observed & (k == 0), torch.where(
        k < FIRST_FREE, torch.full_like(k, math.inf), torch.full_like(k, FAR)
    )

    steps = [t.transpose(0, 1).contiguous() for t in (x, observed, first, rate, rate1, rate_g, bound, log_interval)]
    zero = torch.zeros_like(x[:, 0])
    x_ref, m, root_d, root_s, g = zero, zero, zero, zero, zero
    remembered = torch.empty(5, x.shape[1], x.shape[0], dtype=torch.float64, device=x.device)
    for t, (x_t, observed_t, first_t, r, r1, r_g, bound_t, log_t) in enumerate(zip(*(s.unbind(0) for s in steps))):
        root_d = root_d + r1 * ((x_t - x_ref).abs().sqrt() - root_d)
        deviation = x_t - m
        root_s = root_s + r * (deviation.abs().sqrt() - root_s)
        # inf * 0 means no bound
        limit = torch.nan_to_num(bound_t * (root_s * root_s + root_d * root_d), nan=math.inf, posinf=math.inf)
        m = torch.where(first_t, x_t, m + r * torch.minimum(torch.maximum(deviation, -limit), limit))
        x_ref = torch.where(observed_t, x_t, x_ref)
        torch.stack((x_ref, m, root_d, root_s, g), out=remembered[:, t])
        g = g + r_g * (log_t - g)

    x_ref, m, root_d, root_s, g = remembered.transpose(1, 2)
    d, s = root_d * root_d, root_s * root_s
    D = torch.maximum(torch.maximum(d, 1e-4 * s), 1e-9 * torch.maximum(m.abs(), x_ref.abs())).clamp(min=1e-30)
    before = torch.cat((x_ref[:, :1], x_ref[:, :-1]), 1)
    moved = torch.where(later, (x_ref - before) / D, torch.zeros_like(D))
    known = (intervals > 0) & (timed.cumsum(1) - timed.long() > 0)
    e = torch.where(known, ((log_interval - g) / math.log(2)).clamp(-6, 6) / 2, torch.zeros_like(D))
    frames = torch.stack(
        (
            torch.asinh((x_ref - m) / D),
            torch.asinh(moved),
            (~observed).double(),
            e,
            torch.log((s + D) / D),
            seen.clamp(min=1).rsqrt(),
        ),
        2,
    )
    return frames.float(), x_ref, D


def targets(values, x_ref, D, horizons=HORIZONS):
    """asinh((x_{t+h} - x_ref_t) / D_t), clamped, for h = 1 .. horizons: (series, steps, horizons); values hold
    `horizons` steps more than x_ref
    """
    ahead = values.unfold(1, horizons, 1)[:, 1:]
    bound = math.sinh(LIMIT)
    return torch.asinh(((ahead - x_ref[..., None]) / D[..., None]).clamp(-bound, bound))


def to_values(y, x_ref, D):
    """converts forecasts (..., 9) in asinh space to sorted values; x_ref, D without the last dimension"""
    return torch.sort(x_ref[..., None] + D[..., None] * torch.sinh(y.clamp(-LIMIT, LIMIT)), -1).values
