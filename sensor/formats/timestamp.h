// Timestamps in the usual forms, as nanoseconds since 1970 (UTC).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace coil::sensor {

// RFC 3339 ("2026-11-22T17:30:00.25+01:00"; a space for the T, a date alone and a missing zone are taken too, the zone then as UTC), or a number
// since 1970, whose size says its unit: below 1e11 seconds, below 1e14 milliseconds, below 1e17 microseconds, else nanoseconds. [any thread]
std::optional<int64_t> parse_timestamp(std::string_view text);

// "2026-11-22T17:30:00.25Z", as many decimals as are needed. [any thread]
std::string format_timestamp(int64_t time_ns);

}  // namespace coil::sensor
