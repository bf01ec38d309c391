// Converts numbers to and from text: a fast path for usual numbers, std::from_chars and to_chars for all others.
#include "sensor/records/record.h"

#include <algorithm>
#include <charconv>
#include <cmath>

namespace coil::sensor {
namespace {

// For up to 15 digits with an optional point and minus sign. A double holds the digits and the power of ten exactly, so
// their quotient is correctly rounded. Nullopt: the text is not such a number.
std::optional<double> parse_short_number(std::string_view text) {
  constexpr size_t kMostDigits = 15;
  static constexpr double kPowers[] = {1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14};
  const bool is_negative = text.starts_with('-');
  size_t at = is_negative, point = text.size();
  if (text.size() - at > kMostDigits + 1) return std::nullopt;
  uint64_t digits = 0;
  for (; at < text.size(); ++at) {
    const auto digit = static_cast<unsigned>(text[at] - '0');
    if (digit < 10)
      digits = 10 * digits + digit;
    else if (text[at] == '.' && point == text.size() && at > is_negative)
      point = at;
    else
      return std::nullopt;
  }
  const size_t decimals = point == text.size() ? 0 : text.size() - point - 1;
  const size_t count = text.size() - is_negative - (point < text.size());
  if (count == 0 || count > kMostDigits || (point < text.size() && decimals == 0)) return std::nullopt;
  const double value = static_cast<double>(digits) / kPowers[decimals];
  return is_negative ? -value : value;
}

// Nine significant digits of a value of moderate magnitude, exactly as std::to_chars writes them. Returns false if
// std::to_chars must be used.
bool append_usual_number(std::string& to, double value) {
  constexpr int kDigits = 9, kLeastExponent = -4;
  constexpr uint32_t kLeast = 100'000'000, kMost = 1'000'000'000;  // the range of integers with this number of digits
  static constexpr double kPowers[] = {1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12};
  static constexpr double kNext[] = {1e-3, 1e-2, 1e-1, 1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8};
  const double size = std::fabs(value);
  if (!(size >= 1e-4 && size < kMost)) return false;
  int exponent = kLeastExponent;
  while (exponent < kDigits - 1 && size >= kNext[exponent - kLeastExponent]) ++exponent;
  const double scaled = size * kPowers[kDigits - 1 - exponent];
  const auto below = static_cast<uint32_t>(scaled);
  const double rest = scaled - below;
  constexpr double kDoubt = 1e-6;  // larger than the rounding error of the product
  uint32_t left = rest > 0.5 ? below + 1 : below;
  if (std::fabs(rest - 0.5) < kDoubt || left < kLeast || left >= kMost) return false;
  char digits[kDigits];
  for (int i = kDigits; i-- > 0; left /= 10) digits[i] = static_cast<char>('0' + left % 10);
  int count = kDigits;
  while (count > 1 && digits[count - 1] == '0') --count;
  char text[kDigits + 8], *end = text;
  if (value < 0) *end++ = '-';
  if (exponent < 0) {
    *end++ = '0', *end++ = '.';
    for (int i = exponent + 1; i < 0; ++i) *end++ = '0';
  }
  for (int i = 0; i < std::max(count, exponent + 1); ++i) {
    if (i > 0 && i == exponent + 1) *end++ = '.';
    *end++ = digits[i];
  }
  to.append(text, end);
  return true;
}

}  // namespace

std::optional<double> parse_number(std::string_view text) {
  if (const std::optional<double> value = parse_short_number(text)) return value;
  if (text.starts_with('+') && !text.starts_with("+-")) text.remove_prefix(1);
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (end != text.data() + text.size() || text.empty()) return std::nullopt;
  if (error == std::errc::result_out_of_range) {  // from_chars reports overflow and underflow alike
    const size_t e = text.find_first_of("eE");
    return e != std::string_view::npos && e + 1 < text.size() && text[e + 1] == '-' ? 0.0 : HUGE_VAL;
  }
  if (error != std::errc()) return std::nullopt;
  return value;
}

void append_number(std::string& to, double value) {
  if (value == 0 && !std::signbit(value)) {
    to += '0';
    return;
  }
  if (append_usual_number(to, value)) return;
  char text[32];
  const auto end = std::to_chars(text, text + sizeof text, value, std::chars_format::general, 9).ptr;
  to.append(text, end);
}

void append_exactly(std::string& to, double value) {
  char text[32];
  to.append(text, std::to_chars(text, text + sizeof text, value).ptr);
}

}  // namespace coil::sensor
