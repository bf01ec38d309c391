// The letters that stand for bytes.
#include "cli/tokens/byte_letters.h"

#include <array>
#include <vector>

#include "cli/tokens/utf8.h"

namespace coil::cli {
namespace {

constexpr bool prints_itself(int byte) {
  return (byte >= '!' && byte <= '~') || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
}

// Printable bytes of Latin-1 are their own letters; the others get those from U+0100 on, in order.
const std::array<char32_t, 256>& letters() {
  static const auto table = [] {
    std::array<char32_t, 256> letters{};
    char32_t next = 0x100;
    for (int byte = 0; byte < 256; ++byte) letters[size_t(byte)] = prints_itself(byte) ? char32_t(byte) : next++;
    return letters;
  }();
  return table;
}

const std::vector<int>& bytes_of_letters() {
  static const auto table = [] {
    std::vector<int> bytes(0x200, -1);
    for (int byte = 0; byte < 256; ++byte) bytes[letters()[size_t(byte)]] = byte;
    return bytes;
  }();
  return table;
}

}  // namespace

std::string bytes_as_letters(std::string_view bytes) {
  std::string text;
  for (const char byte : bytes) text += utf8(letters()[uint8_t(byte)]);
  return text;
}

std::optional<std::string> letters_as_bytes(std::string_view text) {
  std::string bytes;
  while (!text.empty()) {
    const size_t size = character_bytes(text);
    const char32_t letter = size > 0 ? code_point(text.substr(0, size)) : 0;
    if (size == 0 || letter >= bytes_of_letters().size() || bytes_of_letters()[letter] < 0) return std::nullopt;
    bytes += char(bytes_of_letters()[letter]);
    text.remove_prefix(size);
  }
  return bytes;
}

}  // namespace coil::cli
