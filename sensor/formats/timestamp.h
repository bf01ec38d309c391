// Parses timestamps in the usual forms to nanoseconds since 1970 (UTC).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace coil::sensor {

// RFC 3339 ("2026-11-22T17:30:00.25+01:00"), also with a space for the T, without a time, or without a zone (then UTC);
// also 2026/11/22 and 22.11.2026. Or a number since 1970, whose magnitude determines its unit: below 1e11 seconds,
// below 1e14 milliseconds, below 1e17 microseconds, else nanoseconds. Nullopt if it is not a time, or outside 1678 to
// 2261. [any thread]
std::optional<int64_t> parse_timestamp(std::string_view text);

// As strptime reads it, with %f for a fraction of a second; or for numbers the unit: "s", "ms", "us", "ns". UTC if the
// format has no %z. [any thread]
std::optional<int64_t> parse_timestamp(std::string_view text, const std::string& format);
// Empty, or why the format cannot express a time. [any thread]
std::string wrong_time_format(const std::string& format);

// Whether this is a date without a time, or a time of day without a date: the two halves of what parse_timestamp reads.
// [any thread]
bool is_date(std::string_view text);
bool is_time_of_day(std::string_view text);

// Usual names of time columns, in any case: time, timestamp, ts, date, datetime ... A smaller rank is likelier. [any
// thread]
std::optional<int> time_name_rank(std::string_view name);

// "2026-11-22T17:30:00.25Z", with as many decimals as needed. [any thread]
std::string format_timestamp(int64_t time_ns);

// "2026-11-22 17:30:00.25", in UTC. [any thread]
std::string format_date_and_time(int64_t time_ns);
// The inverse of parse_timestamp with this format. [any thread]
std::string format_timestamp(int64_t time_ns, const std::string& format);
// In the form of another time that parse_timestamp reads: a number in the same unit, RFC 3339, or its format.
// [any thread]
std::string format_timestamp_as(int64_t time_ns, std::string_view model, const std::string& format);

// Safe for any two times; their integer difference may overflow. [any thread]
inline double seconds_between(int64_t from_ns, int64_t to_ns) {
  const bool forward = to_ns >= from_ns;
  const uint64_t ns = forward ? uint64_t(to_ns) - uint64_t(from_ns) : uint64_t(from_ns) - uint64_t(to_ns);
  return (forward ? 1e-9 : -1e-9) * static_cast<double>(ns);
}

}  // namespace coil::sensor
