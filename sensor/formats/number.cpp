// Removes thousands separators and leaves the rest to std::from_chars.
#include "sensor/formats/number.h"

#include <algorithm>
#include <charconv>
#include <string>
#include <unordered_set>

#include "sensor/records/record.h"

namespace coil::sensor {
namespace {

constexpr size_t kLongestNumber = 64;
const std::unordered_set<std::string_view> kNoValues = {
    "nan",      "-nan", "+nan", "null", "nil",  "na",       "n/a",       "none",     "-",
    "--",       "---",  "?",    "*",    "***",  ".",        "undefined", "undef",    "#n/a",
    "#n/a n/a", "#na",  "inf",  "-inf", "+inf", "infinity", "-infinity", "+infinity"};
const std::unordered_set<std::string_view> kStandIns = {
    "unavailable", "unknown",      "nodata",       "no data",     "missing",    "error",         "err",
    "fault",       "invalid",      "bad",          "offline",     "#value!",    "#div/0!",       "#ref!",
    "init",        "initializing", "calibrating",  "warming up",  "no reading", "not available", "timeout",
    "overflow",    "over range",   "out of range", "disconnected"};
constexpr size_t kLongestWord = 13;
constexpr std::string_view kMinusSign = "\xe2\x88\x92";  // typographic minus; spreadsheets write it in some languages

bool is_digit(char c) { return c >= '0' && c <= '9'; }
char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }

// Whether `mark` separates only groups of three digits, as in 1,234,567.
bool marks_thousands(std::string_view whole, char mark) {
  size_t at = whole.find(mark);
  if (at == 0 || at > 3 || at == std::string_view::npos) return false;
  for (; at != std::string_view::npos; at = whole.find(mark, at + 1)) {
    for (size_t i = 1; i <= 3; ++i) {
      if (at + i >= whole.size() || !is_digit(whole[at + i])) return false;
    }
    if (at + 4 < whole.size() && whole[at + 4] != mark) return false;
  }
  return true;
}

std::optional<double> parse_hex(std::string_view digits, bool negative) {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value, 16);
  if (digits.empty() || error != std::errc() || end != digits.data() + digits.size()) return std::nullopt;
  return negative ? -static_cast<double>(value) : static_cast<double>(value);
}

// Parses with a point as decimal mark and without thousands separators.
std::optional<double> parse_plain(std::string text, char thousands, char decimal) {
  if (thousands != 0) std::erase(text, thousands);
  if (decimal != '.') std::replace(text.begin(), text.end(), decimal, '.');
  return parse_number(text);
}

std::optional<double> parse_with_commas(std::string_view text, bool comma_is_decimal) {
  const std::string_view unsigned_text = text.substr(text.starts_with('-') || text.starts_with('+') ? 1 : 0);
  const size_t comma = text.find(','), last_comma = text.rfind(','), point = text.find('.'),
               last_point = text.rfind('.');
  if (point == std::string_view::npos) {
    const bool thousands = marks_thousands(unsigned_text, ',');
    if (comma != last_comma) return thousands ? parse_plain(std::string(text), ',', '.') : std::nullopt;
    return thousands && !comma_is_decimal ? parse_plain(std::string(text), ',', '.')
                                          : parse_plain(std::string(text), 0, ',');
  }
  // If both occur, the last one is the decimal mark.
  const bool comma_last = last_comma > last_point;
  const char decimal = comma_last ? ',' : '.', thousands = comma_last ? '.' : ',';
  const size_t mark = comma_last ? comma : point;
  if (mark != (comma_last ? last_comma : last_point)) return std::nullopt;
  const std::string_view whole = unsigned_text.substr(0, unsigned_text.find(decimal));
  return marks_thousands(whole, thousands) ? parse_plain(std::string(text), thousands, decimal) : std::nullopt;
}

// Ignores case.
bool is_one_of(std::string_view text, const std::unordered_set<std::string_view>& words) {
  if (text.size() > kLongestWord) return false;
  char folded[kLongestWord];
  std::transform(text.begin(), text.end(), folded, lower);
  return words.contains(std::string_view(folded, text.size()));
}

}  // namespace

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kNoBreakSpace = "\xc2\xa0";
  for (bool more = true; more;) {
    more = true;
    if (!text.empty() && (text.front() == ' ' || text.front() == '\t'))
      text.remove_prefix(1);
    else if (!text.empty() && (text.back() == ' ' || text.back() == '\t'))
      text.remove_suffix(1);
    else if (text.starts_with(kNoBreakSpace))
      text.remove_prefix(2);
    else if (text.ends_with(kNoBreakSpace))
      text.remove_suffix(2);
    else
      more = false;
  }
  return text;
}

std::optional<double> parse_written_number(std::string_view text, bool comma_is_decimal) {
  if (const std::optional<double> value = parse_number(text)) return value;
  if (text.empty() || text.size() > kLongestNumber) return std::nullopt;
  if (text.starts_with(kMinusSign))
    return parse_written_number('-' + std::string(text.substr(kMinusSign.size())), comma_is_decimal);
  const bool is_signed = text[0] == '-' || text[0] == '+';
  const std::string_view digits = text.substr(is_signed);
  if (digits.empty() || !(is_digit(digits[0]) || digits[0] == ',' || digits[0] == '.')) return std::nullopt;
  if (digits.starts_with("0x") || digits.starts_with("0X")) return parse_hex(digits.substr(2), text[0] == '-');
  if (text.find(',') != std::string_view::npos) return parse_with_commas(text, comma_is_decimal);
  for (const char mark : {'_', ' ', '\''}) {
    if (text.find(mark) == std::string_view::npos) continue;
    return marks_thousands(digits.substr(0, digits.find('.')), mark) ? parse_plain(std::string(text), mark, '.')
                                                                     : std::nullopt;
  }
  return std::nullopt;
}

std::optional<double> parse_measure(std::string_view text, bool comma_is_decimal) {
  if (const std::optional<double> value = parse_written_number(text, comma_is_decimal)) return value;
  constexpr size_t kLongestUnit = 8;
  if (text.empty() || std::string_view("0123456789+-.,").find(text.front()) == std::string_view::npos)
    return std::nullopt;
  const size_t end = text.find_last_of("0123456789.");
  if (end == std::string_view::npos) return std::nullopt;
  // The exponents of units, as in m3, do not belong to the number.
  size_t unit = end + 1;
  if (const size_t space = text.find(' '); space != std::string_view::npos && space < unit) unit = space;
  const std::string_view number = trimmed(text.substr(0, unit));
  if (text.size() - unit > kLongestUnit || number.empty() || !(is_digit(number.back()) || number.back() == '.'))
    return std::nullopt;
  return parse_written_number(number, comma_is_decimal);
}

bool is_no_value(std::string_view text) { return text.empty() || is_one_of(text, kNoValues); }
bool stands_for_number(std::string_view text) { return is_no_value(text) || is_one_of(text, kStandIns); }

}  // namespace coil::sensor
