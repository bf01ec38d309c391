// A pattern of a tokenizer: a regular expression or a literal text.
#pragma once

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

struct re_pattern_buffer;

namespace coil::cli {

// A part of a text, and whether the pattern matched it.
struct Span {
  size_t begin = 0, end = 0;
  bool matched = false;
};

// Oniguruma's regular expressions in Ruby's syntax, which the library that writes tokenizer.json also uses.
class Pattern {
 public:
  static Pattern regex(const std::string& expression, const std::string& where);
  // From {"Regex": ...} or {"String": ...}. Throws Error that begins with `where`.
  static Pattern from_json(const nlohmann::json& json, const std::string& where);

  // All parts of the text in their order: matches, and what lies between them. Matches are not empty.
  std::vector<Span> spans(std::string_view text) const;
  std::string replaced(std::string_view text, std::string_view replacement) const;

 private:
  std::string where_, literal_;
  std::shared_ptr<re_pattern_buffer> regex_;
};

}  // namespace coil::cli
