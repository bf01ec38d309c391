// Turns text into token ids and back, as the tokenizer.json beside a checkpoint says.
#pragma once

#include <bitset>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cli/tokens/pattern.h"
#include "cli/tokens/text_steps.h"
#include "cli/tokens/token_model.h"

namespace coil::cli {

class Tokenizer {
 public:
  // Throws Error that names the file, and the field if it is not supported.
  static Tokenizer load(const std::filesystem::path& path);

  struct Encoded {
    std::vector<int32_t> ids;
    size_t dropped = 0;  // characters for which there is no token
  };
  // `special`: adds the tokens that the tokenizer puts around a text, such as one for its beginning. The text must be
  // valid UTF-8.
  Encoded encode(const std::string& text, bool special) const;

  int32_t vocab() const;  // the largest id plus 1

 private:
  friend class TextWriter;

  struct Added {
    int32_t id = 0;
    std::string content;  // normalised if `normalized`
    bool special = false, single_word = false, strips_left = false, strips_right = false, normalized = false;
  };
  // What a decoder does with each token, in order.
  struct DecoderStep {
    enum Kind { replace, metaspace, byte_fallback, byte_level, strip_each, strip_begin } kind = replace;
    std::optional<Pattern> pattern;
    std::string content;
    int begin = 0, end = 0;  // how many are stripped; metaspace: begin 1 strips the one of the first token
  };

  void read_added(const nlohmann::json& json, const std::string& where);
  void read_template(const nlohmann::json& json, const std::string& where);
  void read_decoder(const nlohmann::json& json, const std::string& where);
  void read_decoder_step(const nlohmann::json& json, const std::string& where, bool& fused);
  void encode_piece(const Piece& piece, bool normalized, Encoded& encoded) const;
  void encode_plain(const Piece& piece, Encoded& encoded) const;
  std::string normalized(std::string text) const;
  const Added* added_at(std::string_view text, size_t at, bool normalized) const;
  const std::string* piece(int32_t id) const;
  bool is_special(int32_t id) const;

  std::vector<TextStep> normalizer_;
  std::vector<PieceStep> pre_tokenizer_;
  std::unique_ptr<TokenModel> model_;
  std::vector<Added> added_;
  std::bitset<256> first_bytes_;  // of all added tokens, to skip most places of a text quickly
  std::vector<int32_t> before_, after_;
  std::vector<DecoderStep> decoder_;
  bool spaces_between_ = false;
};

// Turns a stream of tokens into text. Returns only complete characters. One thread at a time.
class TextWriter {
 public:
  explicit TextWriter(const Tokenizer& tokenizer) : tokenizer_(tokenizer) {}

  // The text that the token completes. Special tokens give none.
  std::string add(int32_t token);
  // A replacement character if the stream ended within a character, else nothing.
  std::string finish();

  // The bytes of an incomplete character, with which another writer can continue.
  const std::string& held() const { return held_; }
  void go_on(const std::string& held);

 private:
  void apply(const Tokenizer::DecoderStep& step, std::string& text);
  std::string complete();

  const Tokenizer& tokenizer_;
  std::string held_;
  bool first_ = true;
  int to_strip_ = 0;
};

}  // namespace coil::cli
