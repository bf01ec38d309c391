// The words of results.
#include "sensor/results/result.h"

#include <algorithm>

namespace coil::sensor {

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
