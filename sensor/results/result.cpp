// The words of results.
#include "sensor/results/result.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <utility>

namespace coil::sensor {
namespace {

std::string readable(double number) {
  char text[32];
  return std::string(text, std::to_chars(text, text + sizeof text, number, std::chars_format::general, 6).ptr);
}

std::string expectation(const Expected& expected) {
  if (!expected.exists) return {};
  return ", expected " + readable(expected.median) + " (" + readable(expected.low) + " to " + readable(expected.high) +
         ")";
}

}  // namespace

const char* name_of(Status status) {
  switch (status) {
    case Status::kOk:
      return "ok";
    case Status::kAnomaly:
      return "anomaly";
    case Status::kWarmup:
      return "warmup";
    case Status::kMissing:
      return "missing";
    case Status::kLate:
      return "late";
    case Status::kFuture:
      return "future";
    case Status::kUnscored:
      return "unscored";
    case Status::kMaintenance:
      return "maintenance";
  }
  return "";
}

const char* name_of(Episode episode) {
  switch (episode) {
    case Episode::kNone:
      return "";
    case Episode::kBegin:
      return "begin";
    case Episode::kOn:
      return "on";
    case Episode::kEnd:
      return "end";
  }
  return "";
}

namespace {

// A value of another sensor is named with its sensor.
std::string cause_of(const Result& result, const BrokenRelation& relation) {
  const auto name_of = [&](const std::string& key, const std::string& name) {
    return key == result.key() ? name : readable_key(key) + " " + name;
  };
  const bool is_own = relation.key == result.key();
  const std::string unit(is_own ? result.unit_of(relation.name) : std::string_view());
  std::string text = name_of(relation.key, relation.name) + " relation: ";
  if (std::isnan(relation.value)) return text + "it is missing, and the others do not go together as before";
  text += readable(relation.value) + (unit.empty() ? "" : " " + unit) + ", expected " + readable(relation.expected);
  const char* join = " from ";
  for (const auto& [key, name] : relation.others) text += std::exchange(join, " and ") + name_of(key, name);
  return text;
}

}  // namespace

std::string cause_of(const Result& result) {
  using Kind = Explanation::Kind;
  if (!result.cause) return {};
  if (result.relation) return cause_of(result, *result.relation);
  const ValueResult& value = *result.cause;
  const bool is_up = value.why.is_up;
  const std::string unit(result.unit_of(value.name));
  const std::string name(value.name), number = readable(value.value) + (unit.empty() ? "" : " " + unit),
                                      forecast = expectation(value.expected);
  switch (value.why.kind) {
    case Kind::kLevel:
      return name + " level: " + number + " is beyond all before, " + (is_up ? "higher" : "lower") + forecast;
    case Kind::kShift:
      return name + " level: recent values are " + (is_up ? "higher" : "lower") + " than ever, now " + number +
             forecast;
    case Kind::kJump:
      return name + " jump: " + (is_up ? "up to " : "down to ") + number + forecast;
    case Kind::kUnrest:
      return name + " unrest: moves more than ever, now " + number + forecast;
    case Kind::kCalm:
      return name + " calm: moves less than ever, now " + number + forecast;
    case Kind::kStuck:
      return name + " stuck: " + number + " again and again";
    case Kind::kDrift:
      return name + " drift: stays " + (is_up ? "above" : "below") + " the forecasts, now " + number + forecast;
    case Kind::kLimit: {
      const SensorSettings::Limits* limits = result.settings ? result.settings->limits_of(value.name) : nullptr;
      const std::optional<double> limit = !limits ? std::nullopt : is_up ? limits->high : limits->low;
      return name + " limit: " + number + " is " + (is_up ? "above " : "below ") +
             (limit ? readable(*limit) : "the limit") + forecast;
    }
    case Kind::kNone:
      break;
  }
  return name;
}

std::string readable_key(std::string_view key) {
  const size_t first = std::min(key.find_first_not_of(kKeySeparator), key.size());
  std::string text;
  if (key.find(kKeySeparator, first) == std::string_view::npos) {
    text = key.substr(first);
  } else {
    for (const char c : key) {
      if (c != kKeySeparator)
        text += c;
      else if (!text.empty() && text.back() != '/')
        text += '/';
    }
  }
  if (text.ends_with('/')) text.pop_back();
  return text;
}

}  // namespace coil::sensor
