// All constants, including kWeights, were fitted on synthetic anomalies (train/forecast/fit_score.py) with watch_small.
// The same settings apply to all data.
#include "sensor/scoring/detector.h"

#include <algorithm>
#include <cmath>

namespace coil::sensor {
namespace {

constexpr int64_t kWarmUpRecords = 100;
// The windows of the running means, in records.
constexpr double kBiasRecords = 10, kLevelRecords = 5, kActivityRecords = 10, kSlowActivityRecords = 40,
                 kUnrestRecords = 40;
constexpr double kMostBias = 3, kMostUnrest = 6;  // surprisal: the largest contribution of one record to these means
constexpr double kLeastUnrest = 0.01;             // surprisal: smaller values of unrest count as equal
constexpr double kMostEvidence = 20;              // largest surprisal of one kind
constexpr double kRefractoryRecords = 100;        // until a reported event has decayed to a third
constexpr double kMostRecovery = 12;              // largest number of records after a gap in which the model's
                                                  // forecasts count less
constexpr double kScheduled = 1.25;  // evidence up to so many times that of the same time before is no event
constexpr double kStep = 0.1;        // the excess over a decayed report counts in full from this share of it on

// Surprises and leaps have heavy tails; their logarithms decay about exponentially.
double rarity(TailCalibrator& past, double number) {
  const double surprisal = std::min(past.surprisal(number), kMostEvidence);
  past.add(number);
  return surprisal;
}

}  // namespace

// The step across a gap is not a step of the series, and the model's forecasts just after a gap are unreliable. Both
// are left out of the statistics.
Detector::Evidence Detector::measure(double value, const PendingForecasts& forecasts, const LastSeen& before,
                                     const Return& back) noexcept {
  ++observed_;
  const auto mean_of = [&](RecentMean& mean, bool counts, double number, double window) {
    mean.pass(back.gap_steps, window);
    return counts ? mean.add(number, window) : mean.mean();
  };
  // The start of a mean is not representative of the series.
  const auto beyond = [&](Novelty& past, const RecentMean& mean, double window, double number) {
    return static_cast<double>(mean.count()) > 2 * window ? past.observe(number) : 0;
  };
  const bool is_back = back.gap_steps > 0;
  const double trusted = trust(back);
  const QuantileForecast &next = forecasts.due(0), &ahead = forecasts.due(1);
  const double surprise = next.exists() ? trusted * next.surprisal(value) : 0;
  const double bias =
      ahead.exists() ? std::copysign(std::min(ahead.surprisal(value), kMostBias), value - ahead.median()) : 0;
  const double step = observed_ == 1 ? 0 : std::fabs(value - before.value);
  const double unrest = mean_of(unrest_, trusted == 1, std::min(surprise, kMostUnrest), kUnrestRecords);
  // Square roots, so that a calm deviates as much as a storm.
  const double activity = std::sqrt(std::sqrt(mean_of(activity_, !is_back, step, kActivityRecords)));
  const double slow_activity = std::sqrt(std::sqrt(mean_of(slow_activity_, !is_back, step, kSlowActivityRecords)));
  Evidence evidence;
  evidence[kSurprise] = is_back ? back.surprisal : std::max(back.surprisal, rarity(surprises_, std::log1p(surprise)));
  evidence[kLeap] =
      is_back ? back.surprisal
              : std::max(back.surprisal, rarity(leaps_, before.is_known ? std::log1p(step / before.usual_step) : 0));
  evidence[kBias] = rarity(biases_, std::fabs(trusted == 1 ? bias_.add(bias, kBiasRecords) : bias_.mean()));
  evidence[kRange] = range_.observe(value);
  evidence[kLevel] = beyond(levels_, level_, kLevelRecords, mean_of(level_, true, value, kLevelRecords));
  evidence[kActivity] = std::max(beyond(activities_, activity_, kActivityRecords, activity), before.standstill);
  evidence[kSlowActivity] = beyond(slow_activities_, slow_activity_, kSlowActivityRecords, slow_activity);
  evidence[kUnrest] = beyond(unrests_, unrest_, kUnrestRecords, std::log(unrest + kLeastUnrest));
  return evidence;
}

// 0 at the return, then rising to 1; faster after a short gap.
double Detector::trust(const Return& back) noexcept {
  if (back.gap_steps > 0) {
    recovery_ = recovering_ = static_cast<int32_t>(std::clamp(std::round(back.gap_steps) - 1, 1.0, kMostRecovery));
    return 0;
  }
  if (recovering_ == 0) return 1;
  const double recovered = 1 - static_cast<double>(recovering_--) / (recovery_ + 1);
  return recovered * recovered;
}

// A jump that comes at this time again and again is no news. What lies beyond all before is news at any time.
double Detector::share_of_news(double jump, const Occasion& occasion) noexcept {
  if (jump < Calendar::kLeast) return 1;
  const double scheduled = kScheduled * occasion.calendar->scheduled(occasion.time_ns);
  occasion.calendar->add(occasion.time_ns, jump);
  return std::clamp((jump - scheduled) / std::max(kStep * scheduled, 1e-9), 0.0, 1.0);
}

// Evidence is combined as a root sum of squares: one strong kind dominates, and several that agree count more. An event
// is reported at its onset, and again only if it grows beyond the decayed previous report. Everything is a continuous
// function of the evidence, so that rounding errors do not decide what is reported.
Assessment Detector::assess(const Evidence& evidence, const Occasion& occasion) noexcept {
  if (observed_ <= kWarmUpRecords) return {};
  Assessment assessment;
  assessment.warming_up = false;
  double jumps = 0, others = 0;
  for (size_t kind = 0; kind < kKinds; ++kind) {
    const bool is_jump = kind == kSurprise || kind == kLeap || kind == kBias;
    (is_jump ? jumps : others) += kWeights[kind] * kWeights[kind] * evidence[kind] * evidence[kind];
  }
  const double news = occasion.calendar ? share_of_news(std::sqrt(jumps), occasion) : 1;
  const double sum = assessment.evidence = std::sqrt(others + news * news * jumps), left = reported_;
  if (sum > left) assessment.event = sum * std::min(1.0, (sum - left) / std::max(kStep * left, 1e-9));
  reported_ = std::max(sum, left) * std::exp(-1 / kRefractoryRecords);
  return assessment;
}

// The strongest kind of evidence. The value must already be included in the statistics.
Explanation Detector::explain(const Evidence& evidence, double value, const LastSeen& before) const noexcept {
  using Is = Explanation::Kind;
  size_t most = 0;
  for (size_t kind = 1; kind < kKinds; ++kind) {
    if (kWeights[kind] * evidence[kind] > kWeights[most] * evidence[most]) most = kind;
  }
  const auto activity = [&](const Novelty& past, const RecentMean& mean) -> Explanation {
    if (before.standstill == 0 && past.is_high(std::sqrt(std::sqrt(mean.mean())))) return {Is::kUnrest, true};
    return {value == before.value ? Is::kStuck : Is::kCalm, false};
  };
  switch (most) {
    case kSurprise:
    case kLeap:
      return {Is::kJump, value > before.value};
    case kBias:
      return {Is::kDrift, bias_.mean() > 0};
    case kRange:
      return {Is::kLevel, range_.is_high(value)};
    case kLevel:
      return {Is::kShift, levels_.is_high(level_.mean())};
    case kActivity:
      return activity(activities_, activity_);
    case kSlowActivity:
      return activity(slow_activities_, slow_activity_);
    default:
      return unrests_.is_high(std::log(unrest_.mean() + kLeastUnrest)) ? Explanation{Is::kUnrest, true}
                                                                       : Explanation{Is::kCalm, false};
  }
}

}  // namespace coil::sensor
