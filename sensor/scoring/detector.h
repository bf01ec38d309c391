// The anomaly score of one series: how unusual the latest value is for this series, reported once per event.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>

#include "sensor/scoring/calendar.h"
#include "sensor/scoring/explanation.h"
#include "sensor/scoring/forecast.h"
#include "sensor/scoring/normaliser.h"
#include "sensor/scoring/novelty.h"
#include "sensor/scoring/tail_calibrator.h"

namespace coil::sensor {

// The mean of recent numbers: of all, until there are as many as the window. A gap longer than a share of the window
// restarts it, because values before and after the gap do not belong together. Plain data.
class RecentMean {
 public:
  double add(double number, double window) noexcept {
    ++count_;
    return mean_ += (number - mean_) * std::max(1 / window, 1 / static_cast<double>(count_));
  }
  // A gap of `steps` steps. [any thread]
  void pass(double steps, double window) noexcept {
    if (steps > kGapShare * window) count_ = 0;
  }
  double mean() const noexcept { return mean_; }
  int64_t count() const noexcept { return count_; }

  // All fields to save in state files.
  template <class Fields>
  void visit(Fields&& fields) {
    fields(count_, mean_);
  }

 private:
  static constexpr double kGapShare = 0.25;

  int64_t count_ = 0;
  double mean_ = 0;
};

// What the past of a series says about its next value: the last value, and the typical distance between values. Plain
// data.
struct LastSeen {
  double value = 0, usual_step = 0;
  bool is_known = false;  // two values were seen
  double standstill = 0;  // surprisal: the value has not changed since, of a series that hardly ever repeats a value

  static LastSeen of(const Normaliser& normaliser) noexcept {
    return {normaliser.reference(), std::max(normaliser.step() + 1e-3 * normaliser.spread(), 1e-300),
            normaliser.observed() >= 2};
  }
};

// A value after a gap, or one of those that follow it.
struct Return {
  double gap_steps = 0;  // since the last value; 0: there was no gap
  double surprisal = 0;  // under the forecast over the gap: of the value, or of the mean of all values since the gap
};

// When a value came, and what its series showed at such times before.
struct Occasion {
  Calendar* calendar = nullptr;  // null: the time is not known
  int64_t time_ns = 0;
};

struct Assessment {
  double evidence = 0;     // how unusual the record is, as surprisal
  double event = 0;        // the same, but 0 if it adds nothing to what was reported
  bool warming_up = true;  // too few records so far: both are 0
  Explanation why;         // if the event has a score
};

// A score from 0 to 1 that rises with the evidence. At 0.5 an alarm is worth it if a missed anomaly costs as much as
// five false alarms. On the synthetic series that the detector was fitted on, that gave one false alarm in about 1,000
// records.
inline constexpr double kEvidenceOfAlarm = 2.6,
                        kLeastEvidence = 0.1;  // surprisal: below it the score is 0
inline double score_of(double evidence) noexcept {
  const double of_alarm = std::max(0.0, evidence - kLeastEvidence) / (kEvidenceOfAlarm - kLeastEvidence),
               cube = of_alarm * of_alarm * of_alarm;
  return cube / (cube + 1);
}

// Plain data: copying its bytes copies its whole memory. One thread at a time.
class Detector {
 public:
  // The kinds of evidence, each as surprisal: -log10 of its probability (2: as rare as one record in a hundred of this
  // series).
  enum Kind : size_t {
    kSurprise,      // under the forecast made one step ago
    kLeap,          // distance from the last value
    kBias,          // recent values on one side of the forecasts made four steps ago
    kRange,         // beyond all earlier values
    kLevel,         // a short mean beyond all earlier short means
    kActivity,      // recent steps larger or smaller than ever before, or none at all
    kSlowActivity,  // the same over a longer time
    kUnrest,        // recent surprises larger or smaller than ever before
    kKinds
  };
  using Evidence = std::array<double, kKinds>;
  static constexpr Evidence kWeights = {0.6, 0.6, 0.6, 1, 0.8, 1, 0.8, 0.5};

  // A finite value. Call it before `forecasts` advance. `before`: from the normaliser, also before this value. `back`:
  // for a value after a gap. [any thread]
  Assessment observe(double value, const PendingForecasts& forecasts, const LastSeen& before, const Return& back = {},
                     const Occasion& occasion = {}) noexcept {
    const Evidence evidence = measure(value, forecasts, before, back);
    Assessment assessment = assess(evidence, occasion);
    if (assessment.event > kLeastEvidence) assessment.why = explain(evidence, value, before);
    return assessment;
  }
  // The two halves of observe(). [any thread]
  Evidence measure(double value, const PendingForecasts& forecasts, const LastSeen& before,
                   const Return& back = {}) noexcept;
  Assessment assess(const Evidence& evidence, const Occasion& occasion = {}) noexcept;

  // All fields to save in state files.
  template <class Fields>
  void visit(Fields&& fields) {
    fields(observed_, recovery_, recovering_, reported_, surprises_, leaps_, biases_, bias_, level_, activity_,
           slow_activity_, unrest_, range_, levels_, activities_, slow_activities_, unrests_);
  }

 private:
  double trust(const Return& back) noexcept;
  static double share_of_news(double jump, const Occasion& occasion) noexcept;
  Explanation explain(const Evidence& evidence, double value, const LastSeen& before) const noexcept;

  int64_t observed_ = 0;
  int32_t recovery_ = 0, recovering_ = 0;  // records that the model needs to recover after a gap, and how many of them
                                           // remain
  double reported_ = 0;                    // the decayed last reports
  TailCalibrator surprises_, leaps_, biases_;
  RecentMean bias_, level_, activity_, slow_activity_, unrest_;
  Novelty range_, levels_, activities_, slow_activities_, unrests_;
};

}  // namespace coil::sensor
