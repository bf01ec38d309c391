// What happens to a text before its tokens are looked up: the normalizer and the pre_tokenizer of a tokenizer.json.
#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/json_fields.h"

namespace coil::cli {

// A part of the text between added tokens.
struct Piece {
  std::string text;
  bool begins = false;  // whether it is the beginning of the whole text
};

using TextStep = std::function<std::string(std::string)>;
using PieceStep = std::function<std::vector<Piece>(Piece)>;

// `json` is the field's value; null: the text stays as it is. Both throw Error that names a type or field that is not
// supported.
std::vector<TextStep> normalizer_steps(const nlohmann::json& json, const std::string& where);
std::vector<PieceStep> pre_tokenizer_steps(const nlohmann::json& json, const std::string& where);

// When a Metaspace puts its mark before a text: "always", "first" or "never".
std::string metaspace_scheme(const JsonFields& fields);

}  // namespace coil::cli
