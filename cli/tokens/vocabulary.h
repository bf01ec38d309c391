// Maps ids to the pieces of text that they stand for, and pieces to ids.
#pragma once

#include <cstdint>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace coil::cli {

class Vocabulary {
 public:
  static constexpr int kMaxId = 1 << 24;

  // A later entry for the same piece replaces the earlier one. Throws Error if the id is out of range.
  void add(const std::string& piece, int64_t id, const std::string& where);
  std::optional<int32_t> id(std::string_view piece) const;
  // Null if no token has this id.
  const std::string* piece(int32_t id) const;
  int32_t end() const { return int32_t(pieces_.size()); }  // the largest id plus 1

  // The tokens <0x00> to <0xFF> of the bytes; nothing if one of them is missing.
  std::optional<std::vector<int32_t>> bytes(std::string_view text) const;

 private:
  struct Hash : std::hash<std::string_view> {
    using is_transparent = void;
  };
  std::unordered_map<std::string, int32_t, Hash, std::equal_to<>> ids_;
  std::vector<std::optional<std::string>> pieces_;
};

}  // namespace coil::cli
