"""Baselines for the forecasters: seasonal naive, exponential smoothing chosen by its information criterion, and an
online autoregression. Each computes quantiles (horizon, 9) from a history, which may have gaps."""
import numpy as np

# of the standard normal distribution at 0.1 .. 0.9
NORMAL = np.array([-1.2815516, -0.8416212, -0.5244005, -0.2533471, 0.0, 0.2533471, 0.5244005, 0.8416212, 1.2815516])


def filled(history):
    """fills gaps with the previous value"""
    at = np.maximum.accumulate(np.where(np.isfinite(history), np.arange(len(history)), -1))
    first = np.flatnonzero(np.isfinite(history))[0]
    return history[np.where(at < 0, first, at)]


def seasonal_naive(history, horizon, season):
    """repeats the last season; the spread comes from past seasonal differences"""
    x = filled(history)
    season = season if len(x) > season else 1
    ahead = np.arange(horizon)
    spread = np.std(x[season:] - x[:-season]) * np.sqrt(ahead // season + 1)
    return x[-season:][ahead % season][:, None] + spread[:, None] * NORMAL


def auto_ets(history, horizon, season, longest=400):
    """statsforecast's AutoETS on at most the last `longest` values"""
    from statsforecast.models import AutoETS

    x = filled(history)[-longest:]
    # its seasonal models end at 24 steps
    made = AutoETS(season_length=season if season <= 24 else 1).forecast(
        y=x.astype(np.float64), h=horizon, level=[20, 40, 60, 80]
    )
    columns = [f"lo-{l}" for l in (80, 60, 40, 20)] + ["mean"] + [f"hi-{l}" for l in (20, 40, 60, 80)]
    return np.stack([made[c] for c in columns], 1)


class OnlineAutoregression:
    """Recursive least squares over the last 24 values and those one season ago, with one update per step; forecasts
    iterate it.

    """

    LAGS, KEPT = 24, 0.9995

    def __init__(self, season):
        around = [season - 1, season, season + 1] if season > 1 else []
        self.lags = np.array(sorted(set(range(1, self.LAGS + 1)) | {l for l in around if l > 0}))
        self.weights = np.zeros(len(self.lags) + 1)
        self.weights[1] = 1.0  # initially, the forecast is the last value
        self.P = np.eye(len(self.weights)) * 10.0
        self.x, self.variance, self.seen, self.scale, self.offset = [], 0.0, 0, 0.0, 0.0

    def _row(self, x):
        return np.concatenate(([1.0], x[-self.lags]))

    def step(self, value):
        if not self.x:
            self.offset = value
        self.scale = max(self.scale, abs(value - self.offset))
        if len(self.x) >= self.lags[-1]:
            x = (np.asarray(self.x[-self.lags[-1] :]) - self.offset) / (self.scale or 1.0)
            row = self._row(x)
            error = (value - self.offset) / (self.scale or 1.0) - self.weights @ row
            gain = self.P @ row
            gain /= self.KEPT + row @ gain
            self.weights = self.weights + gain * error
            self.P = (self.P - np.outer(gain, row @ self.P)) / self.KEPT
            self.seen += 1
            self.variance += max(1 / self.seen, 0.005) * ((error * self.scale) ** 2 - self.variance)
        self.x.append(value)

    def forecast(self, horizon):
        if len(self.x) < self.lags[-1]:
            return np.full((horizon, 9), self.x[-1])
        x = (np.asarray(self.x[-self.lags[-1] :]) - self.offset) / (self.scale or 1.0)
        for _ in range(horizon):
            x = np.append(x, np.clip(self.weights @ self._row(x), -10, 10))
        answer = np.zeros(self.lags[-1])
        for h in range(horizon):
            answer = np.append(answer, self.weights[1:] @ answer[-self.lags] if h else 1.0)
        spread = np.sqrt(self.variance * np.cumsum(np.clip(answer[-horizon:], -10, 10) ** 2))
        return (x[-horizon:] * self.scale + self.offset)[:, None] + spread[:, None] * NORMAL


def online_autoregression(values, origins, horizon, season):
    """quantiles (horizon, 9) at each origin"""
    x, model, made = filled(values), OnlineAutoregression(season), []
    for t in range(max(origins) + 1):
        if t in origins:
            made.append(model.forecast(horizon))
        if t < len(x):
            model.step(x[t])
    return made
