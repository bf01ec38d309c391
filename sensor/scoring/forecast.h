// A forecast as quantiles, the surprisal of a value under it, and the pending forecasts of a series.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <span>
#include <vector>

#include "sensor/scoring/normaliser.h"

namespace coil::sensor {

inline constexpr size_t kHorizons = 64;   // steps ahead: 1 to kHorizons
inline constexpr size_t kQuantiles = 9;   // 0.1, 0.2 ... 0.9
inline constexpr float kAsinhLimit = 20;  // larger arguments would overflow float32's exponential

// Prefetches these bytes.
inline void fetch_ahead(const void* data, size_t bytes) noexcept {
  constexpr size_t kLine = 64;
  for (size_t at = 0; at < bytes; at += kLine) __builtin_prefetch(static_cast<const char*>(data) + at);
  __builtin_prefetch(static_cast<const char*>(data) + bytes - 1);
}

// The quantiles of one horizon in asinh space: value = reference + scale * sinh(quantile). Plain data.
struct QuantileForecast {
  double reference = 0;
  float scale = 0;  // 0: no forecast
  std::array<float, kQuantiles> quantiles = {};

  // All fields to save in state files.
  template <class Fields>
  void visit(Fields&& fields) {
    fields(reference, scale, quantiles);
  }

  // `outputs`: the model's outputs for this horizon, in any order.
  static QuantileForecast of(const Normaliser& normaliser, std::span<const float, kQuantiles> outputs) noexcept {
    QuantileForecast forecast;
    forecast.reference = normaliser.reference();
    forecast.scale = std::max(static_cast<float>(normaliser.scale()), 1e-30f);
    for (size_t i = 0; i < kQuantiles; ++i) forecast.quantiles[i] = std::clamp(outputs[i], -kAsinhLimit, kAsinhLimit);
    if (!std::is_sorted(forecast.quantiles.begin(), forecast.quantiles.end()))
      std::sort(forecast.quantiles.begin(), forecast.quantiles.end());
    return forecast;
  }

  bool exists() const noexcept { return scale > 0; }
  double value(size_t quantile) const noexcept {
    return reference + scale * std::sinh(static_cast<double>(quantiles[quantile]));
  }
  double median() const noexcept { return value(kQuantiles / 2); }
  double low() const noexcept { return value(0); }
  double high() const noexcept { return value(kQuantiles - 1); }

  // -log10 of twice the probability of the smaller tail at this value; 0 at the median. The distribution is linear
  // between the quantiles in asinh space. Beyond them it is exponential, which is a power law in values.
  double surprisal(double value) const noexcept {
    const double at = std::clamp(std::asinh((value - reference) / scale), -1.5 * kAsinhLimit, 1.5 * kAsinhLimit);
    const double middle = quantiles[kQuantiles / 2];
    const bool above = at > middle;
    // Distances increase away from the median.
    const auto distance = [&](size_t i) {
      return above ? quantiles[kQuantiles / 2 + i] - middle : middle - quantiles[kQuantiles / 2 - i];
    };
    const double out = std::fabs(at - middle);
    constexpr size_t kLast = kQuantiles / 2;
    for (size_t i = 1; i <= kLast; ++i) {
      const double outer = distance(i), inner = i == 1 ? 0.0 : distance(i - 1);
      if (out > outer || !(outer > inner)) continue;
      const double tail = 0.5 - 0.1 * (static_cast<double>(i - 1) + (out - inner) / (outer - inner));
      return -std::log10(2 * tail);
    }
    if (out <= distance(kLast)) return 0;
    // From the outermost two quantiles. A model may put them too close together by mistake, hence the lower bound.
    const double decay = std::max(
        {(distance(kLast) - distance(kLast - 1)) / std::log(2.0), 0.6 * distance(kLast) / std::log(5.0), kNarrowest});
    return -std::log10(0.2) + (out - distance(kLast)) / decay / std::log(10.0);
  }

 private:
  static constexpr double kNarrowest = 0.01;  // relative to the scale: a narrower forecast is not believed
};

// The horizons at which values are compared with forecasts.
inline constexpr std::array<size_t, 2> kScoredHorizons = {1, 4};

// Which horizons the outputs of a step contain: rows of kQuantiles, one per horizon, nearest first.
class HorizonRows {
 public:
  // The scored horizons and these, from 1 to kHorizons.
  explicit HorizonRows(std::span<const size_t> horizons) {
    std::array<bool, kHorizons> wanted = {};
    for (const size_t horizon : kScoredHorizons) wanted[horizon - 1] = true;
    for (const size_t horizon : horizons) wanted[horizon - 1] = true;
    for (size_t i = 0; i < kHorizons; ++i) rows_[i] = wanted[i] ? count_++ : kHorizons;
  }
  // All outputs of a model.
  static const HorizonRows& all() {
    static const HorizonRows kAll = [] {
      std::array<size_t, kHorizons> horizons;
      for (size_t i = 0; i < kHorizons; ++i) horizons[i] = i + 1;
      return HorizonRows(horizons);
    }();
    return kAll;
  }

  // Floats per step.
  size_t width() const noexcept { return count_ * kQuantiles; }
  // Indices of these outputs among all of the model's.
  std::vector<uint32_t> outputs() const {
    std::vector<uint32_t> numbers;
    for (size_t i = 0; i < kHorizons; ++i) {
      for (size_t q = 0; rows_[i] < kHorizons && q < kQuantiles; ++q)
        numbers.push_back(static_cast<uint32_t>(i * kQuantiles + q));
    }
    return numbers;
  }
  std::span<const float, kQuantiles> row(std::span<const float> outputs, size_t horizon) const noexcept {
    return std::span<const float, kQuantiles>(outputs.data() + rows_[horizon - 1] * kQuantiles, kQuantiles);
  }

 private:
  size_t count_ = 0;
  std::array<size_t, kHorizons> rows_;  // kHorizons: not included
};

// Pending forecasts, in one ring per scored horizon. Plain data.
class PendingForecasts {
 public:
  // The forecast for the current step, made kScoredHorizons[which] steps ago.
  const QuantileForecast& due(size_t which) const noexcept { return rings_[place(which)]; }

  // Stores the model's outputs of this step and moves to the next step.
  void advance(const Normaliser& normaliser, std::span<const float> outputs,
               const HorizonRows& rows = HorizonRows::all()) noexcept {
    for (size_t which = 0; which < kScoredHorizons.size(); ++which) {
      if (normaliser.observed() < 2) break;  // no scale yet
      rings_[place(which)] = QuantileForecast::of(normaliser, rows.row(outputs, kScoredHorizons[which]));
    }
    ++step_;
  }

  // Prefetches the entries that are due and those that will be overwritten. [any thread]
  void prefetch() const noexcept {
    for (size_t which = 0; which < kScoredHorizons.size(); ++which) fetch_ahead(&due(which), sizeof(QuantileForecast));
  }

  // After a gap of unknown length, all pending forecasts are invalid.
  void forget() noexcept { rings_.fill({}); }

  // All fields to save in state files.
  template <class Fields>
  void visit(Fields&& fields) {
    fields(step_, rings_);
  }

 private:
  size_t place(size_t which) const noexcept {
    size_t begin = 0;
    for (size_t i = 0; i < which; ++i) begin += kScoredHorizons[i];
    return begin + step_ % kScoredHorizons[which];
  }

  uint64_t step_ = 0;
  std::array<QuantileForecast, std::accumulate(kScoredHorizons.begin(), kScoredHorizons.end(), size_t{0})> rings_ = {};
};

}  // namespace coil::sensor
