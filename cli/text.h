// Formats numbers and names for people.
#pragma once

#include <cmath>
#include <cstdio>
#include <filesystem>
#include <string>
#include <vector>

#include "base/text.h"

namespace coil::cli {

inline std::string in_quotes(const std::filesystem::path& path) { return "'" + path.string() + "'"; }

inline std::string joined(const std::vector<std::string>& words) {
  std::string list;
  for (const std::string& word : words) list += (list.empty() ? "" : ", ") + word;
  return list;
}

// "0:07", "12:34", "3:25:45".
inline std::string duration(double seconds) {
  const long long whole = std::llround(seconds);
  char text[64];
  if (whole < 3600)
    std::snprintf(text, sizeof text, "%lld:%02lld", whole / 60, whole % 60);
  else
    std::snprintf(text, sizeof text, "%lld:%02lld:%02lld", whole / 3600, whole / 60 % 60, whole % 60);
  return text;
}

inline double decibels(double amplitude) { return 20 * std::log10(amplitude); }  // -inf for 0

}  // namespace coil::cli
