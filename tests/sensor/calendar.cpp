// What comes at the same time again and again is known to the calendar; what comes by chance is not.
#include "sensor/scoring/calendar.h"

#include <catch2/catch.hpp>

#include "tests/support/random_network.h"

namespace {

using coil::sensor::Calendar;

constexpr int64_t kMinute = 60'000'000'000, kHour = 60 * kMinute, kDay = 24 * kHour;

TEST_CASE("what comes on three of seven days is scheduled for its time of the day") {
  for (const int64_t start : {int64_t(0), -40 * kDay, 20'000 * kDay}) {
    Calendar calendar;
    const auto at = [&](int64_t day, int64_t hour) { return start + day * kDay + hour * kHour; };
    CHECK(calendar.scheduled(at(0, 6)) == 0);
    for (const int day : {0, 1}) calendar.add(at(day, 6), 3);
    CHECK(calendar.scheduled(at(2, 6)) == 0);
    calendar.add(at(2, 6) + 20 * kMinute, 4);
    calendar.add(at(2, 6) + 25 * kMinute, 2);  // the highest counts
    CHECK(calendar.scheduled(at(3, 6)) == Approx(3));
    CHECK(calendar.scheduled(at(3, 6) + 50 * kMinute) == Approx(3));
    CHECK(calendar.scheduled(at(3, 8)) == 0);
    CHECK(calendar.scheduled(at(7, 6)) == Approx(3));
    CHECK(calendar.scheduled(at(8, 6)) == 0);  // two are left
    CHECK(calendar.scheduled(at(40, 6)) == 0);
  }
}

TEST_CASE("what is larger on one weekday is scheduled for it, twice confirmed") {
  Calendar calendar;
  const auto monday = [](int64_t week) { return week * 7 * kDay + 6 * kHour; };
  calendar.add(monday(0), 5);
  CHECK(calendar.scheduled(monday(1)) == 0);
  calendar.add(monday(1), 6);
  CHECK(calendar.scheduled(monday(2)) == Approx(5));
  CHECK(calendar.scheduled(monday(2) + kDay) == 0);

  Calendar daily;
  daily.add(monday(0), 5);
  for (int day = 1; day < 5; ++day) daily.add(monday(0) + day * kDay, 2);
  CHECK(daily.scheduled(monday(1)) == Approx(4));
  CHECK(daily.scheduled(monday(0) + 5 * kDay) == Approx(2));
}

TEST_CASE("what comes by chance, or all the time, is not scheduled") {
  coil::test::Random random(1);
  Calendar rare, always;
  int found = 0;
  for (int64_t slot = 0; slot < 60 * 48; ++slot) {
    const int64_t time_ns = slot * 30 * kMinute;
    found += rare.scheduled(time_ns) > 0;
    CHECK(always.scheduled(time_ns) == 0);
    if (random.chance(0.02)) rare.add(time_ns, 3);
    always.add(time_ns, 2.5 + 0.5 * random.chance(0.5));
  }
  CHECK(found < 60 * 48 / 50);
}

TEST_CASE("a clock that is set far ahead or back begins a new calendar") {
  Calendar calendar;
  for (int64_t day = 0; day < 4; ++day) calendar.add(day * kDay, 3);
  CHECK(calendar.scheduled(4 * kDay) == Approx(3));
  calendar.add(4'000 * kDay, 3);
  CHECK(calendar.scheduled(4'001 * kDay) == 0);
  calendar.add(-50 * kDay, 3);
  CHECK(calendar.scheduled(4'001 * kDay) == 0);
  CHECK(calendar.scheduled(-49 * kDay) == 0);
}

}  // namespace
