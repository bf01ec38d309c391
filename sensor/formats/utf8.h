// Encodes code points as UTF-8, and checks whether bytes are valid UTF-8.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace coil::sensor {

inline void append_utf8(std::string& text, uint32_t point) {
  const auto tail = [&](int shift) { text += static_cast<char>(0x80 | ((point >> shift) & 0x3f)); };
  if (point < 0x80)
    text += static_cast<char>(point);
  else if (point < 0x800)
    text += static_cast<char>(0xc0 | (point >> 6)), tail(0);
  else if (point < 0x10000)
    text += static_cast<char>(0xe0 | (point >> 12)), tail(6), tail(0);
  else
    text += static_cast<char>(0xf0 | (point >> 18)), tail(12), tail(6), tail(0);
}

inline bool is_utf8(std::string_view text) {
  for (size_t at = 0; at < text.size();) {
    const unsigned char lead = static_cast<unsigned char>(text[at]);
    const size_t length = lead < 0x80 ? 1 : lead < 0xc2 ? 0 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : lead < 0xf5 ? 4 : 0;
    if (length == 0 || at + length > text.size()) return false;
    for (size_t i = 1; i < length; ++i) {
      if ((static_cast<unsigned char>(text[at + i]) & 0xc0) != 0x80) return false;
    }
    at += length;
  }
  return true;
}

}  // namespace coil::sensor
