// The letter that stands for each byte in byte-level vocabularies. Source: Radford et al. 2019 (GPT-2).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace coil::cli {

std::string bytes_as_letters(std::string_view bytes);

// Nothing if a character of the text stands for no byte.
std::optional<std::string> letters_as_bytes(std::string_view letters);

}  // namespace coil::cli
