// Integers in headers, in either byte order.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace coil::cli {

inline uint64_t number_in(std::span<const uint8_t> bytes, bool big_endian) {
  uint64_t value = 0;
  for (size_t i = 0; i < bytes.size(); ++i) value = value << 8 | bytes[big_endian ? i : bytes.size() - 1 - i];
  return value;
}

inline void put_number(std::vector<uint8_t>& bytes, uint64_t value, int count, bool big_endian = false) {
  for (int i = 0; i < count; ++i)
    bytes.push_back(static_cast<uint8_t>(value >> (8 * (big_endian ? count - 1 - i : i))));
}

inline void put_text(std::vector<uint8_t>& bytes, std::string_view text) {
  bytes.insert(bytes.end(), text.begin(), text.end());
}

}  // namespace coil::cli
