// Reads the fields of one JSON object and checks their types and ranges; config and card use it.
#pragma once

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"

namespace coil {

// Throws Error if the text is not JSON, or is nested so deeply that printing it would overflow the stack. [any thread]
inline nlohmann::json parse_json(const std::string& text, const std::string& where) {
  constexpr int kMaxDepth = 32;
  const auto watch = [&](int depth, nlohmann::json::parse_event_t, nlohmann::json&) {
    if (depth > kMaxDepth) throw Error(where + " is nested deeper than " + std::to_string(kMaxDepth) + " levels");
    return true;
  };
  nlohmann::json json = nlohmann::json::parse(text, watch, false);
  if (json.is_discarded()) throw Error(where + " is not valid JSON");
  return json;
}

// Every reader throws Error that names the field and what would be right. One thread at a time.
class JsonFields {
 public:
  JsonFields(const nlohmann::json& json, std::string where) : json_(json), where_(std::move(where)) {
    if (!json.is_object()) throw Error(where_ + " must be a JSON object");
  }

  const std::string& where() const { return where_; }
  std::string where(const char* key) const { return where_ + "." + key; }
  bool has(const char* key) const {
    asked_.insert(key);
    return json_.contains(key) && !json_[key].is_null();
  }
  const nlohmann::json& at(const char* key) const { return json_[key]; }

  std::string text(const char* key, std::optional<std::string> fallback = std::nullopt) const {
    if (missing(key, fallback.has_value())) return *fallback;
    if (!json_[key].is_string()) throw wrong(key, "a string");
    return json_[key];
  }
  bool flag(const char* key, bool fallback) const {
    if (missing(key, true)) return fallback;
    if (!json_[key].is_boolean()) throw wrong(key, "true or false");
    return json_[key];
  }
  double number(const char* key, std::optional<double> fallback = std::nullopt) const {
    if (missing(key, fallback.has_value())) return *fallback;
    if (!json_[key].is_number()) throw wrong(key, "a number");
    return json_[key];
  }
  // The epsilon of a norm: a number that is added to the mean square.
  float eps(const char* key, std::optional<double> fallback = std::nullopt) const {
    const double value = number(key, fallback);
    if (!(value >= 0 && value <= 1e6)) throw wrong(key, "a number from 0 to 1e6");
    return float(value);
  }
  int whole(const char* key, int min, int max, std::optional<int> fallback = std::nullopt) const {
    const double value = number(key, fallback ? std::optional<double>(*fallback) : std::nullopt);
    if (value != std::floor(value) || value < min || value > max)
      throw wrong(key, "a whole number from " + std::to_string(min) + " to " + std::to_string(max));
    return int(value);
  }
  Error wrong(const char* key, const std::string& wanted) const {
    return Error(
        where(key) + " must be " + wanted + ", found " +
        json_.value(key, nlohmann::json()).dump(-1, ' ', true, nlohmann::json::error_handler_t::replace).substr(0, 60));
  }

  // One sentence for each key that no reader has asked for, with the most similar known key.
  std::vector<std::string> unknown() const {
    std::vector<std::string> sentences;
    for (const auto& [key, value] : json_.items()) {
      if (asked_.contains(key)) continue;
      std::string meant;
      size_t fewest = std::min<size_t>(3, key.size() / 2 + 1);
      for (const std::string& known : asked_)
        if (const size_t edits = edits_between(key, known); edits < fewest && !json_.contains(known))
          fewest = edits, meant = known;
      sentences.push_back(where(key.substr(0, 60).c_str()) + " is not known and has no effect" +
                          (meant.empty() ? "" : "; is '" + meant + "' meant?"));
    }
    return sentences;
  }

 private:
  // The edit distance: how many insertions, deletions and replacements turn one text into the other. Source: Wagner &
  // Fischer 1974.
  static size_t edits_between(const std::string& from, const std::string& to) {
    std::vector<size_t> row(to.size() + 1);
    for (size_t j = 0; j < row.size(); ++j) row[j] = j;
    for (size_t i = 0; i < from.size(); ++i) {
      size_t diagonal = std::exchange(row[0], i + 1);
      for (size_t j = 0; j < to.size(); ++j) {
        const size_t replaced = diagonal + (from[i] != to[j]);
        diagonal = row[j + 1];
        row[j + 1] = std::min({replaced, row[j] + 1, diagonal + 1});
      }
    }
    return row.back();
  }

  bool missing(const char* key, bool has_fallback) const {
    if (has(key)) return false;
    if (!has_fallback) throw Error(where(key) + " is missing");
    return true;
  }

  const nlohmann::json& json_;
  std::string where_;
  mutable std::set<std::string> asked_;
};

}  // namespace coil
