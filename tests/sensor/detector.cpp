// The anomaly score on synthetic series whose anomalies are known.
#include "sensor/scoring/detector.h"

#include <catch2/catch.hpp>

#include "tests/sensor/synthetic_anomalies.h"

namespace {

using namespace coil;

std::vector<test::Judged> scored(uint32_t first, uint32_t count) {
  std::vector<test::Judged> all;
  for (uint32_t seed = first; seed < first + count; ++seed) {
    const test::AnomalySeries series = test::anomaly_series(seed);
    all.push_back({test::event_evidence(series), series.windows});
  }
  return all;
}

TEST_CASE("the score finds anomalies that were not used to fit it") {
  const test::Judgement judgement = test::judge(scored(5000, 60));
  INFO("worth " << judgement.worth << ", found " << judgement.found << " of " << judgement.windows << ", false alarms "
                << judgement.false_alarms << ", threshold " << judgement.threshold << " of surprisal");
  CHECK(judgement.worth > 0.45);
}

}  // namespace
