// Base64 with padding, as in RFC 4648.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace coil {

std::string to_base64(std::span<const std::byte> bytes);
// None if the text is not base64.
std::optional<std::vector<std::byte>> from_base64(std::string_view text);

}  // namespace coil
