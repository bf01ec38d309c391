// Reads nested lists of numbers from JSON and checks their sizes.
#pragma once

#include <cmath>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/error.h"
#include "capture/teachers/recurrent.h"

namespace coil::capture {

// Both throw Error that starts with `where`.
inline std::vector<float> numbers_of(const nlohmann::json& json, size_t count, const std::string& where) {
  if (!json.is_array() || json.size() != count) {
    throw Error(where + " must be a list of " + std::to_string(count) + " numbers" +
                (json.is_array() ? ", found " + std::to_string(json.size()) : ""));
  }
  std::vector<float> values;
  for (const nlohmann::json& value : json) {
    if (!value.is_number() || !std::isfinite(value.get<float>())) throw Error(where + " must hold numbers only");
    values.push_back(value);
  }
  return values;
}

inline Rows rows_of(const nlohmann::json& json, size_t rows, size_t columns, const std::string& where) {
  if (!json.is_array() || json.size() != rows) {
    throw Error(where + " must be a list of " + std::to_string(rows) + " lists" +
                (json.is_array() ? ", found " + std::to_string(json.size()) : ""));
  }
  Rows result;
  for (const nlohmann::json& row : json) result.push_back(numbers_of(row, columns, where));
  return result;
}

// How many numbers all lists in it hold.
inline size_t count_numbers(const nlohmann::json& json) {
  if (json.is_number()) return 1;
  size_t count = 0;
  if (json.is_structured())
    for (const nlohmann::json& value : json) count += count_numbers(value);
  return count;
}

inline Rows transposed(const Rows& rows) {
  Rows result(rows.front().size(), std::vector<float>(rows.size()));
  for (size_t r = 0; r < rows.size(); ++r)
    for (size_t c = 0; c < result.size(); ++c) result[c][r] = rows[r][c];
  return result;
}

}  // namespace coil::capture
