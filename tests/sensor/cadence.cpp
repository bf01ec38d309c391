// Distinguishes gaps of a regular series from irregular sampling.
#include "sensor/scoring/cadence.h"

#include <catch2/catch.hpp>

#include "tests/support/random_network.h"

namespace {

using namespace coil;
using sensor::Cadence;

TEST_CASE("missing steps of a regular series are counted, whatever its rhythm") {
  for (const double interval_s : {1e-3, 1.0, 60.0, 86400.0}) {
    Cadence cadence;
    for (int t = 0; t < 50; ++t) CHECK(cadence.advance(interval_s).missing == 0);
    for (const int steps : {2, 3, 10, 65}) {
      const Cadence::Passage step = cadence.advance(interval_s * steps);
      CHECK(step.missing == steps - 1);
      CHECK(step.interval == 0);
      CHECK_FALSE(step.long_gap);
      for (int t = 0; t < 20; ++t) cadence.advance(interval_s);
    }
    const Cadence::Passage step = cadence.advance(interval_s * 1000);
    CHECK(step.missing == 0);
    CHECK(step.long_gap);
    CHECK(step.interval == 3);
    CHECK(cadence.advance(interval_s).interval == 0);
    CHECK(cadence.typical_interval_s() == Approx(interval_s).epsilon(0.01));
  }
}

TEST_CASE("jitter does not count as a gap, and lost records do not hide the rhythm") {
  test::Random random(1);
  Cadence cadence;
  for (int t = 0; t < 500; ++t) {
    const int lost = t > 10 && random.chance(0.05) ? random.whole(1, 3) : 0;
    CHECK(cadence.advance(10 * (1 + lost) + random.uniform(-0.4, 0.4)).missing == lost);
  }
}

TEST_CASE("random intervals do not count as gaps: the model gets the length of each") {
  test::Random random(2);
  Cadence cadence;
  int filled = 0;
  double largest = 0;
  for (int t = 0; t < 1000; ++t) {
    const Cadence::Passage step = cadence.advance(-std::log(random.uniform(1e-9, 1)));
    filled += step.missing > 0;
    largest = std::max(largest, std::fabs(static_cast<double>(step.interval)));
  }
  CHECK(filled < 10);
  CHECK(largest > 1);
  CHECK(largest <= 3);
}

TEST_CASE("unknown or constant times are ignored") {
  Cadence cadence;
  for (const double interval_s : {0.0, -5.0, std::nan("")}) {
    const Cadence::Passage step = cadence.advance(interval_s);
    CHECK((step.missing == 0 && step.interval == 0 && !step.long_gap));
  }
}

}  // namespace
