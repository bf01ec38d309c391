// Cuts pieces of text into tokens of a vocabulary: the `model` of a tokenizer.json.
#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "cli/tokens/vocabulary.h"

namespace coil::cli {

class TokenModel {
 public:
  virtual ~TokenModel() = default;

  // BPE or Unigram. Throws Error that names what is not supported.
  static std::unique_ptr<TokenModel> from_json(const nlohmann::json& json, const std::string& where);

  // Appends the tokens of valid UTF-8 text to `ids`. Returns how many characters were left out because they have no
  // token, and the model has no unknown token. Throws Error if the model does not allow that.
  virtual size_t encode(std::string_view text, std::vector<int32_t>& ids) const = 0;

  const Vocabulary& vocabulary() const { return vocabulary_; }

 protected:
  Vocabulary vocabulary_;
};

}  // namespace coil::cli
