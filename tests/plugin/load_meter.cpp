// The load: median and worst, without the interruptions of the system.
#include "plugin/load_meter.h"

#include <catch2/catch.hpp>

namespace {

using coil::plugin::LoadMeter;

TEST_CASE("the load is the median of the blocks, and one interrupted block is not the plugin's own time") {
  LoadMeter meter;
  const auto play = [&](int blocks, int heavy_every, double heavy) {
    for (int i = 0; i < blocks; ++i)
      meter.add(heavy_every > 0 && i % heavy_every == heavy_every - 1 ? heavy : 0.02, 0.1);
  };
  CHECK(meter.median() == 0);
  play(128, 0, 0);
  CHECK(meter.median() == Approx(0.2));
  CHECK(meter.worst() == Approx(0.2));
  play(128, 128, 0.09);  // a single interruption
  CHECK(meter.worst() == Approx(0.2));
  play(128, 4, 0.05);  // several
  CHECK(meter.worst() == Approx(0.5));
  CHECK(meter.median() == Approx(0.2));
  meter.reset();
  play(128, 0, 0);
  CHECK(meter.worst() == Approx(0.2));
}

TEST_CASE("long blocks are shown soon") {
  LoadMeter meter;
  for (int i = 0; i < 8; ++i) meter.add(0.01, 0.1);
  CHECK(meter.median() == Approx(0.1));
}

}  // namespace
