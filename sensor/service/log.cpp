// Writes each line of the log by one system call, so that lines of several threads never mix.
#include "sensor/service/log.h"

#include <chrono>
#include <cstdio>
#include <ctime>
#include <nlohmann/json.hpp>
#include <string>

namespace coil::sensor {
namespace {

const char* name_of(LogLevel level) {
  return level == LogLevel::kInfo ? "info" : level == LogLevel::kWarning ? "warning" : "error";
}

std::string utc_now() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  const long long now_ms = std::chrono::duration_cast<std::chrono::milliseconds>(now).count();
  const std::time_t seconds = static_cast<std::time_t>(now_ms / 1000);
  std::tm parts = {};
  gmtime_r(&seconds, &parts);
  char date[32], text[48];
  std::strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &parts);
  std::snprintf(text, sizeof text, "%s.%03dZ", date, static_cast<int>(now_ms % 1000));
  return text;
}

}  // namespace

void Log::write(LogLevel level, std::string_view part, std::string_view message) const {
  std::string line;
  if (format_ == Format::kJson) {
    nlohmann::ordered_json event = {{"time", utc_now()}, {"level", name_of(level)}};
    if (!part.empty()) event["part"] = part;
    event["message"] = message;
    line = event.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  } else {
    line = "coil: ";
    if (level != LogLevel::kInfo) line += std::string(name_of(level)) + ": ";
    if (!part.empty()) line += std::string(part) + ": ";
    line += message;
  }
  line += '\n';
  std::fwrite(line.data(), 1, line.size(), stderr);
}

void RareWarnings::write(std::string_view part, std::string_view message) {
  constexpr uint64_t kFirst = 20;
  constexpr std::chrono::seconds kPause{10};
  if (written_ >= kFirst && Clock::now() < last_ + kPause) {
    ++left_out_;
    return;
  }
  finish();
  ++written_;
  last_ = Clock::now();
  log_.write(LogLevel::kWarning, part, message);
}

void RareWarnings::finish() {
  if (left_out_ > 0)
    log_.write(LogLevel::kWarning, "", std::to_string(left_out_) + " more warnings about records were left out");
  left_out_ = 0;
}

}  // namespace coil::sensor
