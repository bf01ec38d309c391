// Times are written in the form of other times, and are read back unchanged.
#include <catch2/catch.hpp>
#include <string>

#include "sensor/formats/timestamp.h"

namespace {

using namespace coil::sensor;

constexpr int64_t kSecond = 1'000'000'000, kNow = 1'700'009'100 * kSecond;

TEST_CASE("a time in the form of another one") {
  CHECK(format_timestamp_as(kNow, "1700000000", "") == "1700009100");
  CHECK(format_timestamp_as(kNow + kSecond / 4, "1700000000.5", "") == "1700009100.25");
  CHECK(format_timestamp_as(kNow, "1700000000000", "") == "1700009100000");
  CHECK(format_timestamp_as(kNow + 123, "1700000000000000000", "") == "1700009100000000123");
  CHECK(format_timestamp_as(kNow, "2023-11-15 00:45", "") == "2023-11-15T00:45:00Z");
  CHECK(format_timestamp_as(kNow, "15/11/23 00:40", "%d/%m/%y %H:%M") == "15/11/23 00:45");
  CHECK(format_timestamp_as(-kSecond / 4, "0", "s") == "-0.25");
  CHECK(format_date_and_time(kNow) == "2023-11-15 00:45:00");
}

TEST_CASE("times before and after 1970 are read back as they were") {
  for (const int64_t second : {kNow, 0 * kSecond, -kSecond, -kNow}) {
    for (const int64_t fraction : {int64_t{0}, kSecond / 4, kSecond / 1000, int64_t{999'999'000}, int64_t{1}}) {
      const int64_t time_ns = second + fraction;
      INFO(time_ns);
      for (const char* format : {"%Y-%m-%d %H:%M:%S.%f", "%d.%m.%Y/%H:%M:%S,%fZ", "ns", "s"}) {
        INFO(format << ": " << format_timestamp(time_ns, format));
        CHECK(parse_timestamp(format_timestamp(time_ns, format), format) == time_ns);
      }
      CHECK(parse_timestamp(format_timestamp(time_ns)) == time_ns);
      CHECK(parse_timestamp(format_date_and_time(time_ns)) == time_ns);
    }
  }
}

}  // namespace
