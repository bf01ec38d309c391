// NDJSON: one JSON object per line. Scanned in place: a parser that builds a tree would take longer than a step of a
// small model.
#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstring>

#include "sensor/formats/format.h"
#include "sensor/formats/number.h"
#include "sensor/formats/timestamp.h"
#include "sensor/formats/utf8.h"

namespace coil::sensor {
namespace {

constexpr int kMaxDepth = 32;
constexpr size_t kLongestPath = 256, kLongestBareText = 256;
constexpr std::string_view kBetweenRecords = " \t\r\n,[]\x1e";  // of arrays, and the separator of RFC 7464

// A cursor over one line. Functions that return false set error().
class Scanner {
 public:
  Scanner(std::string_view line, Record& record)
      : at_(line.data()), begin_(line.data()), end_(line.data() + line.size()), record_(record) {}

  const std::string& error() const { return error_; }

  bool object() {
    skip_space();
    if (!members({})) return false;
    skip_space();
    if (at_ != end_) return fail("text after the object");
    return no_name_twice();
  }

 private:
  bool fail(const std::string& what) {
    error_ = "invalid JSON at column " + std::to_string(at_ - begin_ + 1) + ": " + what;
    return false;
  }
  void skip_space() {
    while (at_ < end_ && (*at_ == ' ' || *at_ == '\t' || *at_ == '\r' || *at_ == '\n')) ++at_;
  }
  bool take(char c) { return at_ < end_ && *at_ == c ? (++at_, true) : false; }
  bool take(std::string_view word) {
    if (!std::string_view(at_, size_t(end_ - at_)).starts_with(word)) return false;
    at_ += word.size();
    return true;
  }
  bool expect(char c) {
    return take(c) || fail(std::string("expected '") + c + "'" + (at_ == end_ ? ", found the end of the line" : ""));
  }

  // Reads the members of an object; `path`: of the enclosing object, followed by a dot.
  bool members(std::string_view path, int depth = 0) {
    if (!expect('{')) return false;
    skip_space();
    if (take('}')) return true;
    do {
      skip_space();
      std::string_view name;
      if (!string(name)) return false;
      if (!path.empty()) name = record_.decoded.emplace_back(std::string(path) + std::string(name));
      skip_space();
      if (!expect(':')) return false;
      skip_space();
      const size_t place = record_.fields.size();
      Field& field = record_.fields.emplace_back();
      field.name = name;
      field.is_inner = depth > 0;
      const bool holds_fields = at_ < end_ && (*at_ == '{' || *at_ == '[');  // if so, `field` will move
      if (holds_fields ? !nested_value(place, depth) : !value(field, depth)) return false;
      skip_space();
    } while (take(','));
    return expect('}');
  }

  bool no_name_twice() {
    const std::string_view twice = find_repeated_name(record_);
    if (twice.data() == nullptr) return true;
    error_ = "the key '" + std::string(twice) + "' comes twice";
    return false;
  }

  bool nested_value(size_t place, int depth) {
    Field field = record_.fields[place];
    if (!value(field, depth)) return false;
    record_.fields[place] = field;
    return true;
  }

  bool value(Field& field, int depth) {
    const char* begin = at_;
    if (at_ == end_) return fail("expected a value, found the end of the line");
    if (*at_ == '"') {
      field.kind = Field::Kind::text;
      return string(field.text);
    }
    if (*at_ == '{' || *at_ == '[') {
      field.kind = Field::Kind::json;
      if (depth > kMaxDepth) return fail("nested deeper than " + std::to_string(kMaxDepth) + " levels");
      if (*at_ == '[' ? !array(depth) : !inner_object(field.name, depth)) return false;
    } else if (take("true") || take("false")) {
      field.kind = Field::Kind::boolean;
    } else if (take("null") || take("NaN") || take("Infinity") || take("-Infinity")) {
      field.kind = Field::Kind::null;
    } else {
      if (!number()) return false;
      field.number = *parse_number({begin, size_t(at_ - begin)});
      field.kind = std::isfinite(field.number) ? Field::Kind::number : Field::Kind::null;
    }
    field.text = {begin, size_t(at_ - begin)};
    return true;
  }

  bool digits() {
    const char* begin = at_;
    while (at_ < end_ && *at_ >= '0' && *at_ <= '9') ++at_;
    return at_ > begin;
  }
  bool number() {
    take('-');
    const bool zero = at_ < end_ && *at_ == '0';
    const char* begin = at_;
    if (!digits()) return fail("expected a value");
    if (zero && at_ - begin > 1) return fail("a number begins with 0");
    if (take('.') && !digits()) return fail("expected a digit");
    if (take('e') || take('E')) {
      if (!take('+')) take('-');
      if (!digits()) return fail("expected a digit");
    }
    return true;
  }

  // Members of an inner object are fields too, named by their path, up to a sane length.
  bool inner_object(std::string_view name, int depth) {
    const bool has_path = !name.empty() && name.size() <= kLongestPath;
    const size_t fields = record_.fields.size();
    if (!members(has_path ? std::string(name) + "." : std::string(), depth + 1)) return false;
    if (!has_path) record_.fields.resize(fields);
    return true;
  }

  // The elements of an array have no names, so they are not fields.
  bool array(int depth) {
    ++at_;
    skip_space();
    if (take(']')) return true;
    const size_t fields = record_.fields.size();
    do {
      skip_space();
      Field inner;
      if (!value(inner, depth + 1)) return false;
      skip_space();
    } while (take(','));
    record_.fields.resize(fields);
    return expect(']');
  }

  bool string(std::string_view& to) {
    if (!expect('"')) return false;
    const char* begin = at_;
    while (at_ < end_ && *at_ != '"' && *at_ != '\\' && static_cast<unsigned char>(*at_) >= 0x20) ++at_;
    if (at_ < end_ && *at_ == '"') {
      to = {begin, size_t(at_++ - begin)};
      return true;
    }
    std::string text(begin, size_t(at_ - begin));
    while (at_ < end_ && *at_ != '"') {
      if (static_cast<unsigned char>(*at_) < 0x20) return fail("a control character in a string");
      if (*at_ != '\\') {
        text += *at_++;
        continue;
      }
      if (!escape(text)) return false;
    }
    if (!take('"')) return fail("a string without an end");
    to = record_.decoded.emplace_back(std::move(text));
    return true;
  }
  bool escape(std::string& text) {
    ++at_;
    if (at_ == end_) return fail("a string without an end");
    constexpr std::string_view kCodes = "\"\\/bfnrt", kMeanings = "\"\\/\b\f\n\r\t";
    const char code = *at_++;
    if (const size_t place = kCodes.find(code); place != std::string_view::npos) {
      text += kMeanings[place];
      return true;
    }
    uint32_t point = 0;
    if (code != 'u' || !hex(point)) return fail("an unknown escape in a string");
    if (point >= 0xd800 && point < 0xdc00) {
      uint32_t low = 0;
      if (!take("\\u") || !hex(low) || low < 0xdc00 || low > 0xdfff) return fail("half a surrogate pair in a string");
      point = 0x10000 + ((point - 0xd800) << 10) + (low - 0xdc00);
    }
    append_utf8(text, point);
    return true;
  }
  bool hex(uint32_t& value) {
    if (end_ - at_ < 4) return false;
    const auto [stop, error] = std::from_chars(at_, at_ + 4, value, 16);
    if (error != std::errc() || stop != at_ + 4) return false;
    at_ += 4;
    return true;
  }
  const char *at_, *begin_, *end_;
  Record& record_;
  std::string error_;
};

constexpr auto kIsPlain = [] {  // characters that need no escape in a string
  std::array<bool, 256> is_plain = {};
  for (size_t c = 0x20; c < is_plain.size(); ++c) is_plain[c] = c != '"' && c != '\\';
  return is_plain;
}();

void append_string(std::string& to, std::string_view text) {
  to += '"';
  while (!text.empty()) {
    size_t plain = 0;
    while (plain < text.size() && kIsPlain[static_cast<unsigned char>(text[plain])]) ++plain;
    to.append(text.data(), plain);
    text.remove_prefix(plain);
    if (text.empty()) break;
    const char c = text.front();
    text.remove_prefix(1);
    if (c == '"' || c == '\\') {
      to += '\\';
      to += c;
    } else {
      constexpr const char* kHex = "0123456789abcdef";
      to += "\\u00";
      to += kHex[c >> 4];
      to += kHex[c & 15];
    }
  }
  to += '"';
}

class Ndjson final : public Format {
 public:
  const char* name() const override { return "ndjson"; }

  // A record continues only where JSON printers break lines. Otherwise a truncated record would swallow the next one.
  bool goes_on(std::string_view line, Open& open) const override {
    if (open.depth == 0 && line.ends_with('}')) return false;
    const size_t last = line.find_last_not_of(" \t\r");
    if (open.depth == 0 &&
        (last == std::string_view::npos || std::string_view("{[,:").find(line[last]) == std::string_view::npos))
      return false;
    for (size_t at = 0; at < line.size(); ++at) {
      if (line[at] == '"')
        at = end_of_string(line, at);
      else if (line[at] == '{' || (line[at] == '[' && open.depth > 0))
        ++open.depth;
      else if ((line[at] == '}' || line[at] == ']') && open.depth > 0)
        --open.depth;
    }
    return open.depth > 0;
  }

  bool stands_alone(std::string_view line) const override {
    return line.starts_with('{') && Format::stands_alone(line);
  }

  bool is_no_record(std::string_view line) const override {
    if (line.starts_with('{')) return false;
    return Format::is_no_record(line) || line.find_first_not_of(kBetweenRecords) == std::string_view::npos;
  }

  void cut(std::string_view text, const std::function<void(std::string_view)>& found) const override {
    const size_t begin = text.starts_with('{') ? 0 : text.find_first_not_of(kBetweenRecords);
    if (begin == std::string_view::npos || text[begin] != '{') return found(text);
    if (begin == 0 && text.back() == '}' && text.find('{', 1) == std::string_view::npos) return found(text);
    std::vector<std::string_view> records;
    for (size_t at = begin; at != std::string_view::npos; at = text.find_first_not_of(kBetweenRecords, at)) {
      const size_t end = end_of_object(text, at);
      if (end == std::string_view::npos) return found(text);
      records.push_back(text.substr(at, end - at));
      at = end;
    }
    for (const std::string_view record : records) found(record);
  }

  std::optional<std::string> record_of_value(std::string_view text) const override {
    while (text.ends_with('\n') || text.ends_with('\r')) text.remove_suffix(1);
    text = trimmed(text);
    if (text.empty() || text.size() > kLongestBareText || text[0] == '{' || text[0] == '[') return std::nullopt;
    std::string record = "{\"value\":";
    if (text.size() > 1 && text[0] == '"' && text.back() == '"') {
      Record parsed;
      if (!parse(record + std::string(text) + "}", parsed).empty()) return std::nullopt;
      text = text.substr(1, text.size() - 2);
      if (!parse_written_number(text, false) && !is_no_value(text)) return record + '"' + std::string(text) + "\"}";
    }
    if (const std::optional<double> number = parse_written_number(text, false); number && std::isfinite(*number))
      append_exactly(record, *number);
    else if (is_no_value(text))
      record += "null";
    else if (text == "true" || text == "false")
      record += text;
    else if (is_plain_text(text))
      append_string(record, text);
    else
      return std::nullopt;
    return record + "}";
  }

  std::string parse(std::string_view line, Record& record) const override {
    record.clear();
    record.line = line;
    Scanner scanner(line, record);
    return scanner.object() ? std::string() : scanner.error();
  }

  void write(const Record& record, std::span<const Added> added, bool as_it_came, std::string& to) const override {
    bool first = true;
    const auto name = [&](std::string_view text) {
      if (!first) to += ',';
      first = false;
      append_string(to, text);
      to += ':';
    };
    if (as_it_came) {
      append_on_one_line(to, record.line.substr(0, record.line.rfind('}')));
      first = record.fields.empty();
    } else {
      to += '{';
      if (!record.measurement.empty()) {
        name("measurement");
        append_string(to, record.measurement);
      }
      for (const Field& field : record.fields) {
        if (field.is_inner) continue;
        name(field.name);
        if (field.kind == Field::Kind::text)
          append_string(to, field.text);
        else if (field.kind == Field::Kind::null)
          to += "null";
        else if (field.kind == Field::Kind::number)
          append_exactly(to, field.number);
        else
          append_on_one_line(to, field.text);
      }
      if (record.time_ns) {
        name("time");
        append_string(to, format_timestamp(*record.time_ns));
      }
    }
    for (const Added& item : added) {
      name(item.name);
      if (item.kind == Field::Kind::number)
        append_number(to, item.number);
      else if (item.kind == Field::Kind::text)
        append_string(to, item.text);
      else
        to += "null";
    }
    to += '}';
  }

  std::string text_of(const Record& record) const override {
    std::string text;
    write(record, {}, false, text);
    return text;
  }

 private:
  // The position of its closing quote, or the end of the text.
  static size_t end_of_string(std::string_view text, size_t at) {
    for (++at; at < text.size() && text[at] != '"'; ++at) {
      if (text[at] == '\\') ++at;
    }
    return at;
  }

  // The position after the object that starts there; npos: it is incomplete, or none starts there.
  static size_t end_of_object(std::string_view text, size_t at) {
    if (text[at] != '{') return std::string_view::npos;
    int depth = 0;
    for (; at < text.size(); ++at) {
      if (text[at] == '"')
        at = end_of_string(text, at);
      else if (text[at] == '{' || text[at] == '[')
        ++depth;
      else if ((text[at] == '}' || text[at] == ']') && --depth == 0)
        return at + 1;
    }
    return std::string_view::npos;
  }

  // Line ends occur between tokens of a record, never in its strings.
  static void append_on_one_line(std::string& to, std::string_view text) {
    const size_t begin = to.size();
    to += text;
    if (text.find('\n') == std::string_view::npos && text.find('\r') == std::string_view::npos) return;
    std::replace_if(
        to.begin() + ptrdiff_t(begin), to.end(), [](char c) { return c == '\n' || c == '\r'; }, ' ');
  }

  static bool is_plain_text(std::string_view text) {
    return is_utf8(text) && std::none_of(text.begin(), text.end(),
                                         [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
  }
};

}  // namespace

std::unique_ptr<Format> make_ndjson() { return std::make_unique<Ndjson>(); }

}  // namespace coil::sensor
