// Distinguishes late records from clock changes; time never goes back, whatever a clock does.
#include "sensor/scoring/clock.h"

#include <catch2/catch.hpp>
#include <vector>

namespace {

using coil::sensor::Clock;
using coil::sensor::Pace;
using Verdict = Clock::Verdict;

constexpr int64_t kMinute = 60'000'000'000, kHour = 60 * kMinute, kYear = 365 * 24 * kHour;
constexpr int64_t kBegin = 1'700'000'000'000'000'000;

// A clock that has seen one record per minute, each with different values.
struct Series {
  Clock clock;
  int64_t now = kBegin;
  uint32_t values = 0;
  Pace pace = {kMinute, true};

  explicit Series(int records = 100) {
    for (int i = 0; i < records; ++i) step(kMinute);
  }
  // The next record, `ahead_ns` after the last one, by a clock that is off by `off_ns`.
  Verdict step(int64_t ahead_ns, int64_t off_ns = 0) {
    now += ahead_ns;
    return clock.read(now + off_ns, ++values, pace, 0);
  }
};

TEST_CASE("a clock that is set back is believed at once, and time goes on") {
  for (const int64_t back : {kHour, 2 * kHour, 24 * kHour, kYear, 50 * kYear}) {
    Series series(5000);
    uint64_t before = series.clock.steady_ns();
    CHECK(series.step(kMinute, -back) == Verdict::set);
    CHECK(series.clock.steady_ns() - before == uint64_t(kMinute));
    for (int i = 0; i < 200; ++i) {
      before = series.clock.steady_ns();
      REQUIRE(series.step(kMinute, -back) == Verdict::on_time);
      REQUIRE(series.clock.steady_ns() - before == uint64_t(kMinute));
    }
  }
}

TEST_CASE("a clock that is set back by any other time is believed at its second record") {
  for (const int64_t back : {5 * kMinute, 10 * kMinute + kMinute / 3, kHour + kMinute / 2}) {
    Series series;
    const uint64_t before = series.clock.steady_ns();
    CHECK(series.step(kMinute, -back) == Verdict::late);
    CHECK(series.step(kMinute, -back) == Verdict::set);
    CHECK(series.clock.steady_ns() - before == uint64_t(2 * kMinute));
    CHECK(series.step(kMinute, -back) == Verdict::on_time);
  }
}

TEST_CASE("a clock fault of some records ends with the first correct one") {
  for (const int64_t off : {-kYear, -kHour, 7 * kHour, kYear, 10 * kYear, 200 * kYear}) {
    for (const int records : {1, 3, 10}) {
      Series series;
      for (int i = 0; i < records; ++i)
        CHECK(series.step(kMinute, off) == (i == 0 && off < 0 ? Verdict::set : Verdict::on_time));
      const uint64_t before = series.clock.steady_ns();
      CHECK(series.step(kMinute) == Verdict::set);
      CHECK(series.clock.steady_ns() - before == uint64_t(kMinute));
      CHECK(series.step(kMinute) == Verdict::on_time);
    }
  }
}

TEST_CASE("records that were missing may arrive later") {
  Series series;
  const int64_t gap = series.now;
  CHECK(series.step(6 * kMinute) == Verdict::on_time);
  CHECK(series.step(kMinute) == Verdict::on_time);
  for (int i = 1; i < 6; ++i)
    CHECK(series.clock.read(gap + i * kMinute, 1000u + uint32_t(i), series.pace, 0) == Verdict::late);
  CHECK(series.step(kMinute) == Verdict::on_time);
}

TEST_CASE("records that are sent again are late, however many") {
  Series series;
  for (uint32_t i = 20; i > 0; --i)
    CHECK(series.clock.read(series.now - i * kMinute, series.values - i, series.pace, 0) == Verdict::late);
  CHECK(series.step(kMinute) == Verdict::on_time);
}

TEST_CASE("one late record changes nothing, whatever its value") {
  Series series;
  const uint64_t before = series.clock.steady_ns();
  CHECK(series.clock.read(series.now - 9 * kMinute, 12345, series.pace, 0) == Verdict::late);
  CHECK(series.step(kMinute) == Verdict::on_time);
  CHECK(series.clock.steady_ns() - before == uint64_t(kMinute));
}

TEST_CASE("a series that comes irregularly: late records are late, a clock set is believed at the third") {
  Series series;
  series.pace.is_regular = false;
  CHECK(series.step(kMinute, -7 * kMinute) == Verdict::late);
  CHECK(series.step(kMinute, -7 * kMinute) == Verdict::late);
  CHECK(series.step(kMinute, -7 * kMinute) == Verdict::set);
  CHECK(series.step(kMinute, -7 * kMinute) == Verdict::on_time);
}

TEST_CASE("records too far ahead are believed once eight agree") {
  Clock clock;
  const Pace pace{kMinute, true};
  for (int i = 0; i < 20; ++i) REQUIRE(clock.read(kBegin + i * kMinute, uint32_t(i), pace, 3600) == Verdict::on_time);
  for (int i = 20; i < 27; ++i)
    CHECK(clock.read(kBegin + i * kMinute + kYear, uint32_t(i), pace, 3600) == Verdict::future);
  CHECK(clock.read(kBegin + 27 * kMinute + kYear, 27, pace, 3600) == Verdict::set);
  CHECK(clock.read(kBegin + 28 * kMinute + kYear, 28, pace, 3600) == Verdict::on_time);
}

TEST_CASE("times at the limits of the range do no harm") {
  for (const Pace pace : {Pace{}, Pace{1, true}, Pace{INT64_MAX / 2, true}, Pace{kMinute, false}}) {
    Clock clock;
    for (const int64_t time :
         {INT64_MAX, INT64_MIN + 1, int64_t{0}, INT64_MAX, INT64_MIN + 1, int64_t{-1}, INT64_MAX, kBegin})
      clock.read(time, 1, pace, 1e300);
    SUCCEED();
  }
}

}  // namespace
