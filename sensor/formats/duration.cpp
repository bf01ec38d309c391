// Both directions use one table of units.
#include "sensor/formats/duration.h"

#include <array>
#include <charconv>
#include <cmath>

namespace coil::sensor {
namespace {

struct Unit {
  std::string_view name;
  double seconds;
};
constexpr std::array<Unit, 5> kUnits = {{{"ms", 1e-3}, {"s", 1}, {"min", 60}, {"h", 3600}, {"d", 86'400}}};
constexpr double kLongest_s = 1e9;  // whose nanoseconds can be counted

}  // namespace

std::optional<double> parse_duration(std::string_view text) {
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc()) return std::nullopt;
  std::string_view name = text.substr(static_cast<size_t>(end - text.data()));
  if (name.starts_with(' ')) name.remove_prefix(1);
  for (const Unit& unit : kUnits) {
    const double seconds = number * unit.seconds;
    if (name == unit.name && seconds > 0 && seconds <= kLongest_s) return seconds;
  }
  return std::nullopt;
}

std::string describe_duration(double seconds) {
  const Unit* shown = &kUnits.front();
  for (const Unit& unit : kUnits) {
    if (seconds >= unit.seconds) shown = &unit;
  }
  char text[32];
  const double number = seconds / shown->seconds;
  const auto end = number < 100 ? std::to_chars(text, text + sizeof text, number, std::chars_format::general, 2).ptr
                                : std::to_chars(text, text + sizeof text, number, std::chars_format::fixed, 0).ptr;
  return std::string(text, end) + " " + std::string(shown->name);
}

}  // namespace coil::sensor
