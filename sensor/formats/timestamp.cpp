// Calendar arithmetic by std::chrono; numbers are taken apart as text, because a double does not hold nanoseconds.
#include "sensor/formats/timestamp.h"

#include <charconv>
#include <chrono>
#include <cmath>
#include <cstdio>

#include "sensor/record.h"

namespace coil::sensor {
namespace {

constexpr int64_t kSecond = 1'000'000'000;

// A cursor over the text; each step fails once and for all.
class Reader {
 public:
  explicit Reader(std::string_view text) : text_(text) {}

  bool at_end() const { return at_ == text_.size(); }
  bool peek(char c) const { return at_ < text_.size() && text_[at_] == c; }
  bool peek_digit() const { return at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9'; }
  bool take(char c) { return peek(c) ? (++at_, true) : false; }
  bool digits(size_t count, int& value) {
    value = 0;
    for (size_t i = 0; i < count; ++i) {
      if (!peek_digit()) return false;
      value = 10 * value + (text_[at_++] - '0');
    }
    return true;
  }
  int64_t fraction_ns() {
    int64_t ns = 0, weight = kSecond / 10;
    for (; peek_digit(); ++at_, weight /= 10) ns += (text_[at_] - '0') * weight;
    return ns;
  }

 private:
  std::string_view text_;
  size_t at_ = 0;
};

std::optional<int64_t> parse_calendar(std::string_view text) {
  Reader reader(text);
  int year, month, day, hour = 0, minute = 0, second = 0;
  int64_t ns = 0, zone_minutes = 0;
  if (!reader.digits(4, year) || !reader.take('-') || !reader.digits(2, month) || !reader.take('-') || !reader.digits(2, day)) return std::nullopt;
  if (!reader.at_end()) {
    if (!reader.take('T') && !reader.take('t') && !reader.take(' ')) return std::nullopt;
    if (!reader.digits(2, hour) || !reader.take(':') || !reader.digits(2, minute)) return std::nullopt;
    if (reader.take(':') && !reader.digits(2, second)) return std::nullopt;
    if (reader.take('.') || reader.take(',')) {
      if (!reader.peek_digit()) return std::nullopt;
      ns = reader.fraction_ns();
    }
    reader.take(' ');
    if (!reader.take('Z') && !reader.take('z') && !reader.at_end()) {
      const int sign = reader.take('-') ? -1 : reader.take('+') ? 1 : 0;
      int hours, minutes = 0;
      if (sign == 0 || !reader.digits(2, hours)) return std::nullopt;
      reader.take(':');
      if (!reader.at_end() && !reader.digits(2, minutes)) return std::nullopt;
      zone_minutes = sign * (60 * hours + minutes);
    }
    if (!reader.at_end()) return std::nullopt;
  }
  const std::chrono::year_month_day date{std::chrono::year(year), std::chrono::month(unsigned(month)), std::chrono::day(unsigned(day))};
  if (!date.ok() || hour > 23 || minute > 59 || second > 60 || year < 1678 || year > 2261) return std::nullopt;
  const int64_t days = std::chrono::sys_days(date).time_since_epoch().count();
  return ((days * 24 + hour) * 60 + minute - zone_minutes) * 60 * kSecond + second * kSecond + ns;
}

// Nanoseconds in the unit that a number of this size is in.
int64_t unit_ns(double magnitude) { return magnitude < 1e11 ? kSecond : magnitude < 1e14 ? 1'000'000 : magnitude < 1e17 ? 1'000 : 1; }

}  // namespace

std::optional<int64_t> parse_timestamp(std::string_view text) {
  if (text.size() >= 10 && text[4] == '-' && text[7] == '-') return parse_calendar(text);
  int64_t whole = 0;
  const char* end = text.data() + text.size();
  if (const auto [stop, error] = std::from_chars(text.data(), end, whole); error == std::errc() && stop == end) {
    const int64_t unit = unit_ns(std::fabs(static_cast<double>(whole)));
    return whole * unit;
  } else if (error == std::errc() && *stop == '.' && end - stop <= 10) {  // seconds with up to nine decimals, exactly
    Reader decimals({stop + 1, size_t(end - stop - 1)});
    const int64_t unit = unit_ns(std::fabs(static_cast<double>(whole)));
    if (unit == kSecond && decimals.peek_digit()) {
      const int64_t ns = decimals.fraction_ns();
      for (const char* c = stop + 1; c != end; ++c) {
        if (*c < '0' || *c > '9') return std::nullopt;
      }
      return whole * kSecond + (text.starts_with('-') ? -ns : ns);
    }
  }
  const std::optional<double> value = parse_number(text);
  if (!value || !(std::fabs(*value) < 9.2e18)) return std::nullopt;
  return static_cast<int64_t>(*value * static_cast<double>(unit_ns(std::fabs(*value))));
}

std::string format_timestamp(int64_t time_ns) {
  int64_t second = time_ns / kSecond, ns = time_ns % kSecond;
  if (ns < 0) ns += kSecond, --second;
  const std::chrono::sys_seconds point{std::chrono::seconds(second)};
  const auto day = std::chrono::floor<std::chrono::days>(point);
  const std::chrono::year_month_day date(day);
  const std::chrono::hh_mm_ss clock(point - day);
  char text[64];
  std::snprintf(text, sizeof text, "%04d-%02u-%02uT%02d:%02d:%02d", int(date.year()), unsigned(date.month()), unsigned(date.day()),
                int(clock.hours().count()), int(clock.minutes().count()), int(clock.seconds().count()));
  std::string result = text;
  if (ns != 0) {
    std::snprintf(text, sizeof text, ".%09lld", static_cast<long long>(ns));
    result += text;
    result.erase(result.find_last_not_of('0') + 1);
  }
  return result + "Z";
}

}  // namespace coil::sensor
