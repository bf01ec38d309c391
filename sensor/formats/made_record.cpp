// Replaces the fields of a record one by one.
#include "sensor/formats/made_record.h"

#include <algorithm>
#include <vector>

#include "sensor/formats/timestamp.h"

namespace coil::sensor {
namespace {

Field* find(Record& record, std::string_view name) {
  const auto found =
      std::find_if(record.fields.begin(), record.fields.end(), [&](const Field& field) { return field.name == name; });
  return found == record.fields.end() ? nullptr : &*found;
}

// The number of spaces tells where a text in two fields is divided.
size_t second_half(std::string_view whole, std::string_view first_half) {
  size_t at = 0;
  for (auto spaces = std::count(first_half.begin(), first_half.end(), ' '); spaces >= 0; --spaces)
    at = whole.find(' ', at) + 1;
  return at;
}

}  // namespace

MadeRecord::MadeRecord(const Record& model, const Selection& selection, const SchemaOptions& schema) : schema_(schema) {
  record_.line = model.line;
  record_.measurement = model.measurement;
  record_.time_ns = model.time_ns;
  for (const Field& field : model.fields) {
    record_.fields.push_back(field);
    record_.fields.back().text = keep(std::string(field.text));
    record_.fields.back().name = keep(std::string(field.name));
    if (&field == selection.time_field) time_name_ = record_.fields.back().name;
    if (&field == selection.clock_field) clock_name_ = record_.fields.back().name;
  }
}

void MadeRecord::set_time(int64_t time_ns) {
  if (record_.time_ns) record_.time_ns = time_ns;
  Field* const time = time_name_.empty() ? nullptr : find(record_, time_name_);
  if (!time) return;
  Field* const clock = clock_name_.empty() ? nullptr : find(record_, clock_name_);
  if (!clock) {
    const bool is_number = time->kind == Field::Kind::number;
    time->text = keep(format_timestamp_as(time_ns, time->text, schema_.time_format));
    if (is_number) time->kind = Field::Kind::json;  // so that its digits stay as they are
    return;
  }
  const std::string_view whole = keep(schema_.time_format.empty() ? format_date_and_time(time_ns)
                                                                  : format_timestamp(time_ns, schema_.time_format));
  const size_t half = second_half(whole, schema_.time_format.empty() ? std::string_view() : time->text);
  time->text = whole.substr(0, half - 1);
  clock->text = whole.substr(half);
}

Field& MadeRecord::field_of(std::string_view name) {
  if (Field* const field = find(record_, name)) return *field;
  Field& field = record_.fields.emplace_back();
  field.name = keep(std::string(name));
  return field;
}

void MadeRecord::set_number(std::string_view name, double number) {
  Field& field = field_of(name);
  field.kind = Field::Kind::number;
  field.number = number;
  field.text = {};
  field.is_inner = false;
}

void MadeRecord::set_missing(std::string_view name) {
  Field& field = field_of(name);
  field.kind = Field::Kind::null;
  field.text = {};
}

void MadeRecord::add_text(std::string_view name, std::string_view text, bool is_tag) {
  Field field;
  field.name = keep(std::string(name));
  field.text = keep(std::string(text));
  field.is_tag = is_tag;
  record_.fields.push_back(field);
}

void MadeRecord::keep_only_key(std::string_view key) {
  const std::vector<Field> had = record_.fields;
  std::erase_if(record_.fields,
                [&](const Field& field) { return field.name != time_name_ && field.name != clock_name_; });
  const std::vector<std::string_view> parts = split_key(key);  // the topic comes first
  if (schema_.keys.empty()) {
    for (size_t i = 1; i < parts.size(); ++i) {
      if (i == 1) record_.measurement = keep(std::string(parts[i]));
      const size_t equals = parts[i].find('=');
      if (i > 1 && equals != std::string_view::npos)
        add_text(parts[i].substr(0, equals), parts[i].substr(equals + 1), true);
    }
    return;
  }
  // A key "topic" may be the topic itself.
  size_t part = 1;
  for (size_t i = 0; i < schema_.keys.size() && part < parts.size(); ++i) {
    const std::string& name = schema_.keys[i];
    if (name == "topic" && parts.size() - part < schema_.keys.size() - i) continue;
    const auto field = std::find_if(had.begin(), had.end(), [&](const Field& one) { return one.name == name; });
    if (field == had.end() && name == "measurement") {
      record_.measurement = keep(std::string(parts[part++]));
      continue;
    }
    add_text(name, parts[part++], field != had.end() && field->is_tag);
    if (field != had.end() && field->kind == Field::Kind::number) record_.fields.back().kind = Field::Kind::json;
  }
}

}  // namespace coil::sensor
