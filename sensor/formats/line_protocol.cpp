// InfluxDB line protocol: measurement,tag=text field=1.5,other=2i 1465839830100400200
#include <algorithm>

#include "sensor/formats/format.h"
#include "sensor/formats/timestamp.h"

namespace coil::sensor {
namespace {

// Whether a backslash here escapes the next character.
bool is_escape(std::string_view text, size_t at) {
  return text[at] == '\\' && at + 1 < text.size() &&
         std::string_view(",= \\").find(text[at + 1]) != std::string_view::npos;
}

class Scanner {
 public:
  Scanner(std::string_view line, Record& record) : line_(line), record_(record) {}

  std::string run() {
    record_.measurement = name(", ");
    if (record_.measurement.empty()) return "line protocol: the measurement is missing";
    while (take(',')) {
      Field tag;
      tag.is_tag = true;
      tag.name = name("=, ");
      if (tag.name.empty() || !take('=')) return at("expected a tag as name=text");
      tag.text = name(", ");
      if (tag.text.empty()) return at("the tag '" + std::string(tag.name) + "' is empty");
      record_.fields.push_back(tag);
    }
    if (!take(' ')) return at("expected a space and the fields");
    skip_spaces();
    do {
      Field field;
      field.name = name("=, ");
      if (field.name.empty() || !take('=')) return at("expected a field as name=value");
      if (const std::string error = value(field); !error.empty()) return error;
      record_.fields.push_back(field);
    } while (take(','));
    if (at_ < line_.size() && line_[at_] != ' ') return at("expected a comma, or a space before the timestamp");
    skip_spaces();
    if (const std::string_view twice = find_repeated_name(record_); twice.data() != nullptr) {
      return "line protocol: the field or tag '" + std::string(twice) + "' comes twice";
    }
    if (at_ == line_.size()) return {};
    const std::string_view time = line_.substr(at_);
    int64_t time_ns = 0;
    const auto [end, error] = std::from_chars(time.data(), time.data() + time.size(), time_ns);
    if (error != std::errc() || end != time.data() + time.size()) return at("expected a timestamp in nanoseconds");
    if (time_ns == INT64_MIN) return at("the timestamp exceeds the protocol's range");
    record_.time_ns = time_ns;
    return {};
  }

 private:
  std::string at(const std::string& what) const {
    return "line protocol, column " + std::to_string(at_ + 1) + ": " + what;
  }
  bool take(char c) { return at_ < line_.size() && line_[at_] == c ? (++at_, true) : false; }
  void skip_spaces() {
    while (take(' ')) {
    }
  }

  // Reads up to one of `ends`.
  std::string_view name(std::string_view ends) {
    const size_t begin = at_;
    bool escaped = false;
    for (; at_ < line_.size() && ends.find(line_[at_]) == std::string_view::npos; ++at_) {
      if (is_escape(line_, at_)) escaped = true, ++at_;
    }
    const std::string_view raw = line_.substr(begin, at_ - begin);
    if (!escaped) return raw;
    std::string text;
    for (size_t i = 0; i < raw.size(); ++i) {
      if (is_escape(raw, i)) ++i;
      text += raw[i];
    }
    return record_.decoded.emplace_back(std::move(text));
  }

  std::string value(Field& field) {
    if (take('"')) {
      std::string text;
      bool escaped = false;
      const size_t begin = at_;
      for (;; ++at_) {
        if (at_ == line_.size()) return at("a string without an end");
        if (line_[at_] == '"') break;
        if (line_[at_] == '\\' && at_ + 1 < line_.size() && (line_[at_ + 1] == '"' || line_[at_ + 1] == '\\'))
          escaped = true, ++at_;
        text += line_[at_];
      }
      field.text =
          escaped ? std::string_view(record_.decoded.emplace_back(std::move(text))) : line_.substr(begin, at_ - begin);
      field.kind = Field::Kind::text;
      ++at_;
      return {};
    }
    const size_t begin = at_;
    at_ = std::min(line_.find_first_of(", ", at_), line_.size());
    field.text = line_.substr(begin, at_ - begin);
    for (const char* word : {"t", "T", "true", "True", "TRUE", "f", "F", "false", "False", "FALSE"}) {
      if (field.text != word) continue;
      field.kind = Field::Kind::boolean;
      field.text = *word == 't' || *word == 'T' ? "true" : "false";
      return {};
    }
    std::string_view digits = field.text;
    if (digits.ends_with('i') || digits.ends_with('u')) digits.remove_suffix(1);
    const std::optional<double> number = parse_number(digits);
    if (!number) {
      at_ = begin;
      return at("'" + std::string(field.text) + "' is not a number, string or boolean");
    }
    field.number = *number;
    field.kind = std::isfinite(*number) ? Field::Kind::number : Field::Kind::null;
    return {};
  }

  std::string_view line_;
  Record& record_;
  size_t at_ = 0;
};

void append_escaped(std::string& to, std::string_view text, std::string_view marked) {
  for (const char c : text) {
    if (marked.find(c) != std::string_view::npos) to += '\\';
    to += c;
  }
}

void append_string(std::string& to, std::string_view text) {
  to += '"';
  append_escaped(to, text, "\"\\");
  to += '"';
}

class LineProtocol final : public Format {
 public:
  const char* name() const override { return "line"; }

  // A string may contain line ends.
  bool goes_on(std::string_view line, Open& open) const override {
    for (size_t at = open.in_quotes ? 0 : line.find("=\""); at < line.size();) {
      if (!open.in_quotes) at += 2, open.in_quotes = true;
      for (; at < line.size() && line[at] != '"'; ++at) {
        if (line[at] == '\\') ++at;
      }
      if (at >= line.size()) return true;
      open.in_quotes = false;
      at = line.find("=\"", at);
    }
    return open.in_quotes;
  }

  void cut(std::string_view text, const std::function<void(std::string_view)>& found) const override {
    Open open;
    for (size_t begin = 0, from = 0; begin < text.size();) {
      const size_t end = std::min(text.find('\n', from), text.size());
      from = end + 1;
      if (goes_on(text.substr(begin, end - begin), open = {}) && end < text.size()) continue;
      const std::string_view line = text.substr(begin, end - begin);
      if (begin == 0 && end == text.size()) return found(text);
      if (!is_no_record(line)) found(line);
      begin = from;
    }
  }

  std::string parse(std::string_view line, Record& record) const override {
    record.clear();
    if (line.ends_with('\r')) line.remove_suffix(1);
    record.line = line;
    return Scanner(line, record).run();
  }

  void write(const Record& record, std::span<const Added> added, bool as_it_came, std::string& to) const override {
    const size_t time_begin = as_it_came ? time_place(record) : 0;
    if (as_it_came) {
      to += record.line.substr(0, time_begin);
    } else {
      write_record(record, is_tag, to);
    }
    const bool has_fields =
        std::any_of(record.fields.begin(), record.fields.end(), [](const Field& field) { return !field.is_tag; });
    if (as_it_came && !has_fields) to += ' ';
    bool first = to.ends_with(' ');
    for (const Added& item : added) {
      if (item.kind == Field::Kind::null) continue;
      if (!first) to += ',';
      first = false;
      append_escaped(to, item.name, ",= ");
      to += '=';
      if (item.kind == Field::Kind::number)
        append_number(to, item.number);
      else
        append_string(to, item.text);
    }
    if (record.time_ns) (to += ' ') += std::to_string(*record.time_ns);
  }

  std::string text_of(const Record& record) const override {
    std::string text;
    write_record(record, was_tag, text);
    if (record.time_ns) (text += ' ') += std::to_string(*record.time_ns);
    return text;
  }

 private:
  // Where the fields end.
  static size_t time_place(const Record& record) {
    size_t end = record.line.find_last_not_of(' ') + 1;
    if (record.time_ns) {
      end = record.line.find_last_of(' ', end - 1);
      end = record.line.find_last_not_of(' ', end) + 1;
    }
    return end;
  }

  // A text of another format is a tag if it names the series.
  static bool is_tag(const Field& field) {
    return field.kind == Field::Kind::text && !field.is_inner && !field.text.empty() &&
           field.text.find_first_of("\n\r\\") == std::string_view::npos;
  }

  static bool was_tag(const Field& field) { return field.is_tag; }

  // Numbers, booleans, and texts that a tag cannot hold are fields.
  static void write_record(const Record& record, bool (*is_tag)(const Field&), std::string& to) {
    append_escaped(to, record.measurement.empty() ? "record" : record.measurement, ", ");
    for (const Field& field : record.fields) {
      if (!is_tag(field)) continue;
      to += ',';
      append_escaped(to, field.name, ",= ");
      to += '=';
      append_escaped(to, field.text, ",= ");
    }
    to += ' ';
    bool first = true;
    for (const Field& field : record.fields) {
      const bool is_object = field.kind == Field::Kind::json && field.text.starts_with('{');  // its members follow
      if (is_tag(field) || field.kind == Field::Kind::null || is_object) continue;
      if (field.text.empty() && field.kind != Field::Kind::number) continue;
      if (!first) to += ',';
      first = false;
      append_escaped(to, field.name, ",= ");
      to += '=';
      if (field.kind == Field::Kind::number)
        append_exactly(to, field.number);
      else if (field.kind == Field::Kind::boolean)
        to += field.text;
      else
        append_string(to, field.text);
    }
  }
};

}  // namespace

std::unique_ptr<Format> make_line_protocol() { return std::make_unique<LineProtocol>(); }

}  // namespace coil::sensor
