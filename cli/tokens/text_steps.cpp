// Implements normalizers and pre-tokenizers as splits and replacements.
#include "cli/tokens/text_steps.h"

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "base/json_fields.h"
#include "cli/tokens/byte_letters.h"
#include "cli/tokens/pattern.h"
#include "cli/tokens/utf8.h"

namespace coil::cli {
namespace {

using Json = nlohmann::json;

// Calls read(json, where) for the object, or for each one in a Sequence.
template <typename Read>
void each_of_sequence(const Json& json, const std::string& where, const char* list, const Read& read) {
  if (json.is_null()) return;
  const JsonFields fields(json, where);
  if (fields.text("type") != "Sequence") return read(fields, json);
  if (!fields.has(list) || !json[list].is_array()) throw fields.wrong(list, "a list");
  for (size_t i = 0; i < json[list].size(); ++i)
    each_of_sequence(json[list][i], where + "." + list + "[" + std::to_string(i) + "]", list, read);
}

Error unsupported(const JsonFields& fields, const std::string& supported) {
  return Error(fields.where("type") + " '" + fields.text("type").substr(0, 40) + "' is not supported; supported are " +
               supported);
}

enum class Behavior { removed, isolated, merged_with_previous, merged_with_next, contiguous };

Behavior behavior(const JsonFields& fields) {
  const std::string name = fields.text("behavior");
  if (name == "Removed") return Behavior::removed;
  if (name == "Isolated") return Behavior::isolated;
  if (name == "MergedWithPrevious") return Behavior::merged_with_previous;
  if (name == "MergedWithNext") return Behavior::merged_with_next;
  if (name == "Contiguous") return Behavior::contiguous;
  throw fields.wrong("behavior", "Removed, Isolated, MergedWithPrevious, MergedWithNext or Contiguous");
}

void merge_into_previous(std::vector<Span>& spans) {
  std::vector<Span> merged;
  bool after_match = false;
  for (const Span& span : spans) {
    if (span.matched && !after_match && !merged.empty())
      merged.back().end = span.end;
    else
      merged.push_back(span);
    after_match = span.matched;
  }
  spans = std::move(merged);
}

void merge_into_next(std::vector<Span>& spans) {
  std::vector<Span> merged;
  bool before_match = false;
  for (size_t i = spans.size(); i-- > 0;) {
    if (spans[i].matched && !before_match && !merged.empty())
      merged.back().begin = spans[i].begin;
    else
      merged.push_back(spans[i]);
    before_match = spans[i].matched;
  }
  std::reverse(merged.begin(), merged.end());
  spans = std::move(merged);
}

std::vector<Piece> split(const Piece& piece, std::vector<Span> spans, Behavior behavior) {
  if (behavior == Behavior::merged_with_previous) merge_into_previous(spans);
  if (behavior == Behavior::merged_with_next) merge_into_next(spans);
  std::vector<Piece> pieces;
  const Span* before = nullptr;
  for (const Span& span : spans) {
    if (behavior == Behavior::removed && span.matched) continue;
    const std::string text = piece.text.substr(span.begin, span.end - span.begin);
    if (behavior == Behavior::contiguous && before && before->matched == span.matched)
      pieces.back().text += text;
    else
      pieces.push_back({text, piece.begins && span.begin == 0});
    before = &span;
  }
  return pieces;
}

PieceStep splitter(Pattern pattern, Behavior behavior, bool invert) {
  return [pattern = std::move(pattern), behavior, invert](Piece piece) {
    std::vector<Span> spans = pattern.spans(piece.text);
    if (invert)
      for (Span& span : spans) span.matched = !span.matched;
    return split(piece, std::move(spans), behavior);
  };
}

void add_byte_level(const JsonFields& fields, std::vector<PieceStep>& steps) {
  if (fields.flag("add_prefix_space", true))
    steps.push_back([](Piece piece) {
      if (!piece.text.starts_with(' ')) piece.text.insert(0, " ");
      return std::vector{std::move(piece)};
    });
  if (fields.flag("use_regex", true))
    steps.push_back(splitter(
        Pattern::regex(R"('(?:s|t|re|ve|m|ll|d)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)", fields.where()),
        Behavior::isolated, false));
  steps.push_back([](Piece piece) {
    piece.text = bytes_as_letters(piece.text);
    return std::vector{std::move(piece)};
  });
}

void add_metaspace(const JsonFields& fields, std::vector<PieceStep>& steps) {
  const std::string mark = fields.text("replacement", "\xe2\x96\x81");
  const std::string scheme = metaspace_scheme(fields);
  const Pattern space = Pattern::from_json({{"String", " "}}, fields.where());
  steps.push_back([=](Piece piece) {
    piece.text = space.replaced(piece.text, mark);
    if ((scheme == "always" || (scheme == "first" && piece.begins)) && !piece.text.starts_with(mark))
      piece.text.insert(0, mark);
    return std::vector{std::move(piece)};
  });
  if (fields.flag("split", true))
    steps.push_back(splitter(Pattern::from_json({{"String", mark}}, fields.where("replacement")),
                             Behavior::merged_with_next, false));
}

}  // namespace

std::string metaspace_scheme(const JsonFields& fields) {
  const std::string scheme = fields.text("prepend_scheme", fields.flag("add_prefix_space", true) ? "always" : "never");
  if (scheme != "always" && scheme != "first" && scheme != "never")
    throw fields.wrong("prepend_scheme", "always, first or never");
  return scheme;
}

std::vector<TextStep> normalizer_steps(const Json& json, const std::string& where) {
  std::vector<TextStep> steps;
  each_of_sequence(json, where, "normalizers", [&](const JsonFields& fields, const Json& step) {
    const std::string type = fields.text("type");
    if (type == "NFC" || type == "NFD" || type == "NFKC" || type == "NFKD") {
      steps.push_back([type](const std::string& text) { return normal_form(text, type); });
    } else if (type == "Prepend") {
      steps.push_back(
          [prefix = fields.text("prepend")](const std::string& text) { return text.empty() ? text : prefix + text; });
    } else if (type == "Replace") {
      const Pattern pattern = Pattern::from_json(step.value("pattern", Json()), fields.where("pattern"));
      steps.push_back([pattern, content = fields.text("content")](const std::string& text) {
        return pattern.replaced(text, content);
      });
    } else {
      throw unsupported(fields, "NFC, NFD, NFKC, NFKD, Prepend, Replace and Sequence");
    }
  });
  return steps;
}

std::vector<PieceStep> pre_tokenizer_steps(const Json& json, const std::string& where) {
  std::vector<PieceStep> steps;
  each_of_sequence(json, where, "pretokenizers", [&](const JsonFields& fields, const Json& step) {
    const std::string type = fields.text("type");
    const auto regex = [&](const char* expression) { return Pattern::regex(expression, fields.where()); };
    if (type == "ByteLevel") {
      add_byte_level(fields, steps);
    } else if (type == "Metaspace") {
      add_metaspace(fields, steps);
    } else if (type == "Split") {
      steps.push_back(splitter(Pattern::from_json(step.value("pattern", Json()), fields.where("pattern")),
                               behavior(fields), fields.flag("invert", false)));
    } else if (type == "Digits") {
      steps.push_back(splitter(regex(R"(\p{N})"),
                               fields.flag("individual_digits", false) ? Behavior::isolated : Behavior::contiguous,
                               false));
    } else if (type == "Whitespace") {
      steps.push_back(splitter(regex(R"(\w+|[^\w\s]+)"), Behavior::removed, true));
    } else if (type == "WhitespaceSplit") {
      steps.push_back(splitter(regex(R"(\s)"), Behavior::removed, false));
    } else {
      throw unsupported(fields, "ByteLevel, Digits, Metaspace, Sequence, Split, Whitespace and WhitespaceSplit");
    }
  });
  return steps;
}

}  // namespace coil::cli
