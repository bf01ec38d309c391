// Reads a tokenizer.json, and handles added tokens, templates and decoders.
#include "cli/tokens/tokenizer.h"

#include <algorithm>
#include <charconv>
#include <fstream>
#include <iterator>
#include <utility>

#include "base/error.h"
#include "base/json_fields.h"
#include "cli/tokens/byte_letters.h"
#include "cli/tokens/utf8.h"

namespace coil::cli {
namespace {

using Json = nlohmann::json;

std::string entry(const std::string& where, size_t i) { return where + "[" + std::to_string(i) + "]"; }

// The last character that ends at `end`.
size_t character_before(std::string_view text, size_t end) {
  while (end > 0 && (uint8_t(text[--end]) & 0xc0) == 0x80) {
  }
  return end;
}

template <typename Is>
bool begins_with(std::string_view text, const Is& is) {
  return !text.empty() && is(code_point(text.substr(0, character_bytes(text))));
}

template <typename Is>
bool ends_with(std::string_view text, const Is& is) {
  return !text.empty() && is(code_point(text.substr(character_before(text, text.size()))));
}

}  // namespace

Tokenizer Tokenizer::load(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  const std::string text(std::istreambuf_iterator<char>(file), {});
  if (!file) throw Error(path.string() + ": cannot be read");
  const std::string where = path.string() + ": ";
  const Json json = parse_json(text, path.string());
  if (!json.is_object() || !json.contains("model"))
    throw Error(where + "'model' is missing; a tokenizer.json of the tokenizers library has it");
  const auto field = [&](const char* key) { return json.contains(key) ? json[key] : Json(); };
  Tokenizer tokenizer;
  tokenizer.model_ = TokenModel::from_json(json["model"], where + "model");
  tokenizer.normalizer_ = normalizer_steps(field("normalizer"), where + "normalizer");
  tokenizer.pre_tokenizer_ = pre_tokenizer_steps(field("pre_tokenizer"), where + "pre_tokenizer");
  tokenizer.read_added(field("added_tokens"), where + "added_tokens");
  tokenizer.read_template(field("post_processor"), where + "post_processor");
  tokenizer.read_decoder(field("decoder"), where + "decoder");
  return tokenizer;
}

void Tokenizer::read_added(const Json& json, const std::string& where) {
  if (json.is_null()) return;
  if (!json.is_array()) throw Error(where + " must be a list");
  for (size_t i = 0; i < json.size(); ++i) {
    const JsonFields fields(json[i], entry(where, i));
    Added added{fields.whole("id", 0, Vocabulary::kMaxId - 1),
                fields.text("content"),
                fields.flag("special", false),
                fields.flag("single_word", false),
                fields.flag("lstrip", false),
                fields.flag("rstrip", false),
                fields.flag("normalized", false)};
    if (added.normalized) added.content = normalized(added.content);
    if (added.content.empty()) continue;
    first_bytes_.set(uint8_t(added.content[0]));
    added_.push_back(std::move(added));
  }
  // Longer tokens come first, so that the longest one is found if several match at the same place.
  std::stable_sort(added_.begin(), added_.end(),
                   [](const Added& a, const Added& b) { return a.content.size() > b.content.size(); });
}

void Tokenizer::read_template(const Json& json, const std::string& where) {
  if (json.is_null()) return;
  const JsonFields fields(json, where);
  const std::string type = fields.text("type");
  if (type == "ByteLevel") return;  // it only changes offsets, which are not used here
  if (type == "Sequence") {
    if (!fields.has("processors") || !json["processors"].is_array()) throw fields.wrong("processors", "a list");
    for (size_t i = 0; i < json["processors"].size(); ++i)
      read_template(json["processors"][i], entry(where + ".processors", i));
    return;
  }
  if (type != "TemplateProcessing")
    throw Error(fields.where("type") + " '" + type.substr(0, 40) +
                "' is not supported; supported are ByteLevel, Sequence and TemplateProcessing");
  if (!fields.has("single") || !json["single"].is_array()) throw fields.wrong("single", "a list");
  bool after = false;
  for (const Json& part : json["single"]) {
    if (!part.is_object()) throw fields.wrong("single", "a list of objects");
    if (part.contains("Sequence")) after = true;
    if (!part.contains("SpecialToken")) continue;
    const JsonFields token(part["SpecialToken"], where + ".single.SpecialToken");
    const std::string name = token.text("id");
    const Json known = json.value("special_tokens", Json::object());
    const Json ids = known.is_object() && known.contains(name) ? known[name].value("ids", Json()) : Json();
    if (!ids.is_array()) throw Error(where + ".special_tokens: '" + name.substr(0, 40) + "' has no list of ids");
    for (const Json& id : ids) {
      if (!id.is_number_unsigned() || id.get<uint64_t>() >= uint64_t(Vocabulary::kMaxId))
        throw Error(where + ".special_tokens: '" + name.substr(0, 40) + "' has an id that is none");
      (after ? after_ : before_).push_back(id.get<int32_t>());
    }
  }
}

void Tokenizer::read_decoder(const Json& json, const std::string& where) {
  bool fused = false;
  spaces_between_ = json.is_null();
  if (json.is_null()) return;
  const JsonFields fields(json, where);
  if (fields.text("type") != "Sequence") return read_decoder_step(json, where, fused);
  if (!fields.has("decoders") || !json["decoders"].is_array()) throw fields.wrong("decoders", "a list");
  for (size_t i = 0; i < json["decoders"].size(); ++i)
    read_decoder_step(json["decoders"][i], entry(where + ".decoders", i), fused);
}

void Tokenizer::read_decoder_step(const Json& json, const std::string& where, bool& fused) {
  const JsonFields fields(json, where);
  const std::string type = fields.text("type");
  DecoderStep step;
  if (type == "Fuse") {
    fused = true;
    return;
  }
  if (type == "ByteLevel") {
    step.kind = DecoderStep::byte_level;
  } else if (type == "ByteFallback") {
    step.kind = DecoderStep::byte_fallback;
  } else if (type == "Replace") {
    step.kind = DecoderStep::replace;
    step.pattern = Pattern::from_json(json.value("pattern", Json()), fields.where("pattern"));
    step.content = fields.text("content");
  } else if (type == "Metaspace") {
    step.kind = DecoderStep::metaspace;
    step.pattern =
        Pattern::from_json({{"String", fields.text("replacement", "\xe2\x96\x81")}}, fields.where("replacement"));
    step.begin = metaspace_scheme(fields) != "never";
  } else if (type == "Strip") {
    step = {fused ? DecoderStep::strip_begin : DecoderStep::strip_each,
            {},
            fields.text("content"),
            fields.whole("start", 0, 1000),
            fields.whole("stop", 0, 1000)};
    if (step.content.empty()) throw fields.wrong("content", "a character");
    if (fused && step.end > 0)
      throw Error(fields.where("stop") + " must be 0 after Fuse: a stream of text has no end to strip");
  } else {
    throw Error(fields.where("type") + " '" + type.substr(0, 40) +
                "' is not supported; supported are ByteFallback, ByteLevel, Fuse, Metaspace, Replace, Sequence and "
                "Strip");
  }
  decoder_.push_back(std::move(step));
}

int32_t Tokenizer::vocab() const {
  int32_t end = model_->vocabulary().end();
  for (const Added& added : added_) end = std::max(end, added.id + 1);
  return end;
}

const std::string* Tokenizer::piece(int32_t id) const {
  for (const Added& added : added_)
    if (added.id == id) return &added.content;
  return model_->vocabulary().piece(id);
}

bool Tokenizer::is_special(int32_t id) const {
  return std::any_of(added_.begin(), added_.end(), [&](const Added& added) { return added.special && added.id == id; });
}

const Tokenizer::Added* Tokenizer::added_at(std::string_view text, size_t at, bool normalized) const {
  for (const Added& added : added_)
    if (added.normalized == normalized && text.substr(at).starts_with(added.content)) return &added;
  return nullptr;
}

Tokenizer::Encoded Tokenizer::encode(const std::string& text, bool special) const {
  Encoded encoded;
  if (special) encoded.ids = before_;
  encode_piece({text, true}, false, encoded);
  if (special) encoded.ids.insert(encoded.ids.end(), after_.begin(), after_.end());
  return encoded;
}

// Added tokens are cut out first: those that are not normalised from the text as it is, the others after the
// normaliser.
void Tokenizer::encode_piece(const Piece& piece, bool normalized, Encoded& encoded) const {
  const std::string_view text = piece.text;
  size_t done = 0;
  const auto encode_until = [&](size_t end) {
    if (end <= done) return;
    Piece part{piece.text.substr(done, end - done), piece.begins && done == 0};
    if (normalized) return encode_plain(part, encoded);
    part.text = this->normalized(std::move(part.text));
    encode_piece(part, true, encoded);
  };
  for (size_t at = 0; at < text.size();) {
    const Added* added = !first_bytes_[uint8_t(text[at])] ? nullptr : added_at(text, at, normalized);
    if (!added) {
      ++at;
      continue;
    }
    size_t begin = at, end = at + added->content.size();
    at = end;
    if (added->single_word && (ends_with(text.substr(0, begin), is_word) || begins_with(text.substr(end), is_word)))
      continue;
    while (added->strips_left && begin > done && ends_with(text.substr(0, begin), is_white_space))
      begin = character_before(text, begin);
    while (added->strips_right && begins_with(text.substr(end), is_white_space))
      end += character_bytes(text.substr(end));
    encode_until(begin);
    encoded.ids.push_back(added->id);
    at = done = end;
  }
  encode_until(text.size());
}

std::string Tokenizer::normalized(std::string text) const {
  for (const TextStep& step : normalizer_) text = step(std::move(text));
  return text;
}

void Tokenizer::encode_plain(const Piece& piece, Encoded& encoded) const {
  std::vector<Piece> pieces{piece};
  for (const PieceStep& step : pre_tokenizer_) {
    std::vector<Piece> cut;
    for (Piece& part : pieces)
      for (Piece& smaller : step(std::move(part))) cut.push_back(std::move(smaller));
    pieces = std::move(cut);
  }
  for (const Piece& part : pieces) encoded.dropped += model_->encode(part.text, encoded.ids);
}

void TextWriter::go_on(const std::string& held) {
  held_ = held;
  first_ = false;
}

std::string TextWriter::add(int32_t token) {
  const std::string* piece = tokenizer_.piece(token);
  if (!piece || tokenizer_.is_special(token)) return "";
  std::string text = *piece;
  if (tokenizer_.spaces_between_ && !first_) text.insert(0, " ");
  for (const Tokenizer::DecoderStep& step : tokenizer_.decoder_) apply(step, text);
  held_ += text;
  first_ = false;
  return complete();
}

void TextWriter::apply(const Tokenizer::DecoderStep& step, std::string& text) {
  using Step = Tokenizer::DecoderStep;
  const auto strip_front = [&](int times) {
    for (; times > 0 && text.starts_with(step.content); --times) text.erase(0, step.content.size());
    return text.empty() ? times : 0;
  };
  switch (step.kind) {
    case Step::replace:
      text = step.pattern->replaced(text, step.content);
      break;
    case Step::metaspace:
      text = step.pattern->replaced(text, first_ && step.begin > 0 ? "" : " ");
      break;
    case Step::byte_level:
      if (auto bytes = letters_as_bytes(text)) text = std::move(*bytes);
      break;
    case Step::byte_fallback: {
      unsigned byte = 0;
      if (text.size() == 6 && text.starts_with("<0x") && text.ends_with('>') &&
          std::from_chars(text.data() + 3, text.data() + 5, byte, 16).ptr == text.data() + 5)
        text.assign(1, char(byte));
      break;
    }
    case Step::strip_each:
      strip_front(step.begin);
      for (int times = step.end; times > 0 && text.ends_with(step.content); --times)
        text.erase(text.size() - step.content.size());
      break;
    case Step::strip_begin:
      if (first_) to_strip_ = step.begin;
      to_strip_ = strip_front(to_strip_);
      break;
  }
}

// Takes whole characters from what is held. What can never become one is given as replacement characters.
std::string TextWriter::complete() {
  std::string text;
  std::string_view left = held_;
  while (!left.empty()) {
    const size_t bytes = character_bytes(left), invalid = bytes > 0 ? 0 : invalid_bytes(left);
    if (bytes + invalid == 0) break;
    text += bytes > 0 ? left.substr(0, bytes) : kReplacementCharacter;
    left.remove_prefix(bytes + invalid);
  }
  held_ = std::string(left);
  return text;
}

std::string TextWriter::finish() {
  const bool cut = !held_.empty();
  held_.clear();
  return std::string(cut ? kReplacementCharacter : "");
}

}  // namespace coil::cli
