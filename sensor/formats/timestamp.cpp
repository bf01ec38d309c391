// Calendar arithmetic by std::chrono. Numbers are parsed as text, because a double cannot hold nanoseconds since 1970.
#include "sensor/formats/timestamp.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <ctime>

#include "sensor/records/record.h"

namespace coil::sensor {
namespace {

constexpr int64_t kSecond = 1'000'000'000;

// A cursor over the text. After the first failed step, all further steps fail.
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

// Nullopt if it does not fit into 64 bits.
std::optional<int64_t> in_range(long double ns) {
  constexpr long double kEnd = 9.2e18L;
  if (!(std::fabs(ns) < kEnd)) return std::nullopt;
  return static_cast<int64_t>(ns);
}

bool take_two(Reader& reader, char mark, int& value) { return reader.take(mark) && reader.digits(2, value); }

// 2026-11-22, 2026/11/22 or 22.11.2026.
bool take_date(Reader& reader, std::string_view text, int& year, int& month, int& day) {
  if (text.size() > 2 && text[2] == '.') {
    return reader.digits(2, day) && take_two(reader, '.', month) && reader.take('.') && reader.digits(4, year);
  }
  const char mark = text.size() > 4 && text[4] == '/' ? '/' : '-';
  return reader.digits(4, year) && take_two(reader, mark, month) && take_two(reader, mark, day);
}

bool take_time_of_day(Reader& reader, int& hour, int& minute, int& second, int64_t& ns) {
  int units = 0;
  if (!reader.digits(1, hour)) return false;
  if (reader.peek_digit() && reader.digits(1, units)) hour = 10 * hour + units;
  if (!take_two(reader, ':', minute)) return false;
  if (reader.take(':') && !reader.digits(2, second)) return false;
  if (reader.take('.') || reader.take(',')) {
    if (!reader.peek_digit()) return false;
    ns = reader.fraction_ns();
  }
  return hour <= 23 && minute <= 59 && second <= 60;
}

bool take_zone(Reader& reader, int64_t& zone_minutes) {
  reader.take(' ');
  if (reader.take('Z') || reader.take('z') || reader.at_end()) return true;
  const int sign = reader.take('-') ? -1 : reader.take('+') ? 1 : 0;
  int hours, minutes = 0;
  if (sign == 0 || !reader.digits(2, hours)) return false;
  reader.take(':');
  if (!reader.at_end() && !reader.digits(2, minutes)) return false;
  zone_minutes = sign * (60 * hours + minutes);
  return true;
}

bool may_be_calendar(std::string_view text) {
  if (text.size() < 10) return false;
  return (text[4] == '-' && text[7] == '-') || (text[4] == '/' && text[7] == '/') || (text[2] == '.' && text[5] == '.');
}

std::optional<int64_t> parse_calendar(std::string_view text) {
  Reader reader(text);
  int year, month, day, hour = 0, minute = 0, second = 0;
  int64_t ns = 0, zone_minutes = 0;
  if (!take_date(reader, text, year, month, day)) return std::nullopt;
  if (!reader.at_end()) {
    if (!reader.take('T') && !reader.take('t') && !reader.take(' ')) return std::nullopt;
    if (!take_time_of_day(reader, hour, minute, second, ns) || !take_zone(reader, zone_minutes) || !reader.at_end())
      return std::nullopt;
  }
  const std::chrono::year_month_day date{std::chrono::year(year), std::chrono::month(unsigned(month)),
                                         std::chrono::day(unsigned(day))};
  if (!date.ok() || year < 1678 || year > 2261) return std::nullopt;
  const int64_t days = std::chrono::sys_days(date).time_since_epoch().count();
  return ((days * 24 + hour) * 60 + minute - zone_minutes) * 60 * kSecond + second * kSecond + ns;
}

// The unit, in nanoseconds, of a number of this magnitude.
int64_t unit_ns(double magnitude) {
  return magnitude < 1e11 ? kSecond : magnitude < 1e14 ? 1'000'000 : magnitude < 1e17 ? 1'000 : 1;
}

// `unit`: in nanoseconds; 0: determined by the number's magnitude.
std::optional<int64_t> parse_since_1970(std::string_view text, int64_t unit) {
  int64_t whole = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, whole);
  const int64_t scale = unit > 0 ? unit : unit_ns(std::fabs(static_cast<double>(whole)));
  if (error == std::errc() && stop == end) {
    if (scale == 1) return in_range(static_cast<long double>(whole)) ? std::optional(whole) : std::nullopt;
    const std::optional<int64_t> fits = in_range(static_cast<long double>(whole) * static_cast<long double>(scale));
    return fits ? std::optional(whole * scale) : std::nullopt;
  }
  if (error == std::errc() && *stop == '.' && scale == kSecond &&
      std::all_of(stop + 1, end, [](char c) { return c >= '0' && c <= '9'; })) {
    if (!in_range(static_cast<long double>(whole) * kSecond)) return std::nullopt;  // keeps its decimals exactly
    Reader decimals({stop + 1, size_t(end - stop - 1)});
    const int64_t ns = decimals.fraction_ns();
    return whole * kSecond + (text.starts_with('-') ? -ns : ns);
  }
  const std::optional<double> value = parse_number(text);
  if (!value || !std::isfinite(*value)) return std::nullopt;
  return in_range(static_cast<long double>(*value) *
                  static_cast<long double>(unit > 0 ? unit : unit_ns(std::fabs(*value))));
}

int64_t named_unit_ns(std::string_view name) {
  return name == "s" ? kSecond : name == "ms" ? 1'000'000 : name == "us" ? 1'000 : name == "ns" ? 1 : 0;
}

}  // namespace

std::optional<int64_t> parse_timestamp(std::string_view text) {
  return may_be_calendar(text) ? parse_calendar(text) : parse_since_1970(text, 0);
}

std::optional<int64_t> parse_timestamp(std::string_view text, const std::string& format) {
  if (const int64_t unit = named_unit_ns(format)) return parse_since_1970(text, unit);
  const size_t fraction = format.find("%f");
  const std::string terminated(text), first = format.substr(0, fraction);
  std::tm parts = {};
  parts.tm_mday = 1;
  parts.tm_year = 70;
  const char* at = ::strptime(terminated.c_str(), first.c_str(), &parts);
  int64_t ns = 0;
  if (at && fraction != std::string::npos) {
    Reader digits(at);
    if (!digits.peek_digit()) return std::nullopt;
    ns = digits.fraction_ns();
    while (*at >= '0' && *at <= '9') ++at;
    at = ::strptime(at, format.c_str() + fraction + 2, &parts);
  }
  if (!at || *at != '\0') return std::nullopt;
  const long zone_s = parts.tm_gmtoff;
  const std::time_t seconds = ::timegm(&parts);
  if (!in_range(static_cast<long double>(seconds) * kSecond + ns)) return std::nullopt;
  return (static_cast<int64_t>(seconds) - zone_s) * kSecond + ns;
}

std::string wrong_time_format(const std::string& format) {
  if (format.empty() || named_unit_ns(format) > 0) return {};
  if (format.find('%') == std::string::npos)
    return "wanted is a format of strptime, as '%d/%m/%Y %H:%M:%S', or s, ms, us or ns";
  std::time_t now = 1'700'000'000;
  std::tm parts = {};
  ::gmtime_r(&now, &parts);
  char text[256];
  std::string plain = format;
  if (const size_t fraction = plain.find("%f"); fraction != std::string::npos) plain.replace(fraction, 2, 1, '5');
  const size_t length = std::strftime(text, sizeof text, plain.c_str(), &parts);
  if (length == 0 || !parse_timestamp(std::string_view(text, length), format))
    return "strptime does not read what strftime writes with it";
  return {};
}

bool is_date(std::string_view text) { return text.size() == 10 && may_be_calendar(text) && parse_calendar(text); }

bool is_time_of_day(std::string_view text) {
  Reader reader(text);
  int hour, minute, second = 0;
  int64_t ns = 0, zone_minutes = 0;
  return take_time_of_day(reader, hour, minute, second, ns) && take_zone(reader, zone_minutes) && reader.at_end();
}

std::optional<int> time_name_rank(std::string_view name) {
  constexpr size_t kLongest = 14;
  static constexpr std::string_view kNames[] = {
      "time",       "timestamp",    "ts",           "date",          "datetime",    "@timestamp",  "_time",
      "date_time",  "date/time",    "date time",    "time stamp",    "time_stamp",  "utc",         "epoch",
      "unixtime",   "unix_time",    "zeit",         "datum",         "zeitstempel", "uhrzeit",     "timestamp_ms",
      "time_ms",    "ts_ms",        "timestamp_ns", "timestamp_utc", "time_utc",    "recorded_at", "measured_at",
      "created_at", "last_changed", "last_updated"};
  static constexpr auto kMayBegin = [] {
    std::array<bool, 256> may_begin = {};
    for (const char c : std::string_view("td@_uezrmclTDUEZRMCL")) may_begin[static_cast<unsigned char>(c)] = true;
    return may_begin;
  }();
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; };
  if (name.empty() || !kMayBegin[static_cast<unsigned char>(name[0])]) return std::nullopt;
  if (name == "time") return 0;
  // A unit or time zone may follow in brackets.
  if (const size_t bracket = name.find_first_of("(["); bracket != std::string_view::npos && bracket > 0)
    name = name.substr(0, bracket);
  while (name.ends_with(' ')) name.remove_suffix(1);
  if (name.size() < 2 || name.size() > kLongest) return std::nullopt;
  char folded[kLongest];
  std::transform(name.begin(), name.end(), folded, lower);
  const auto found = std::find(std::begin(kNames), std::end(kNames), std::string_view(folded, name.size()));
  if (found == std::end(kNames)) return std::nullopt;
  return static_cast<int>(found - std::begin(kNames));
}

namespace {

std::string date_and_time(int64_t time_ns, char between) {
  int64_t second = time_ns / kSecond, ns = time_ns % kSecond;
  if (ns < 0) ns += kSecond, --second;
  const std::chrono::sys_seconds point{std::chrono::seconds(second)};
  const auto day = std::chrono::floor<std::chrono::days>(point);
  const std::chrono::year_month_day date(day);
  const std::chrono::hh_mm_ss clock(point - day);
  char text[64];
  std::snprintf(text, sizeof text, "%04d-%02u-%02u%c%02d:%02d:%02d", int(date.year()), unsigned(date.month()),
                unsigned(date.day()), between, int(clock.hours().count()), int(clock.minutes().count()),
                int(clock.seconds().count()));
  std::string result = text;
  if (ns != 0) {
    std::snprintf(text, sizeof text, ".%09lld", static_cast<long long>(ns));
    result += text;
    result.erase(result.find_last_not_of('0') + 1);
  }
  return result;
}

// With as many decimals as needed.
std::string since_1970(int64_t time_ns, int64_t unit) {
  std::string text = std::to_string(time_ns / unit);
  if (time_ns % unit == 0) return text;
  if (time_ns < 0 && time_ns > -unit) text.insert(0, "-");
  std::string decimals = std::to_string(unit + std::abs(time_ns % unit));
  decimals[0] = '.';
  return text + decimals.substr(0, decimals.find_last_not_of('0') + 1);
}

}  // namespace

std::string format_timestamp(int64_t time_ns) { return date_and_time(time_ns, 'T') + "Z"; }

std::string format_date_and_time(int64_t time_ns) { return date_and_time(time_ns, ' '); }

std::string format_timestamp(int64_t time_ns, const std::string& format) {
  if (const int64_t unit = named_unit_ns(format)) return since_1970(time_ns, unit);
  const auto seconds = static_cast<std::time_t>((time_ns - (time_ns < 0 ? kSecond - 1 : 0)) / kSecond);
  std::string plain = format;
  if (const size_t fraction = plain.find("%f"); fraction != std::string::npos) {
    char digits[16];
    std::snprintf(digits, sizeof digits, "%09lld", static_cast<long long>(time_ns - seconds * kSecond));
    plain.replace(fraction, 2, digits, time_ns % 1000 == 0 ? 6 : 9);
  }
  std::tm parts = {};
  ::gmtime_r(&seconds, &parts);
  char text[256];
  return {text, std::strftime(text, sizeof text, plain.c_str(), &parts)};
}

std::string format_timestamp_as(int64_t time_ns, std::string_view model, const std::string& format) {
  if (!format.empty()) return format_timestamp(time_ns, format);
  if (may_be_calendar(model)) return format_timestamp(time_ns);
  return since_1970(time_ns, unit_ns(std::fabs(parse_number(model).value_or(0))));
}

}  // namespace coil::sensor
