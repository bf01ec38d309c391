// Code points of UTF-8 text, and its normal forms.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace coil::cli {

inline constexpr std::string_view kReplacementCharacter = "\xef\xbf\xbd";

// The bytes of the character at the beginning of `text`; 0: they are not valid UTF-8, or incomplete. Sources: RFC 3629;
// The Unicode Standard 15.0, table 3-7.
size_t character_bytes(std::string_view text);

// How many bytes at the beginning of `text` cannot be part of a character, whatever follows; 0 if the text begins with
// a valid or an incomplete character. One replacement character stands for all of them.
size_t invalid_bytes(std::string_view text);

// The code point of a valid character.
char32_t code_point(std::string_view character);

std::string utf8(char32_t code_point);

// The text with each invalid part replaced by a replacement character.
std::string valid_utf8(std::string_view text);

bool is_white_space(char32_t c);  // Unicode's property White_Space
bool is_word(char32_t c);         // what regular expressions call \w. Source: Unicode Technical Standard 18, annex C

// "NFC", "NFD", "NFKC" or "NFKD" of valid UTF-8 text.
std::string normal_form(const std::string& text, const std::string& form);

}  // namespace coil::cli
