// The anomaly score of one series: how unusual what just came is for this series, once for each event.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>

#include "sensor/scoring/explanation.h"
#include "sensor/scoring/forecast.h"
#include "sensor/scoring/normaliser.h"
#include "sensor/scoring/novelty.h"
#include "sensor/scoring/tail_calibrator.h"

namespace coil::sensor {

// Mean of the recent numbers, of all while they are fewer than the window. A gap of a share of the window begins it
// anew: what lies on both of its sides never lay together. Plain data.
class RecentMean {
 public:
  double add(double number, double window) noexcept {
    ++count_;
    return mean_ += (number - mean_) * std::max(1 / window, 1 / static_cast<double>(count_));
  }
  // A gap of so many steps. [any thread]
  void pass(double steps, double window) noexcept {
    if (steps > kGapShare * window) count_ = 0;
  }
  double mean() const noexcept { return mean_; }
  int64_t count() const noexcept { return count_; }

  // Everything that is remembered, for state files.
  template <class Fields>
  void visit(Fields&& fields) {
    fields(count_, mean_);
  }

 private:
  static constexpr double kGapShare = 0.25;

  int64_t count_ = 0;
  double mean_ = 0;
};

// What a series' past says of its next value: the last one, and how far apart values usually are. Plain data.
struct LastSeen {
  double value = 0, usual_step = 0;
  bool is_known = false;  // two values were seen

  static LastSeen of(const Normaliser& normaliser) noexcept {
    return {normaliser.reference(), std::max(normaliser.step() + 1e-3 * normaliser.spread(), 1e-300),
            normaliser.observed() >= 2};
  }
};

// How a series comes back.
struct Return {
  double gap_steps = 0;  // from the last value on; 0: there was no gap
  double surprisal = 0;  // how unusual the value is where the series should be by now
};

struct Assessment {
  double evidence = 0;     // how unusual the record is, as surprisal
  double event = 0;        // the same, but nothing where it is no news after what was reported
  bool warming_up = true;  // too little was seen: both are 0
  Explanation why;         // of an event that is worth a score
};

// From 0 to 1, rising with the evidence. 0.5: an alarm is worth it where a missed anomaly costs as much as five false
// alarms; on the made-up series that the detector was fixed on that gave one false alarm in about 1,000 records.
inline constexpr double kEvidenceOfAlarm = 2.6,
                        kLeastEvidence = 0.1;  // surprisal; with less a record is not unusual at all
inline double score_of(double evidence) noexcept {
  const double of_alarm = std::max(0.0, evidence - kLeastEvidence) / (kEvidenceOfAlarm - kLeastEvidence),
               cube = of_alarm * of_alarm * of_alarm;
  return cube / (cube + 1);
}

// Plain data: copying its bytes copies all that it remembers. One thread at a time.
class Detector {
 public:
  // What can be unusual about a record, each as surprisal: -log10 of its probability (2: as rare
  // as one record in a hundred of this series).
  enum Kind : size_t {
    kSurprise,      // under the forecast made one step ago
    kLeap,          // distance from the last value
    kBias,          // recent values on one side of what was forecast four steps ahead
    kRange,         // beyond all values before
    kLevel,         // a short mean beyond all such means before
    kActivity,      // recent steps larger or smaller than any before
    kSlowActivity,  // the same over a longer time
    kUnrest,        // recent surprises larger or smaller than any before
    kKinds
  };
  using Evidence = std::array<double, kKinds>;
  static constexpr Evidence kWeights = {0.6, 0.6, 0.6, 1, 0.8, 1, 0.8, 0.5};

  // A finite value, before `forecasts` get to know it; `before`: of the normaliser, likewise; of a value after a gap
  // also where it comes back to. [any thread]
  Assessment observe(double value, const PendingForecasts& forecasts, const LastSeen& before,
                     const Return& back = {}) noexcept {
    const Evidence evidence = measure(value, forecasts, before, back);
    Assessment assessment = assess(evidence);
    if (assessment.event > kLeastEvidence) assessment.why = explain(evidence, value, before);
    return assessment;
  }
  // The two halves of observe(). [any thread]
  Evidence measure(double value, const PendingForecasts& forecasts, const LastSeen& before,
                   const Return& back = {}) noexcept;
  Assessment assess(const Evidence& evidence) noexcept;

  // Everything that is remembered, for state files.
  template <class Fields>
  void visit(Fields&& fields) {
    fields(observed_, recovery_, recovering_, reported_, surprises_, leaps_, biases_, bias_, level_, activity_,
           slow_activity_, unrest_, range_, levels_, activities_, slow_activities_, unrests_);
  }

 private:
  double trust(const Return& back) noexcept;
  Explanation explain(const Evidence& evidence, double value, const LastSeen& before) const noexcept;

  int64_t observed_ = 0;
  int32_t recovery_ = 0, recovering_ = 0;  // records that the model needs after a gap, and those of them still to come
  double reported_ = 0;                    // what is left of the last events
  TailCalibrator surprises_, leaps_, biases_;
  RecentMean bias_, level_, activity_, slow_activity_, unrest_;
  Novelty range_, levels_, activities_, slow_activities_, unrests_;
};

}  // namespace coil::sensor
