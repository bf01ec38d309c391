// Series with anomalies at known positions, a replacement for the model, and a judge of scores.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "sensor/scoring/detector.h"
#include "tests/support/random_network.h"

namespace coil::test {

struct AnomalySeries {
  std::string kind;
  size_t season = 0;  // records; 0: none
  std::vector<double> values;
  std::vector<std::pair<size_t, size_t>> windows;  // [begin, end) around each anomaly
};

// Loads, latencies, counts, temperatures, traffic: with or without seasons, noisy or smooth, with zero to three
// anomalies after the first 15 %.
AnomalySeries anomaly_series(uint32_t seed);

// Forecasts like a model that knows the season: recursive least squares over lags, one for each scored horizon.
class StandInForecaster {
 public:
  explicit StandInForecaster(size_t season);
  ~StandInForecaster();
  // Outputs in a model's form, (kHorizons, kQuantiles), filled only at the scored horizons.
  const std::vector<float>& step(double value, const sensor::Normaliser& normaliser);

 private:
  struct Horizon;
  size_t season_;
  std::vector<double> past_;
  std::vector<Horizon> horizons_;
  std::vector<float> outputs_;
};

// The event score of each record.
std::vector<double> event_evidence(const AnomalySeries& series);

// Scores of one series, and the positions of its anomalies.
struct Judged {
  std::vector<double> scores;
  std::vector<std::pair<size_t, size_t>> windows;
};

// The result at the best common threshold. Each window is worth 1 (at its start) to 0 (at its end) plus 1 if a record
// in it reaches the threshold. Records outside that reach it cost `false_alarm`. The first 15 % (at most 750 records)
// do not count. 1: perfect, 0: no alarm at all.
struct Judgement {
  double worth = 0, threshold = 0;
  size_t found = 0, windows = 0, false_alarms = 0;
};
Judgement judge(const std::vector<Judged>& all, double false_alarm = 0.11);

}  // namespace coil::test
