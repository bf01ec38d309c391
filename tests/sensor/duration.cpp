// Durations: what is parsed, and how they are shown.
#include "sensor/formats/duration.h"

#include <catch2/catch.hpp>

namespace coil::sensor {

TEST_CASE("durations are shown in two digits or whole units") {
  CHECK(describe_duration(0.0004) == "0.4 ms");
  CHECK(describe_duration(0.500764) == "501 ms");
  CHECK(describe_duration(1) == "1 s");
  CHECK(describe_duration(45.4) == "45 s");
  CHECK(describe_duration(2.52 * 3600) == "2.5 h");
  CHECK(describe_duration(1234567.8 * 86400) == "1234568 d");
}

TEST_CASE("durations are parsed with their unit, and nothing else is") {
  CHECK(parse_duration("90s") == 90.0);
  CHECK(parse_duration("1.5 d") == 129600.0);
  CHECK(parse_duration("250ms") == 0.25);
  for (const char* text : {"", "5", "s", "-1s", "0s", "5 weeks", "5s ", "nan s", "1e300 d"})
    CHECK(!parse_duration(text));
}

}  // namespace coil::sensor
