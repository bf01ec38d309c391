// Base64: three bytes as four letters, and back.
#include "base/base64.h"

#include <algorithm>
#include <array>
#include <cstdint>

namespace coil {
namespace {

constexpr std::string_view kLetters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr char kPadding = '=';
constexpr uint8_t kNone = 64;

constexpr std::array<uint8_t, 256> values() {
  std::array<uint8_t, 256> all{};
  all.fill(kNone);
  for (size_t i = 0; i < kLetters.size(); ++i) all[static_cast<uint8_t>(kLetters[i])] = static_cast<uint8_t>(i);
  return all;
}
constexpr std::array<uint8_t, 256> kValues = values();

}  // namespace

std::string to_base64(std::span<const std::byte> bytes) {
  std::string text;
  text.reserve((bytes.size() + 2) / 3 * 4);
  for (size_t at = 0; at < bytes.size(); at += 3) {
    const size_t count = std::min<size_t>(3, bytes.size() - at);
    uint32_t group = 0;
    for (size_t i = 0; i < 3; ++i) group = group << 8 | (i < count ? static_cast<uint32_t>(bytes[at + i]) : 0);
    for (size_t i = 0; i < 4; ++i) text += i <= count ? kLetters[group >> (18 - 6 * i) & 63] : kPadding;
  }
  return text;
}

std::optional<std::vector<std::byte>> from_base64(std::string_view text) {
  if (text.size() % 4 != 0) return std::nullopt;
  size_t padding = 0;
  while (padding < 2 && padding < text.size() && text[text.size() - 1 - padding] == kPadding) ++padding;
  std::vector<std::byte> bytes;
  bytes.reserve(text.size() / 4 * 3);
  for (size_t at = 0; at < text.size(); at += 4) {
    const size_t letters = at + 4 < text.size() ? 4 : 4 - padding;
    uint32_t group = 0;
    for (size_t i = 0; i < 4; ++i) {
      const uint8_t value = i < letters ? kValues[static_cast<uint8_t>(text[at + i])] : 0;
      if (value == kNone) return std::nullopt;
      group = group << 6 | value;
    }
    for (size_t i = 0; i + 1 < letters; ++i) bytes.push_back(static_cast<std::byte>(group >> (16 - 8 * i) & 255));
  }
  return bytes;
}

}  // namespace coil
