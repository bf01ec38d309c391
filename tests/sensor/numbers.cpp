// The fast conversions of numbers from and to text give exactly the results of the standard library.
#include <catch2/catch.hpp>
#include <charconv>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>

#include "sensor/records/record.h"
#include "tests/support/random_network.h"

namespace {

using namespace coil;

std::string nine_digits(double value) {
  char text[32];
  return {text, std::to_chars(text, text + sizeof text, value, std::chars_format::general, 9).ptr};
}

std::string written(double value) {
  std::string text;
  sensor::append_number(text, value);
  return text;
}

// Of all sizes that sensors have, with few or many digits, and close to rounding boundaries.
double any_number(test::Random& random) {
  const double size = std::pow(10.0, random.whole(-7, 12));
  double value = random.chance(0.5) ? random.whole(-1'000'000, 1'000'000) * size / 1e6
                                    : size * (random.whole(0, 1 << 30) / double(1 << 30) - 0.5);
  if (random.chance(0.2)) value = std::nextafter(value, 2 * value);
  if (random.chance(0.2)) value = (std::floor(value * 1e4) + 0.5) / 1e4;
  return value;
}

TEST_CASE("nine digits are those that the standard library writes") {
  test::Random random(11);
  for (const double value :
       {0.0, -0.0, 1.0, -1.0, 0.5, 0.1, 1e-4, 9.9999999995e-5, 1e-5, 123456789.0, 999999999.0, 999999999.5, 1e9, 1e300,
        99999999.95, 0.00012345678949, 1234567.885, 2.5e-310, std::numeric_limits<double>::infinity()}) {
    CHECK(written(value) == nine_digits(value));
  }
  for (double power = 1e-6; power < 1e12; power *= 10) {
    for (const double near : {power, std::nextafter(power, 0), std::nextafter(power, 2 * power)})
      CHECK(written(near) == nine_digits(near));
  }
  size_t wrong = 0;
  for (int i = 0; i < 300'000; ++i) {
    const double value = any_number(random);
    if (written(value) != nine_digits(value) && wrong++ == 0) CHECK(written(value) == nine_digits(value));
  }
  CHECK(wrong == 0);
}

TEST_CASE("numbers are read to the bit as the standard library reads them") {
  test::Random random(12);
  const auto is_same = [](const std::string& text) {
    double expected = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), expected);
    const bool is_number = error == std::errc() && end == text.data() + text.size() && !text.empty();
    const std::optional<double> value = sensor::parse_number(text);
    return value.has_value() == is_number && (!is_number || std::memcmp(&*value, &expected, sizeof expected) == 0);
  };
  for (const std::string text : {"",
                                 "-",
                                 ".",
                                 "-.",
                                 "0",
                                 "-0",
                                 "-0.0",
                                 "5.",
                                 ".5",
                                 "-.5",
                                 "1.2.3",
                                 "1..2",
                                 "1-",
                                 "--1",
                                 "123456789012345",
                                 "1234567890123456",
                                 "0.00000000000001",
                                 "0.000000000000001",
                                 "12345678.9012345",
                                 "000000000000001",
                                 "1e5",
                                 "1 ",
                                 " 1",
                                 "1:2",
                                 "1/2"}) {
    INFO(text);
    CHECK(is_same(text));
  }
  size_t wrong = 0;
  for (int i = 0; i < 200'000; ++i) {
    std::string text = random.chance(0.3) ? "-" : "";
    const int digits = random.whole(1, 18), point = random.whole(-3, 18);
    for (int k = 0; k < digits; ++k) {
      if (k == point) text += '.';
      text += static_cast<char>('0' + random.whole(0, 9));
    }
    if (!is_same(text) && wrong++ == 0) CHECK(text == "");
  }
  CHECK(wrong == 0);
}

}  // namespace
