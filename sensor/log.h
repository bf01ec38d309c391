// What a running stream tells people and log collectors: one line an event on standard error, plain or JSON.
#pragma once

#include <string_view>

namespace coil::sensor {

enum class LogLevel { kInfo, kWarning, kError };

class Log {
 public:
  enum class Format { kText, kJson };

  explicit Log(Format format = Format::kText) : format_(format) {}

  // text: "coil: warning: mqtt: ..."; JSON: {"time": "2026-01-31T12:00:00.000Z", "level": "warning", "part": "mqtt", "message": "..."}.
  // `part` is who speaks, or empty. [any thread]
  void write(LogLevel level, std::string_view part, std::string_view message) const;

 private:
  Format format_;
};

}  // namespace coil::sensor
