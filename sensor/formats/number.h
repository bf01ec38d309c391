// Numbers as people and devices write them, beyond what a plain decimal number is.
#pragma once

#include <optional>
#include <string_view>

namespace coil::sensor {

// A cell or a text in quotes: also 0x1F, 1_000, and a comma as decimal mark or between thousands. `comma_is_decimal`:
// of a lone comma before three digits, which may be either. [any thread]
std::optional<double> parse_written_number(std::string_view text, bool comma_is_decimal);

// The same with a unit behind it: "12.5 C", "45%". [any thread]
std::optional<double> parse_measure(std::string_view text, bool comma_is_decimal);

// An empty text, or a word that says that there is no number, in any case: nan, null, none, n/a, -, ?, #N/A, inf ...
// [any thread]
bool is_no_value(std::string_view text);
// The same, or a word that devices send in place of a number: unavailable, unknown, error, offline ... [any thread]
bool stands_for_number(std::string_view text);

// Without spaces, tabs and no-break spaces around it. [any thread]
std::string_view trimmed(std::string_view text);

}  // namespace coil::sensor
