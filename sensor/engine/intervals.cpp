// Statistics of an interval's numbers.
#include "sensor/engine/intervals.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "sensor/formats/duration.h"

namespace coil::sensor {
namespace {

constexpr int64_t kDay_ns = 86'400'000'000'000, kWeek_ns = 7 * kDay_ns;
constexpr int64_t kMonday_ns = 4 * kDay_ns;  // 1970-01-05, the first one
constexpr std::array<const char*, 5> kNames = {"mean", "last", "min", "max", "count"};

}  // namespace

const char* name_of(Aggregate aggregate) { return kNames[static_cast<size_t>(aggregate)]; }

std::optional<Aggregate> parse_aggregate(std::string_view name) {
  const auto found = std::find(kNames.begin(), kNames.end(), name);
  if (found == kNames.end()) return std::nullopt;
  return static_cast<Aggregate>(found - kNames.begin());
}

std::optional<int64_t> Intervals::parse_length(std::string_view text) {
  const std::optional<double> seconds = parse_duration(text);
  if (!seconds || *seconds * 1e9 > static_cast<double>(kWeek_ns)) return std::nullopt;
  const auto length = static_cast<int64_t>(std::llround(*seconds * 1e9));
  const bool is_of_calendar = length > 0 && (kDay_ns % length == 0 || length == kWeek_ns);
  return is_of_calendar ? std::optional(length) : std::nullopt;
}

int64_t Intervals::begin_of(int64_t time_ns) const {
  const int64_t first = length_ns == kWeek_ns ? kMonday_ns : 0, passed = time_ns - first, rest = passed % length_ns;
  return time_ns - (rest < 0 ? rest + length_ns : rest);
}

void Interval::add(const Message& message, const Selection& selection, bool counts) {
  last = message;
  for (const Value& value : selection.values) {
    auto numbers =
        std::find_if(numbers_.begin(), numbers_.end(), [&](const Numbers& known) { return known.name == value.name; });
    if (numbers == numbers_.end()) numbers = numbers_.insert(numbers_.end(), {std::string(value.name)});
    if (value.is_missing || !counts) continue;
    const double number = value.number;
    if (numbers->count++ == 0) numbers->least = numbers->most = numbers->last = number;
    numbers->sum += number;
    numbers->least = std::min(numbers->least, number), numbers->most = std::max(numbers->most, number);
    numbers->last = number;
  }
}

bool Interval::knows(std::string_view field) const {
  return std::any_of(numbers_.begin(), numbers_.end(), [&](const Numbers& numbers) { return numbers.name == field; });
}

double Interval::Numbers::of(Aggregate aggregate) const {
  switch (aggregate) {
    case Aggregate::kMean:
      return sum / static_cast<double>(count);
    case Aggregate::kLast:
      return last;
    case Aggregate::kMin:
      return least;
    case Aggregate::kMax:
      return most;
    case Aggregate::kCount:
      break;
  }
  return static_cast<double>(count);
}

void Interval::fill(MadeRecord& record, Aggregate aggregate) const {
  record.set_time(begin_ns);
  for (const Numbers& numbers : numbers_) {
    if (numbers.count > 0 || aggregate == Aggregate::kCount)
      record.set_number(numbers.name, numbers.of(aggregate));
    else
      record.set_missing(numbers.name);
  }
}

void Interval::clear() {
  for (Numbers& numbers : numbers_) numbers = Numbers{std::string(numbers.name)};
}

}  // namespace coil::sensor
