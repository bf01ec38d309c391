// The generator draws a shape, then disturbs it. The judge sorts all scores and moves one threshold through them.
#include "tests/sensor/synthetic_anomalies.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace coil::test {
namespace {

constexpr size_t kLags = 8;
constexpr double kProbation = 0.15;

size_t probation(size_t records) {
  return std::min<size_t>(static_cast<size_t>(kProbation * static_cast<double>(records)), 750);
}

// The undisturbed series: a smooth or noisy base, a season, sometimes bursts that belong to it.
std::vector<double> base(Random& r, size_t records, size_t season, std::string& kind) {
  std::vector<double> x(records);
  const double smooth = r.pick({0.0, 0.3, 0.8, 0.97}), noise = r.log_uniform(0.02, 1), weekend = r.uniform(0.3, 1);
  const int shape = r.whole(0, 4);
  kind = std::vector<std::string>{"season", "counts", "latency", "walk", "bursts"}[size_t(shape)];
  double ar = 0, walk = 0, burst = 0;
  const double burst_rate = r.log_uniform(0.003, 0.03), sharpness = r.uniform(0.5, 3);
  for (size_t t = 0; t < records; ++t) {
    ar = smooth * ar + std::sqrt(1 - smooth * smooth) * r.normal();
    double s = 0;
    if (season > 0) {
      const double phase = 2 * std::numbers::pi * static_cast<double>(t) / static_cast<double>(season);
      s = std::tanh(sharpness * std::sin(phase)) + 0.3 * std::sin(2 * phase + 1);
      if (t / season % 7 >= 5) s *= weekend;
    }
    switch (shape) {
      case 0:
        x[t] = s + noise * ar;
        break;
      case 1: {
        const double rate = std::exp(1.5 + s + 0.3 * noise * ar);
        x[t] = std::round(std::max(0.0, rate + std::sqrt(rate) * r.normal()));
        break;
      }
      case 2:
        x[t] = std::exp(0.5 * s + 0.6 * noise * ar + 0.3 * r.normal());
        break;
      case 3:
        walk = 0.999 * walk + 0.05 * r.normal();
        x[t] = walk + 0.5 * s + 0.1 * noise * ar;
        break;
      default:
        if (r.chance(burst_rate)) burst += std::exp(0.5 * r.normal()) * 3;
        burst *= 0.6;
        x[t] = burst + 0.3 * s + 0.3 * noise * std::fabs(ar);
    }
  }
  return x;
}

// Adds one anomaly, from `at` on.
void disturb(Random& r, std::vector<double>& x, size_t at, size_t season) {
  const std::vector<double> before(x.begin(), x.begin() + ptrdiff_t(at));
  double mean = 0, steps = 0, spread = 0;
  for (const double v : before) mean += v / static_cast<double>(before.size());
  for (size_t t = 1; t < before.size(); ++t)
    steps += std::fabs(before[t] - before[t - 1]) / static_cast<double>(before.size());
  for (const double v : before) spread += std::fabs(v - mean) / static_cast<double>(before.size());
  const double size =
      (r.chance(0.5) ? std::max(3 * steps, spread) : spread) * r.log_uniform(1.5, 12) * (r.chance(0.65) ? 1 : -1);
  const size_t length = static_cast<size_t>(r.log_uniform(10, static_cast<double>(std::max<size_t>(season, 200)))),
               end = std::min(x.size(), at + length);
  const double held = x[at];
  switch (r.whole(0, 7)) {
    case 0:
    case 1:
      for (size_t t = at; t < std::min(x.size(), at + size_t(r.whole(1, 4))); ++t) x[t] += size;
      break;
    case 2:
      for (size_t t = at; t < (r.chance(0.5) ? x.size() : end); ++t) x[t] += 0.6 * size;
      break;
    case 3:
      for (size_t t = at; t < end; ++t) x[t] += 0.5 * size * r.normal();
      break;
    case 4:
      for (size_t t = at; t < end; ++t) x[t] = held;
      break;
    case 5:
      for (size_t t = at; t < end; ++t) x[t] += size * static_cast<double>(t - at) / static_cast<double>(length);
      break;
    case 6:
      for (size_t t = at; t < end; ++t) x[t] = mean + 0.2 * (x[t] - mean);
      break;
    default:
      for (size_t t = at; t < end; ++t) x[t] = mean + r.uniform(1.5, 3) * (x[t] - mean);
  }
}

}  // namespace

AnomalySeries anomaly_series(uint32_t seed) {
  Random r(seed);
  AnomalySeries series;
  const size_t records = static_cast<size_t>(r.log_uniform(1200, 8000));
  series.season = r.pick<size_t>({0, 24, 48, 96, 288});
  series.values = base(r, records, series.season, series.kind);
  const int count = r.whole(0, 3);
  const size_t begin = static_cast<size_t>(0.2 * static_cast<double>(records)),
               room = (records - begin) / size_t(std::max(1, count));
  const size_t half = count == 0 ? 0 : records / (20 * size_t(count));
  for (int i = 0; i < count; ++i) {
    const size_t at = begin + size_t(i) * room + static_cast<size_t>(r.uniform(0.2, 0.8) * static_cast<double>(room));
    disturb(r, series.values, at, series.season);
    series.windows.emplace_back(at > half ? at - half : 0, std::min(records, at + half));
  }
  const double scale = r.log_uniform(1e-3, 1e6), offset = scale * r.normal() * 3;
  for (double& v : series.values) v = series.kind == "counts" ? v : scale * v + offset;
  return series;
}

struct StandInForecaster::Horizon {
  size_t ahead;
  std::vector<double> weights, covariance;
  double error = 0;
  size_t updates = 0;
};

StandInForecaster::StandInForecaster(size_t season)
    : season_(season), outputs_(sensor::kHorizons * sensor::kQuantiles) {
  const size_t n = kLags + 2;
  for (const size_t ahead : sensor::kScoredHorizons) {
    Horizon& horizon = horizons_.emplace_back(Horizon{ahead, std::vector<double>(n), std::vector<double>(n * n)});
    horizon.weights[1] = 1;
    for (size_t i = 0; i < n; ++i) horizon.covariance[i * n + i] = 1;
  }
}
StandInForecaster::~StandInForecaster() = default;

const std::vector<float>& StandInForecaster::step(double value, const sensor::Normaliser& normaliser) {
  constexpr size_t n = kLags + 2;
  constexpr double kForget = 0.9995;
  constexpr std::array<double, sensor::kQuantiles> kNormal = {-1.2816, -0.8416, -0.5244, -0.2533, 0,
                                                              0.2533,  0.5244,  0.8416,  1.2816};
  past_.push_back(value);
  const double unit = normaliser.spread() + normaliser.scale(), level = normaliser.level();
  // The value known at t for the forecast of t + ahead.
  const auto known = [&](size_t t, size_t ahead) {
    std::array<double, n> u = {};
    u[0] = 1;
    for (size_t i = 0; i < kLags && i <= t; ++i) u[i + 1] = (past_[t - i] - level) / unit;
    if (season_ > 0 && t + ahead >= season_) u[n - 1] = (past_[std::min(t, t + ahead - season_)] - level) / unit;
    return u;
  };
  const size_t now = past_.size() - 1;
  for (Horizon& horizon : horizons_) {
    if (now >= horizon.ahead + kLags) {
      const auto u = known(now - horizon.ahead, horizon.ahead);
      std::array<double, n> pu = {};
      double gain = kForget, expected = 0;
      for (size_t i = 0; i < n; ++i) {
        for (size_t j = 0; j < n; ++j) pu[i] += horizon.covariance[i * n + j] * u[j];
        gain += u[i] * pu[i];
        expected += u[i] * horizon.weights[i];
      }
      const double error = std::clamp((value - level) / unit - expected, -20.0, 20.0), most = 4 * horizon.error + 1e-9;
      const double moderate = horizon.updates < 50 ? error : std::clamp(error, -most, most);
      for (size_t i = 0; i < n; ++i) {
        horizon.weights[i] += pu[i] / gain * moderate;
        for (size_t j = 0; j < n; ++j)
          horizon.covariance[i * n + j] = (horizon.covariance[i * n + j] - pu[i] * pu[j] / gain) / kForget;
      }
      ++horizon.updates;
      horizon.error +=
          (std::fabs(moderate) - horizon.error) * std::max(1.0 / static_cast<double>(horizon.updates), 0.005);
    }
    const auto u = known(now, horizon.ahead);
    double expected = 0;
    for (size_t i = 0; i < n; ++i) expected += u[i] * horizon.weights[i];
    for (size_t q = 0; q < sensor::kQuantiles; ++q) {
      const double forecast = level + unit * (expected + 1.25 * horizon.error * kNormal[q]);
      outputs_[(horizon.ahead - 1) * sensor::kQuantiles + q] =
          static_cast<float>(std::asinh((forecast - normaliser.reference()) / normaliser.scale()));
    }
  }
  return outputs_;
}

std::vector<double> event_evidence(const AnomalySeries& series) {
  sensor::Normaliser normaliser;
  sensor::PendingForecasts forecasts;
  sensor::Detector detector;
  StandInForecaster forecaster(series.season);
  std::vector<double> surprisal;
  for (const double value : series.values) {
    surprisal.push_back(detector.observe(value, forecasts, sensor::LastSeen::of(normaliser)).event);
    normaliser.observe(value);
    forecasts.advance(normaliser, forecaster.step(value, normaliser));
  }
  return surprisal;
}

Judgement judge(const std::vector<Judged>& all, double false_alarm) {
  // All records that can change the sum, in descending order of score. In a window only the first record at a threshold
  // counts.
  struct Point {
    double score;
    size_t series, record;
  };
  std::vector<Point> points;
  Judgement best;
  for (size_t s = 0; s < all.size(); ++s) {
    best.windows += all[s].windows.size();
    for (size_t t = probation(all[s].scores.size()); t < all[s].scores.size(); ++t) {
      if (all[s].scores[t] > 0) points.push_back({all[s].scores[t], s, t});
    }
  }
  std::sort(points.begin(), points.end(), [](const Point& a, const Point& b) { return a.score > b.score; });
  std::vector<std::vector<size_t>> first(all.size());
  for (size_t s = 0; s < all.size(); ++s) first[s].assign(all[s].windows.size(), SIZE_MAX);
  const auto worth_at = [](const std::pair<size_t, size_t>& window, size_t t) {
    const double place = static_cast<double>(t - window.first) / static_cast<double>(window.second - window.first) - 1;
    return 2 / (1 + std::exp(5 * place)) - 1;
  };
  double sum = 0, most = 0;
  size_t found = 0, false_alarms = 0;
  for (size_t i = 0; i < points.size(); ++i) {
    const Point& p = points[i];
    bool inside = false;
    for (size_t w = 0; w < all[p.series].windows.size(); ++w) {
      const auto& window = all[p.series].windows[w];
      if (p.record < window.first || p.record >= window.second) continue;
      inside = true;
      size_t& record = first[p.series][w];
      if (p.record < record) {
        found += record == SIZE_MAX;
        sum += worth_at(window, p.record) - (record == SIZE_MAX ? -1 : worth_at(window, record));
        record = p.record;
      }
    }
    if (!inside) sum -= false_alarm, ++false_alarms;
    if (sum > most && (i + 1 == points.size() || points[i + 1].score < p.score)) {
      most = sum;
      best.threshold = p.score, best.found = found, best.false_alarms = false_alarms;
    }
  }
  best.worth = best.windows == 0 ? 0 : most / (2 * 0.9866 * static_cast<double>(best.windows));
  return best;
}

}  // namespace coil::test
