// Numbers and names as they are shown to people.
#pragma once

#include <cmath>
#include <cstdio>
#include <filesystem>
#include <string>
#include <vector>

namespace coil::cli {

// Up to `digits` significant digits, no trailing zeros: 0.7, 48000, -1.5.
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

inline std::string in_quotes(const std::filesystem::path& path) { return "'" + path.string() + "'"; }

// "1 sample", "2 samples".
inline std::string counted(long long count, const std::string& noun) {
  return std::to_string(count) + " " + noun + (count == 1 ? "" : "s");
}

// "0:07", "12:34", "3:25:45".
inline std::string joined(const std::vector<std::string>& words) {
  std::string list;
  for (const std::string& word : words) list += (list.empty() ? "" : ", ") + word;
  return list;
}

inline std::string duration(double seconds) {
  const long long whole = std::llround(seconds);
  char text[64];
  if (whole < 3600) std::snprintf(text, sizeof text, "%lld:%02lld", whole / 60, whole % 60);
  else std::snprintf(text, sizeof text, "%lld:%02lld:%02lld", whole / 3600, whole / 60 % 60, whole % 60);
  return text;
}

inline double decibels(double amplitude) { return 20 * std::log10(amplitude); }  // -inf for 0

}  // namespace coil::cli
