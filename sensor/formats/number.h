// Parses numbers in the notations of people and devices.
#pragma once

#include <optional>
#include <string_view>

namespace coil::sensor {

// A cell or a quoted text; also 0x1F, 1_000, and a comma as decimal mark or thousands separator. `comma_is_decimal`
// decides for a single comma before three digits, which may be either. [any thread]
std::optional<double> parse_written_number(std::string_view text, bool comma_is_decimal);

// The same, followed by a unit: "12.5 C", "45%". [any thread]
std::optional<double> parse_measure(std::string_view text, bool comma_is_decimal);

// An empty text, or a word for a missing number, in any case: nan, null, none, n/a, -, ?, #N/A, inf ... [any thread]
bool is_no_value(std::string_view text);
// The same, or a word that devices send instead of a number: unavailable, unknown, error, offline ... [any thread]
bool stands_for_number(std::string_view text);

// Removes spaces, tabs and no-break spaces at both ends. [any thread]
std::string_view trimmed(std::string_view text);

}  // namespace coil::sensor
