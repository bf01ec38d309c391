// The constants are fixed on synthetic anomalies (tests/sensor/synthetic_anomalies.cpp), one setting for all data.
#include "sensor/detector.h"

#include <algorithm>
#include <cmath>

namespace coil::sensor {
namespace {

constexpr int64_t kWarmUpRecords = 100;
constexpr double kUnrestRecords = 10;         // that the recent mean looks back over
constexpr double kMostSurprise = 4;           // decades that one record adds to the unrest at most
constexpr double kSecondEvidence = 0.25;      // weight of what the other evidence says
constexpr double kRefractoryRecords = 200;    // until a reported event is forgotten
constexpr double kRestOfEvent = 0.2;          // of its rarity is what a record scores that continues an event

}  // namespace

// Records of a stationary series set new extremes ever more rarely; how rarely, and how far they then go, is counted.
double Detector::novelty_decades(double value) noexcept {
  if (observed_ == 0) lowest_ = highest_ = value;
  const double range = highest_ - lowest_, n = static_cast<double>(observed_);
  const double out = std::max(value - highest_, lowest_ - value);
  if (!(out > 0) || observed_ < 2) {
    lowest_ = std::min(lowest_, value), highest_ = std::max(highest_, value);
    return 0;
  }
  const double excess = std::log1p(out / std::max(range, 1e-300));
  // Of independent numbers 2 / n set a new extreme, and exceed the last by about range / (2 log n).
  const double rate = (novelties_ + 1) / (n + 1), mean_excess = (novelty_excess_ + 2 / (2 * std::log(n + 2))) / (novelties_ + 2);
  novelties_ += 1;
  novelty_excess_ += std::min(excess, 1.0);
  lowest_ = std::min(lowest_, value), highest_ = std::max(highest_, value);
  return std::max(0.0, -std::log10(rate) + excess / mean_excess / std::log(10.0));
}

// High at the onset, low while the event lasts: the report fades, and only what is rarer than what is left of it is news.
double Detector::event_decades(double rarity) noexcept {
  const double age = static_cast<double>(observed_ - reported_at_);
  const double left = reported_decades_ * std::max(0.0, 1 - age / kRefractoryRecords);
  if (rarity <= left) return kRestOfEvent * rarity;
  const double news = left > 0 ? rarity * (1 - 0.5 * left / rarity) : rarity;
  reported_decades_ = rarity;
  reported_at_ = observed_;
  return news;
}

Assessment Detector::observe(double value, const PendingForecasts& forecasts) noexcept {
  std::array<double, kEvidence> raw = {};
  for (size_t which = 0; which < kScoredHorizons.size(); ++which) {
    const QuantileForecast& forecast = forecasts.due(which);
    if (forecast.exists()) raw[which] = forecast.surprise_decades(value);
  }
  unrest_ += (std::min(raw[0], kMostSurprise) - unrest_) / kUnrestRecords;
  raw[kScoredHorizons.size()] = unrest_;
  raw[kScoredHorizons.size() + 1] = novelty_decades(value);

  double most = 0, sum = 0;
  for (size_t i = 0; i < kEvidence; ++i) {
    const double rarity = evidence_[i].decades(raw[i]);
    evidence_[i].add(raw[i]);
    most = std::max(most, rarity);
    sum += rarity;
  }
  const double whole = most + kSecondEvidence * (sum - most);
  Assessment assessment;
  assessment.rarity_decades = whole_.decades(whole);
  whole_.add(whole);
  ++observed_;
  assessment.warming_up = observed_ <= kWarmUpRecords;
  if (assessment.warming_up) return {0, 0, true};
  assessment.event_decades = event_decades(assessment.rarity_decades);
  return assessment;
}

}  // namespace coil::sensor
