// Stores pieces and ids in two tables.
#include "cli/tokens/vocabulary.h"

#include <algorithm>
#include <cstdio>

#include "base/error.h"

namespace coil::cli {

void Vocabulary::add(const std::string& piece, int64_t id, const std::string& where) {
  if (id < 0 || id >= kMaxId)
    throw Error(where + " has the id " + std::to_string(id) + "; ids must be from 0 to " + std::to_string(kMaxId - 1));
  ids_[piece] = int32_t(id);
  pieces_.resize(std::max(pieces_.size(), size_t(id) + 1));
  pieces_[size_t(id)] = piece;
}

std::optional<int32_t> Vocabulary::id(std::string_view piece) const {
  const auto found = ids_.find(piece);
  return found == ids_.end() ? std::nullopt : std::optional(found->second);
}

const std::string* Vocabulary::piece(int32_t id) const {
  return id >= 0 && id < end() && pieces_[size_t(id)] ? &*pieces_[size_t(id)] : nullptr;
}

std::optional<std::vector<int32_t>> Vocabulary::bytes(std::string_view text) const {
  std::vector<int32_t> ids;
  for (const char byte : text) {
    char name[8];
    std::snprintf(name, sizeof name, "<0x%02X>", unsigned(uint8_t(byte)));
    const auto found = id(name);
    if (!found) return std::nullopt;
    ids.push_back(*found);
  }
  return ids;
}

}  // namespace coil::cli
