// The anomaly score of one series: how unusual what just came is for this series, once for each event.
#pragma once

#include <array>
#include <cstdint>

#include "sensor/forecast.h"
#include "sensor/tail_calibrator.h"

namespace coil::sensor {

struct Assessment {
  double evidence_decades = 0;  // how unusual the record is
  double event_decades = 0;     // the same, less what was reported of this event already
  bool warming_up = true;       // too little was seen: both are 0
};

// From 0 to 1, rising with the evidence. 0.5: evidence that makes an alarm worth it where a missed anomaly costs as much as five false alarms; on the
// synthetic series that the detector was fixed on that gave one false alarm in about 2,000 records.
inline constexpr double kEvidenceOfAlarm = 3.5;
inline double score_of(double decades) noexcept { return decades <= 0 ? 0 : decades / (decades + kEvidenceOfAlarm); }

// Evidence, in decades (2: as rare as one record in a hundred of this series), added up with weights:
//   surprise  tail probability under the forecasts made 1, 4, 16 and 64 steps ago, calibrated by the series' own past
//   unrest    mean surprise of recent records, calibrated likewise
//   novelty   how far beyond the range of all before, calibrated by how often and how far the series left its range
// Plain data: copying its bytes copies all that it remembers. One thread at a time.
class Detector {
 public:
  // A finite value, before `forecasts` and the normaliser get to know it. [any thread]
  Assessment observe(double value, const PendingForecasts& forecasts) noexcept;

 private:
  double novelty_decades(double value) noexcept;
  double event_decades(double evidence) noexcept;

  static constexpr size_t kCalibrated = kScoredHorizons.size() + 1;  // surprises, unrest

  int64_t observed_ = 0;
  double lowest_ = 0, highest_ = 0;
  double unrest_ = 0;            // running mean of the surprise, decades
  double novelties_ = 0, novelty_excess_ = 0;
  double reported_decades_ = 0;  // what is left of the last events
  std::array<TailCalibrator, kCalibrated> calibrators_;
};

}  // namespace coil::sensor
