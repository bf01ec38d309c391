// The floor is measured, not zero, and the sum of its parts.
#include "ssm/measure/roofline.h"

#include <catch2/catch.hpp>

namespace {

using namespace coil::ssm;

TEST_CASE("every target's arithmetic takes time, and its floor is the sum") {
  for (const Target& target : Target::all()) {
    const ArithmeticSpeed speed = measure_arithmetic(target);
    CHECK(speed.mac_ns > 0);
    CHECK(speed.exp_ns > 0);
    CHECK(arithmetic_floor_ns({.macs_per_step = 100, .exps_per_step = 10, .parameters = 7}, speed) ==
          Approx(100 * speed.mac_ns + 10 * speed.exp_ns));
  }
}

TEST_CASE("reading takes time beyond the nearer caches") {
  CHECK(measure_read_ns(0) == 0);
  CHECK(measure_read_ns(1 << 20) == 0);
  CHECK(measure_read_ns(16 << 20) > 0);
}

TEST_CASE("reading and writing takes time, in proportion to the bytes beyond what is probed") {
  CHECK(measure_update_ns(0) == 0);
  CHECK(measure_update_ns(1) > 0);
  CHECK(measure_update_ns(16 << 20) > 0);
}

}  // namespace
