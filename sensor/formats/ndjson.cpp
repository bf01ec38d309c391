// NDJSON: one JSON object a line. Scanned in place, because a parser that builds a tree would take longer than a small model's step.
#include <algorithm>
#include <cstring>

#include "sensor/formats/format.h"
#include "sensor/formats/timestamp.h"

namespace coil::sensor {
namespace {

constexpr int kMaxDepth = 32;

// A cursor over one line. A function that returns false has set error().
class Scanner {
 public:
  Scanner(std::string_view line, Record& record) : at_(line.data()), begin_(line.data()), end_(line.data() + line.size()), record_(record) {}

  const std::string& error() const { return error_; }

  bool object() {
    skip_space();
    if (!expect('{')) return false;
    skip_space();
    if (take('}')) return line_ends();
    do {
      skip_space();
      Field field;
      if (!string(field.name)) return false;
      skip_space();
      if (!expect(':')) return false;
      skip_space();
      if (!value(field)) return false;
      record_.fields.push_back(field);
      skip_space();
    } while (take(','));
    return expect('}') && line_ends();
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
  bool expect(char c) { return take(c) || fail(std::string("expected '") + c + "'" + (at_ == end_ ? ", found the end of the line" : "")); }
  bool line_ends() {
    skip_space();
    return at_ == end_ || fail("text after the object");
  }

  bool value(Field& field) {
    const char* begin = at_;
    if (at_ == end_) return fail("expected a value, found the end of the line");
    if (*at_ == '"') {
      field.kind = Field::Kind::text;
      return string(field.text);
    }
    if (*at_ == '{' || *at_ == '[') {
      field.kind = Field::Kind::json;
      if (!nested(0)) return false;
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

  bool nested(int depth) {
    if (depth > kMaxDepth) return fail("nested deeper than " + std::to_string(kMaxDepth) + " levels");
    const bool is_object = take('{');
    if (!is_object) ++at_;
    const char close = is_object ? '}' : ']';
    skip_space();
    if (take(close)) return true;
    do {
      skip_space();
      std::string_view name;
      if (is_object) {
        if (!string(name)) return false;
        skip_space();
        if (!expect(':')) return false;
        skip_space();
      }
      if (at_ < end_ && (*at_ == '{' || *at_ == '[')) {
        if (!nested(depth + 1)) return false;
      } else {
        Field inner;
        if (!value(inner)) return false;
      }
      skip_space();
    } while (take(','));
    return expect(close);
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
  static void append_utf8(std::string& text, uint32_t point) {
    const auto tail = [&](int shift) { text += static_cast<char>(0x80 | ((point >> shift) & 0x3f)); };
    if (point < 0x80) text += static_cast<char>(point);
    else if (point < 0x800) text += static_cast<char>(0xc0 | (point >> 6)), tail(0);
    else if (point < 0x10000) text += static_cast<char>(0xe0 | (point >> 12)), tail(6), tail(0);
    else text += static_cast<char>(0xf0 | (point >> 18)), tail(12), tail(6), tail(0);
  }

  const char *at_, *begin_, *end_;
  Record& record_;
  std::string error_;
};

void append_string(std::string& to, std::string_view text) {
  const auto as_it_is = [](char c) { return c != '"' && c != '\\' && static_cast<unsigned char>(c) >= 0x20; };
  to += '"';
  while (!text.empty()) {
    const size_t plain = static_cast<size_t>(std::find_if_not(text.begin(), text.end(), as_it_is) - text.begin());
    to += text.substr(0, plain);
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
      const size_t close = record.line.rfind('}');
      to += record.line.substr(0, close);
      first = record.fields.empty();
    } else {
      to += '{';
      if (!record.measurement.empty()) {
        name("measurement");
        append_string(to, record.measurement);
      }
      for (const Field& field : record.fields) {
        name(field.name);
        if (field.kind == Field::Kind::text) append_string(to, field.text);
        else if (field.kind == Field::Kind::null) to += "null";
        else if (field.kind == Field::Kind::number) append_exactly(to, field.number);
        else to += field.text;
      }
      if (record.time_ns) {
        name("time");
        append_string(to, format_timestamp(*record.time_ns));
      }
    }
    for (const Added& item : added) {
      name(item.name);
      if (item.kind == Field::Kind::number) append_number(to, item.number);
      else if (item.kind == Field::Kind::text) append_string(to, item.text);
      else to += "null";
    }
    to += '}';
  }

 private:
  // Other formats write numbers in ways that JSON does not know.
  static void append_exactly(std::string& to, double value) {
    char text[32];
    to.append(text, std::to_chars(text, text + sizeof text, value).ptr);
  }
};

}  // namespace

std::unique_ptr<Format> make_ndjson() { return std::make_unique<Ndjson>(); }

}  // namespace coil::sensor
