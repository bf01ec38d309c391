// CSV with a header (RFC 4180, one record a line): cells are named by their columns.
#include <algorithm>
#include <map>

#include "sensor/formats/format.h"
#include "sensor/formats/timestamp.h"

namespace coil::sensor {
namespace {

constexpr std::string_view kMissing[] = {"", "nan", "NaN", "NAN", "null", "NULL", "NA", "N/A", "None", "inf", "-inf", "Infinity", "-Infinity"};

// Calls cell(text, was_quoted, record) for each; what is wrong, or an empty string.
template <class Cell>
std::string split(std::string_view line, std::deque<std::string>& decoded, Cell cell) {
  if (line.ends_with('\r')) line.remove_suffix(1);
  for (size_t at = 0;;) {
    if (at < line.size() && line[at] == '"') {
      std::string text;
      for (++at;; ++at) {
        if (at == line.size()) return "a quoted cell without an end";
        if (line[at] != '"') text += line[at];
        else if (at + 1 < line.size() && line[at + 1] == '"') text += line[at++];
        else break;
      }
      ++at;
      if (at < line.size() && line[at] != ',') return "text after a quoted cell";
      cell(std::string_view(decoded.emplace_back(std::move(text))), true);
    } else {
      const size_t end = std::min(line.find(',', at), line.size());
      cell(line.substr(at, end - at), false);
      at = end;
    }
    if (at >= line.size()) return {};
    ++at;
  }
}

std::string_view trimmed(std::string_view text) {
  const size_t begin = text.find_first_not_of(" \t");
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t") - begin + 1);
}

void append_cell(std::string& to, std::string_view text) {
  if (text.find_first_of(",\"\r\n") == std::string_view::npos) {
    to += text;
    return;
  }
  to += '"';
  for (const char c : text) {
    if (c == '"') to += '"';
    to += c;
  }
  to += '"';
}

class Csv final : public Format {
 public:
  const char* name() const override { return "csv"; }

  bool take_header(std::string_view line) override {
    if (!columns_.empty()) return false;
    if (line.starts_with("\xef\xbb\xbf")) line.remove_prefix(3);
    std::deque<std::string> decoded;
    split(line, decoded, [&](std::string_view text, bool) { columns_.emplace_back(trimmed(text)); });
    header_ = line.ends_with('\r') ? line.substr(0, line.size() - 1) : line;
    return true;
  }

  std::span<const std::string> columns() const override { return columns_; }

  bool is_header(std::string_view line) const override {
    if (line.ends_with('\r')) line.remove_suffix(1);
    return !columns_.empty() && line == header_;
  }

  bool is_row(std::string_view line) const override {
    Record record;
    if (is_header(line) || !parse(line, record).empty()) return false;
    return std::any_of(record.fields.begin(), record.fields.end(), [](const Field& field) {
      return field.kind == Field::Kind::number || (field.kind == Field::Kind::text && parse_timestamp(field.text));
    });
  }

  std::string row_of(const Record& record) const override {
    std::string line;
    for (const std::string& column : columns_) {
      if (&column != &columns_.front()) line += ',';
      if (const Field* field = record.find(column)) append_cell(line, field->text);
    }
    return line;
  }

  std::string parse(std::string_view line, Record& record) const override {
    record.clear();
    if (line.ends_with('\r')) line.remove_suffix(1);
    record.line = line;
    size_t cells = 0;
    const std::string error = split(line, record.decoded, [&](std::string_view text, bool quoted) {
      if (cells < columns_.size()) record.fields.push_back(field(columns_[cells], text, quoted));
      ++cells;
    });
    if (!error.empty()) return error;
    if (cells != columns_.size()) {
      return std::to_string(cells) + (cells == 1 ? " cell" : " cells") + ", the header has " + std::to_string(columns_.size());
    }
    return {};
  }

  std::optional<std::string> header(const Record& record, std::span<const Added> added) override {
    std::string line = header_;
    if (columns_.empty()) {
      if (!record.measurement.empty()) written_.emplace_back("measurement");
      for (const Field& field : record.fields) written_.emplace_back(field.name);
      if (record.time_ns) written_.emplace_back("time");
      for (const std::string& column : written_) comma(line), append_cell(line, column);
    }
    for (const Added& item : added) added_.emplace_back(item.name), comma(line), append_cell(line, item.name);
    return line;
  }

  void write(const Record& record, std::span<const Added> added, bool as_it_came, std::string& to) const override {
    const size_t begin = to.size();
    const auto next = [&] {
      if (to.size() > begin) to += ',';
    };
    if (as_it_came) {
      to += record.line;
    } else {
      for (size_t i = 0; i < written_.size(); ++i) {
        if (i > 0) to += ',';
        if (const Field* field = record.find(written_[i])) {
          if (field->kind != Field::Kind::null) append_cell(to, field->text);
        } else if (written_[i] == "measurement") {
          append_cell(to, record.measurement);
        } else if (written_[i] == "time" && record.time_ns) {
          to += format_timestamp(*record.time_ns);
        }
      }
    }
    for (const std::string& column : added_) {
      next();
      const auto item = std::find_if(added.begin(), added.end(), [&](const Added& a) { return a.name == column; });
      if (item == added.end() || item->kind == Field::Kind::null) continue;
      if (item->kind == Field::Kind::number) append_number(to, item->number);
      else append_cell(to, item->text);
    }
  }

 private:
  static void comma(std::string& line) {
    if (!line.empty()) line += ',';
  }

  static Field field(std::string_view column, std::string_view text, bool quoted) {
    Field field;
    field.name = column;
    field.text = quoted ? text : trimmed(text);
    if (std::find(std::begin(kMissing), std::end(kMissing), field.text) != std::end(kMissing)) {
      field.kind = Field::Kind::null;
    } else if (const std::optional<double> value = parse_number(field.text)) {
      field.number = *value;
      field.kind = std::isfinite(*value) ? Field::Kind::number : Field::Kind::null;
    } else {
      field.kind = Field::Kind::text;
    }
    return field;
  }

  std::vector<std::string> columns_;  // as read
  std::string header_;
  std::vector<std::string> written_, added_;  // columns of the output: of records of other formats, and what results add
};

}  // namespace

std::unique_ptr<Format> make_csv() { return std::make_unique<Csv>(); }

}  // namespace coil::sensor
