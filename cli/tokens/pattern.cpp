// Implements patterns with Oniguruma.
#include "cli/tokens/pattern.h"

#include <oniguruma.h>

#include <utility>

#include "base/error.h"
#include "cli/tokens/utf8.h"

namespace coil::cli {
namespace {

const OnigUChar* onig(const char* text) { return reinterpret_cast<const OnigUChar*>(text); }

std::string message(int code, OnigErrorInfo* info = nullptr) {
  OnigUChar text[ONIG_MAX_ERROR_MESSAGE_LEN];
  const int size = info ? onig_error_code_to_str(text, code, info) : onig_error_code_to_str(text, code);
  return {reinterpret_cast<char*>(text), size_t(size)};
}

}  // namespace

Pattern Pattern::regex(const std::string& expression, const std::string& where) {
  static const int initialised = [] {
    OnigEncoding encodings[] = {ONIG_ENCODING_UTF8};
    return onig_initialize(encodings, 1);
  }();
  regex_t* compiled = nullptr;
  OnigErrorInfo info{};
  const int code = initialised != ONIG_NORMAL
                       ? initialised
                       : onig_new(&compiled, onig(expression.data()), onig(expression.data() + expression.size()),
                                  ONIG_OPTION_NONE, ONIG_ENCODING_UTF8, ONIG_SYNTAX_RUBY, &info);
  if (code != ONIG_NORMAL)
    throw Error(where + " is not a regular expression that can be used: " + message(code, &info));
  Pattern pattern;
  pattern.where_ = where;
  pattern.regex_ = std::shared_ptr<regex_t>(compiled, onig_free);
  return pattern;
}

Pattern Pattern::from_json(const nlohmann::json& json, const std::string& where) {
  for (const char* kind : {"Regex", "String"}) {
    if (!json.is_object() || !json.contains(kind) || !json[kind].is_string()) continue;
    const std::string text = json[kind];
    if (kind[0] == 'R') return regex(text, where + "." + kind);
    if (text.empty()) throw Error(where + ".String must not be empty");
    Pattern pattern;
    pattern.where_ = where;
    pattern.literal_ = text;
    return pattern;
  }
  throw Error(where + " must be {\"Regex\": text} or {\"String\": text}");
}

std::vector<Span> Pattern::spans(std::string_view text) const {
  std::vector<Span> spans;
  size_t done = 0;
  const auto found = [&](size_t begin, size_t end) {
    if (begin > done) spans.push_back({done, begin, false});
    spans.push_back({begin, end, true});
    done = end;
  };
  if (!regex_) {
    for (size_t at = text.find(literal_); at != std::string_view::npos; at = text.find(literal_, done))
      found(at, at + literal_.size());
  } else {
    const std::unique_ptr<OnigRegion, void (*)(OnigRegion*)> region(onig_region_new(),
                                                                    [](OnigRegion* r) { onig_region_free(r, 1); });
    const OnigUChar *begin = onig(text.data()), *end = begin + text.size();
    for (size_t from = 0; from < text.size();) {
      const int code = onig_search(regex_.get(), begin, end, begin + from, end, region.get(), ONIG_OPTION_NONE);
      if (code == ONIG_MISMATCH) break;
      if (code < 0) throw Error(where_ + " cannot be matched with the text: " + message(code));
      const auto first = size_t(region->beg[0]), last = size_t(region->end[0]);
      if (last > first) found(first, last);
      from = last > first ? last : last + std::max<size_t>(1, character_bytes(text.substr(last)));
    }
  }
  if (done < text.size()) spans.push_back({done, text.size(), false});
  return spans;
}

std::string Pattern::replaced(std::string_view text, std::string_view replacement) const {
  std::string result;
  for (const Span& span : spans(text))
    result += span.matched ? replacement : text.substr(span.begin, span.end - span.begin);
  return result;
}

}  // namespace coil::cli
