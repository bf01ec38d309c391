// Formats numbers for people.
#pragma once

#include <cstdio>
#include <string>

namespace coil {

// At most `digits` significant digits, without trailing zeros: 0.7, 48000, -1.5.
inline std::string number(double value, int digits = 6) {
  char text[64];
  std::snprintf(text, sizeof text, "%.*g", digits, value);
  return text;
}

inline std::string fixed(double value, int decimals) {
  char text[64];
  std::snprintf(text, sizeof text, "%.*f", decimals, value);
  return text;
}

// "1 sample", "2 samples".
inline std::string counted(long long count, const std::string& noun) {
  return std::to_string(count) + " " + noun + (count == 1 ? "" : "s");
}

}  // namespace coil
