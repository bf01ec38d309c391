// Durations as people write them.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace coil::sensor {

// Parses "90s", "30min", "2h", "1.5d" or "250ms" into seconds, above 0. None for anything else. [any thread]
std::optional<double> parse_duration(std::string_view text);
// "45 s", "35 min", "2.5 h", "3 d". [any thread]
std::string describe_duration(double seconds);

}  // namespace coil::sensor
