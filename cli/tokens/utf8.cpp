// Implements code points and normal forms with utf8proc.
#include "cli/tokens/utf8.h"

#include <utf8proc.h>

#include <algorithm>
#include <cstdlib>
#include <memory>

#include "base/error.h"

namespace coil::cli {
namespace {

struct Scanned {
  size_t good = 0, wanted = 0;  // leading bytes that fit, and the length that the first byte announces; 0: none
};

Scanned scan(std::string_view text) {
  const auto byte = [&](size_t i) { return uint8_t(text[i]); };
  if (text.empty()) return {};
  const uint8_t first = byte(0);
  if (first < 0x80) return {1, 1};
  if (first < 0xc2 || first > 0xf4) return {0, 0};
  const size_t wanted = first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
  size_t good = 1;
  for (; good < std::min(wanted, text.size()); ++good) {
    uint8_t low = 0x80, high = 0xbf;
    if (good == 1 && first == 0xe0) low = 0xa0;   // overlong
    if (good == 1 && first == 0xed) high = 0x9f;  // surrogates
    if (good == 1 && first == 0xf0) low = 0x90;   // overlong
    if (good == 1 && first == 0xf4) high = 0x8f;  // above U+10FFFF
    if (byte(good) < low || byte(good) > high) break;
  }
  return {good, wanted};
}

}  // namespace

size_t character_bytes(std::string_view text) {
  const Scanned scanned = scan(text);
  return scanned.good == scanned.wanted ? scanned.good : 0;
}

size_t invalid_bytes(std::string_view text) {
  if (text.empty()) return 0;
  const Scanned scanned = scan(text);
  if (scanned.wanted == 0) return 1;
  return scanned.good == scanned.wanted || scanned.good == text.size() ? 0 : scanned.good;
}

char32_t code_point(std::string_view character) {
  const auto first = uint8_t(character[0]);
  if (character.size() == 1) return first;
  char32_t value = first & (0xff >> (character.size() + 1));
  for (const char byte : character.substr(1)) value = value << 6 | (uint8_t(byte) & 0x3f);
  return value;
}

std::string utf8(char32_t code_point) {
  utf8proc_uint8_t bytes[4];
  return {reinterpret_cast<char*>(bytes), size_t(utf8proc_encode_char(utf8proc_int32_t(code_point), bytes))};
}

std::string valid_utf8(std::string_view text) {
  std::string valid;
  while (!text.empty()) {
    size_t bytes = character_bytes(text);
    valid += bytes > 0 ? text.substr(0, bytes) : kReplacementCharacter;
    if (bytes == 0) bytes = invalid_bytes(text);
    text.remove_prefix(bytes > 0 ? bytes : text.size());
  }
  return valid;
}

bool is_white_space(char32_t c) {
  return (c >= 9 && c <= 13) || c == 0x20 || c == 0x85 || c == 0xa0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200a) ||
         c == 0x2028 || c == 0x2029 || c == 0x202f || c == 0x205f || c == 0x3000;
}

bool is_word(char32_t c) {
  // Joiners, and letters in circles and squares, which are symbols with the property Alphabetic.
  if (c == 0x200c || c == 0x200d || (c >= 0x24b6 && c <= 0x24e9) || (c >= 0x1f130 && c <= 0x1f149) ||
      (c >= 0x1f150 && c <= 0x1f169) || (c >= 0x1f170 && c <= 0x1f189))
    return true;
  switch (utf8proc_category(utf8proc_int32_t(c))) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_PC:
      return true;
    default:
      return false;
  }
}

std::string normal_form(const std::string& text, const std::string& form) {
  int options = UTF8PROC_STABLE | (form.ends_with("C") ? UTF8PROC_COMPOSE : UTF8PROC_DECOMPOSE);
  if (form.starts_with("NFK")) options |= UTF8PROC_COMPAT;
  utf8proc_uint8_t* mapped = nullptr;
  const auto size = utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(text.data()), utf8proc_ssize_t(text.size()),
                                 &mapped, utf8proc_option_t(options));
  const std::unique_ptr<utf8proc_uint8_t, decltype(&std::free)> owned(mapped, &std::free);
  if (size < 0) throw Error(std::string("the text cannot be normalised: ") + utf8proc_errmsg(size));
  return {reinterpret_cast<char*>(mapped), size_t(size)};
}

}  // namespace coil::cli
