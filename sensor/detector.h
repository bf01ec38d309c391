// The anomaly score of one series: how rare what just came is among what the series did so far, once for each event.
#pragma once

#include <array>
#include <cstdint>

#include "sensor/forecast.h"
#include "sensor/tail_calibrator.h"

namespace coil::sensor {

// A score of 1 and this many decades are the same: once in 10^8 records. A score of 0.5 is once in 10,000 records of this series.
inline constexpr double kDecadesOfScore = 8;

struct Assessment {
  double rarity_decades = 0;  // how rare the record is
  double event_decades = 0;   // the same, less where it only continues what was reported already
  bool warming_up = true;     // too little was seen: both are 0
};

// Evidence, each in decades and calibrated by the series' own past:
//   surprise  the tail probability under the forecasts made 1, 4, 16 and 64 steps ago
//   unrest    the mean surprise of recent records
//   novelty   how far beyond the range of all before
// Plain data: copying its bytes copies all that it remembers. One thread at a time.
class Detector {
 public:
  // A finite value, before `forecasts` and the normaliser get to know it. [any thread]
  Assessment observe(double value, const PendingForecasts& forecasts) noexcept;

 private:
  double novelty_decades(double value) noexcept;
  double event_decades(double rarity) noexcept;

  static constexpr size_t kEvidence = kScoredHorizons.size() + 2;

  int64_t observed_ = 0;
  double lowest_ = 0, highest_ = 0;
  double unrest_ = 0;            // running mean of the surprise, decades
  double novelties_ = 0, novelty_excess_ = 0;
  double reported_decades_ = 0;  // of the event that lasts
  int64_t reported_at_ = 0;
  std::array<TailCalibrator, kEvidence> evidence_;
  TailCalibrator whole_;
};

}  // namespace coil::sensor
