// The log of a running stream: one line per event on standard error, as text or JSON.
#pragma once

#include <chrono>
#include <cstdint>
#include <string_view>

namespace coil::sensor {

enum class LogLevel { kInfo, kWarning, kError };

class Log {
 public:
  enum class Format { kText, kJson };

  explicit Log(Format format = Format::kText) : format_(format) {}

  // text: "coil: warning: mqtt: ..."; JSON: {"time": "2026-01-31T12:00:00.000Z", "level": "warning", "part": "mqtt",
  // "message": "..."}. `part` is the component, or empty. [any thread]
  void write(LogLevel level, std::string_view part, std::string_view message) const;

 private:
  Format format_;
};

// Limits warnings that may occur with every record: writes the first ones, then one from time to time with the number
// left out. One thread.
class RareWarnings {
 public:
  explicit RareWarnings(const Log& log) : log_(log) {}

  void write(std::string_view part, std::string_view message);
  // Reports the number left out since the last one that was written.
  void finish();

 private:
  using Clock = std::chrono::steady_clock;

  const Log& log_;
  uint64_t written_ = 0, left_out_ = 0;
  Clock::time_point last_;
};

}  // namespace coil::sensor
