// The constants are fixed on synthetic anomalies (tests/sensor/synthetic_anomalies.cpp) seen by watch_small; one setting for all data.
#include "sensor/detector.h"

#include <algorithm>
#include <cmath>

namespace coil::sensor {
namespace {

constexpr int64_t kWarmUpRecords = 100;
constexpr std::array<double, kScoredHorizons.size()> kWeightOfSurprise = {1, 0.1, 0.3, 0.2};
constexpr double kWeightOfUnrest = 0.25, kWeightOfNovelty = 2;
constexpr double kUnrestRecords = 20;         // that the recent mean looks back over
constexpr double kMostUnrest = 6;             // decades that one record adds to it at most
constexpr double kMostEvidence = 20;          // decades of one kind
constexpr double kMostExcess = 3;             // of a new extreme, in logarithms
constexpr double kRefractoryRecords = 1000;   // until a third of a reported event is left
constexpr double kShareOfLast = 0.3;          // of what is left of a report is no news in the next
constexpr double kStep = 0.1;                 // what exceeds a report by this share counts in full

// Surprises have heavy tails where a forecaster is not right about a series; their logarithms fall off about exponentially.
double compressed(double decades) { return std::log1p(decades); }

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
  const double excess = std::min(std::log1p(out / std::max(range, 1e-300)), kMostExcess);
  // Of independent numbers 2 / n set a new extreme, and exceed the last by about range / (2 log n).
  const double rate = (novelties_ + 1) / (n + 1), mean_excess = (novelty_excess_ + 2 / (2 * std::log(n + 2))) / (novelties_ + 2);
  novelties_ += 1;
  novelty_excess_ += std::min(excess, 1.0);
  lowest_ = std::min(lowest_, value), highest_ = std::max(highest_, value);
  return std::max(0.0, -std::log10(rate) + excess / mean_excess / std::log(10.0));
}

// High at the onset, nothing while the event lasts: the report fades, and only what is more unusual than what is left of it is news. All of it moves
// steadily with the evidence, so that rounding does not decide what is reported.
double Detector::event_decades(double evidence) noexcept {
  const double left = reported_decades_;
  reported_decades_ = std::max(evidence, left) * std::exp(-1 / kRefractoryRecords);
  if (evidence <= left) return 0;
  return (evidence - kShareOfLast * left) * std::min(1.0, (evidence - left) / std::max(kStep * left, 1e-9));
}

Assessment Detector::observe(double value, const PendingForecasts& forecasts) noexcept {
  Assessment assessment;
  const auto calibrated = [&](size_t which, double decades) {
    const double rarity = std::min(calibrators_[which].decades(decades), kMostEvidence);
    calibrators_[which].add(decades);
    return rarity;
  };
  for (size_t which = 0; which < kScoredHorizons.size(); ++which) {
    const QuantileForecast& forecast = forecasts.due(which);
    const double surprise = forecast.exists() ? forecast.surprise_decades(value) : 0;
    if (which == 0) unrest_ += (std::min(surprise, kMostUnrest) - unrest_) / kUnrestRecords;
    assessment.evidence_decades += kWeightOfSurprise[which] * calibrated(which, compressed(surprise));
  }
  assessment.evidence_decades += kWeightOfUnrest * calibrated(kScoredHorizons.size(), unrest_);
  assessment.evidence_decades += kWeightOfNovelty * compressed(novelty_decades(value));
  ++observed_;
  if (observed_ <= kWarmUpRecords) return {};
  assessment.warming_up = false;
  assessment.event_decades = event_decades(assessment.evidence_decades);
  return assessment;
}

}  // namespace coil::sensor
