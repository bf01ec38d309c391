// CSV with a header (RFC 4180 and common variants): cells are named by their columns.
#include <algorithm>

#include "sensor/formats/csv_head.h"
#include "sensor/formats/format.h"
#include "sensor/formats/number.h"
#include "sensor/formats/timestamp.h"

namespace coil::sensor {
namespace {

class Csv final : public Format {
 public:
  explicit Csv(std::function<bool(std::string_view)> knows) : finder_(std::move(knows)) {}

  const char* name() const override { return "csv"; }

  std::optional<size_t> take_head(std::span<const std::string> lines, bool at_end) override {
    std::optional<CsvHead> head = finder_.find(lines, at_end);
    if (!head) return std::nullopt;
    head_ = std::move(*head);
    is_known_ = true;
    return head_.lines;
  }

  bool goes_on(std::string_view line, Open& open) const override {
    const std::string_view separators = is_known_ ? std::string_view(&head_.separator, 1) : std::string_view(",;\t|");
    open.in_quotes = ends_in_quotes(line, separators, open.in_quotes);
    return open.in_quotes;
  }

  bool stands_alone(std::string_view line) const override { return head_.columns.size() >= 2 && is_row(line); }

  bool is_row(std::string_view line) const override {
    if (!is_known_ || ends_in_quotes(line, {&head_.separator, 1}, false)) return false;
    size_t cells = 0;
    bool is_data = false;
    std::string scratch;
    const std::string error = split_csv(line, head_.separator, scratch, [&](std::string_view text, bool, size_t) {
      ++cells;
      is_data = is_data || parse_written_number(trimmed(text), true) || parse_timestamp(trimmed(text));
    });
    return error.empty() && cells == head_.columns.size() && is_data;
  }

  bool is_no_record(std::string_view line) const override {
    if (line == head_.header) return true;  // the header of another file after the first one
    if (Format::is_no_record(line)) return !line.starts_with('#') || !has_all_cells(line);
    return false;
  }

  std::span<const std::string> columns() const override { return head_.columns; }

  bool has_rows_of(const Format& other) const override {
    const auto* csv = dynamic_cast<const Csv*>(&other);
    return csv && csv->head_.separator == head_.separator && csv->head_.columns == head_.columns;
  }

  std::string row_of(const Record& record) const override {
    std::string line;
    for (const std::string& column : head_.columns) {
      if (&column != &head_.columns.front()) line += head_.separator;
      if (const Field* field = record.find(column)) append_cell(line, field->text);
    }
    return line;
  }

  std::string text_of(const Record& record) const override {
    std::string line;
    for (const std::string& column : head_.columns) {
      if (&column != &head_.columns.front()) line += head_.separator;
      const Field* field = record.find(column);
      if (!field || field->kind == Field::Kind::null) continue;
      if (field->kind != Field::Kind::number || !field->text.empty()) {
        append_cell(line, field->text);
        continue;
      }
      std::string number;
      append_exactly(number, field->number);
      if (const size_t point = number.find('.'); head_.decimal_comma && point != std::string::npos) number[point] = ',';
      append_cell(line, number);
    }
    return line;
  }

  std::string parse(std::string_view line, Record& record) const override {
    record.clear();
    record.line = line;
    size_t cells = 0, filled = 0;
    std::string scratch;
    const std::string error =
        split_csv(line, head_.separator, scratch, [&](std::string_view text, bool quoted, size_t) {
          if (quoted) text = record.decoded.emplace_back(text);
          if (cells < head_.columns.size()) record.fields.push_back(field(cells, text, quoted));
          ++cells;
          if (!trimmed(text).empty()) filled = cells;
        });
    if (!error.empty()) return error;
    if (cells == head_.columns.size()) return {};
    const std::string counts = std::to_string(cells) + (cells == 1 ? " cell" : " cells") + ", the header has " +
                               std::to_string(head_.columns.size());
    if (filled > head_.columns.size()) return counts;
    if (cells < head_.columns.size()) record.note = counts + ": the others are taken as missing";
    for (; cells < head_.columns.size(); ++cells) record.fields.push_back(field(cells, {}, false));
    return {};
  }

  std::optional<std::string> header(const Record& record, std::span<const Added> added) override {
    std::string text;
    for (const std::string& line : head_.before) (text += line) += '\n';
    text += head_.header;
    if (head_.columns.empty()) {
      if (!record.measurement.empty()) written_.emplace_back("measurement");
      for (const Field& field : record.fields) {
        if (!field.is_inner) written_.emplace_back(field.name);
      }
      if (record.time_ns) written_.emplace_back("time");
      for (const std::string& column : written_) separate(text), append_cell(text, column);
    }
    for (const Added& item : added) {
      added_.emplace_back(item.name);
      if (!text.empty() && text.back() != '\n') text += head_.separator;
      append_cell(text, item.name);
    }
    for (const std::string& line : head_.units) (text += '\n') += line + std::string(added_.size(), head_.separator);
    return text;
  }

  void write(const Record& record, std::span<const Added> added, bool as_it_came, std::string& to) const override {
    if (as_it_came)
      append_row(record, to);
    else
      append_written(record, to);
    for (size_t i = 0; i < added_.size(); ++i) {
      if (i > 0 || as_it_came || !written_.empty()) to += head_.separator;
      const Added* item = find(added, i);
      if (!item || item->kind == Field::Kind::null) continue;
      if (item->kind == Field::Kind::text)
        append_cell(to, item->text);
      else
        append_decimal(to, item->number);
    }
  }

  std::vector<const Field*> left_out(const Record& record) const override {
    std::vector<const Field*> fields;
    for (const Field& field : record.fields) {
      if (!field.is_inner && std::find(written_.begin(), written_.end(), field.name) == written_.end())
        fields.push_back(&field);
    }
    return fields;
  }

  bool has_column(std::string_view name) const override {
    return std::find(added_.begin(), added_.end(), name) != added_.end();
  }
  bool has_fixed_columns() const override { return true; }

 private:
  // Results come in the order of the header, without those that were left out.
  const Added* find(std::span<const Added> added, size_t column) const {
    for (size_t i = column; i < added.size(); ++i) {
      if (added[i].name == added_[column]) return &added[i];
    }
    for (size_t i = std::min(column, added.size()); i-- > 0;) {
      if (added[i].name == added_[column]) return &added[i];
    }
    return nullptr;
  }

  void separate(std::string& line) const {
    if (!line.empty()) line += head_.separator;
  }

  void append_cell(std::string& to, std::string_view text) const {
    const char marked[] = {head_.separator, '"', '\r', '\n'};
    if (text.find_first_of(std::string_view(marked, sizeof marked)) == std::string_view::npos) {
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

  void append_decimal(std::string& to, double value) const {
    const size_t begin = to.size();
    append_number(to, value);
    if (!head_.decimal_comma) return;
    if (const size_t point = to.find('.', begin); point != std::string::npos) to[point] = ',';
  }

  // Appends a row with as many cells as the header.
  void append_row(const Record& record, std::string& to) const {
    std::string_view line = record.line;
    const size_t columns = head_.columns.size();
    size_t cells = 0, end = line.size();  // only cells with a column
    if (record.note.empty() && line.find('"') == std::string_view::npos) {
      cells = size_t(std::count(line.begin(), line.end(), head_.separator)) + 1;
      for (; cells > columns; --cells) end = line.rfind(head_.separator, end - 1);  // empty ones
    } else {
      std::string scratch;
      split_csv(line, head_.separator, scratch, [&](std::string_view, bool, size_t cell_end) {
        if (++cells == columns) end = cell_end;
      });
    }
    to += line.substr(0, end);
    if (cells < columns) to.append(columns - cells, head_.separator);
  }

  void append_written(const Record& record, std::string& to) const {
    for (size_t i = 0; i < written_.size(); ++i) {
      if (i > 0) to += head_.separator;
      if (const Field* field = record.find(written_[i])) {
        append_cell(to, field->text);
      } else if (written_[i] == "measurement") {
        append_cell(to, record.measurement);
      } else if (written_[i] == "time" && record.time_ns) {
        to += format_timestamp(*record.time_ns);
      }
    }
  }

  bool has_all_cells(std::string_view line) const {
    size_t cells = 0;
    std::string scratch;
    return split_csv(line, head_.separator, scratch, [&](std::string_view, bool, size_t) { ++cells; }).empty() &&
           cells == head_.columns.size() && cells > 1;
  }

  Field field(size_t column, std::string_view text, bool quoted) const {
    Field field;
    field.name = head_.columns[column];
    field.is_unnamed = !head_.has_name[column];
    field.text = quoted ? text : trimmed(text);
    if (field.text.empty()) {
      field.kind = Field::Kind::null;
    } else if (const std::optional<double> value = parse_written_number(field.text, head_.separator != ',')) {
      field.number = *value;
      field.kind = std::isfinite(*value) ? Field::Kind::number : Field::Kind::null;
    } else {
      field.kind = is_no_value(field.text) ? Field::Kind::null : Field::Kind::text;
    }
    return field;
  }

  CsvHeadFinder finder_;
  CsvHead head_;
  bool is_known_ = false;
  std::vector<std::string> written_,
      added_;  // output columns for records of other formats, and for added fields
};

}  // namespace

std::unique_ptr<Format> make_csv(std::function<bool(std::string_view)> knows) {
  return std::make_unique<Csv>(std::move(knows));
}

}  // namespace coil::sensor
