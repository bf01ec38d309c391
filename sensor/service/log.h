// What a running stream tells people and log collectors: one line an event on standard error, plain or JSON.
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
  // "message": "..."}. `part` is who speaks, or empty. [any thread]
  void write(LogLevel level, std::string_view part, std::string_view message) const;

 private:
  Format format_;
};

// Warnings that may come with every record: the first ones as they are, then one in a while, and how many were left
// out. One thread.
class RareWarnings {
 public:
  explicit RareWarnings(const Log& log) : log_(log) {}

  void write(std::string_view part, std::string_view message);
  // Tells of those that were left out since the last one that was written.
  void finish();

 private:
  using Clock = std::chrono::steady_clock;

  const Log& log_;
  uint64_t written_ = 0, left_out_ = 0;
  Clock::time_point last_;
};

}  // namespace coil::sensor
