// Looks fields up by their names.
#include "sensor/formats/schema.h"

#include <algorithm>

#include "sensor/formats/timestamp.h"

namespace coil::sensor {
namespace {

constexpr std::string_view kTimeNames[] = {"time", "timestamp", "ts", "date", "datetime", "@timestamp"};

std::string quoted(std::string_view name) { return "'" + std::string(name) + "'"; }

}  // namespace

bool Schema::is_key(std::string_view name) const { return std::find(options_.keys.begin(), options_.keys.end(), name) != options_.keys.end(); }

void Schema::fix_values(const Record& first_record) {
  if (!options_.values.empty()) return;
  Selection selection;
  select_time(first_record, selection);
  for (const Field& field : first_record.fields) {
    const bool may_be_number = field.kind == Field::Kind::number || field.kind == Field::Kind::null;
    if (may_be_number && &field != selection.time_field && !is_key(field.name)) fixed_values_.emplace_back(field.name);
  }
}

std::string Schema::select_key(const Record& record, std::string_view topic, std::string& key) const {
  key.assign(topic);
  if (options_.keys.empty()) {
    key += kKeySeparator;
    key += record.measurement;
    for (const Field& field : record.fields) {
      if (!field.is_tag) continue;
      key += kKeySeparator;
      key += field.name;
      key += '=';
      key += field.text;
    }
    return {};
  }
  for (const std::string& name : options_.keys) {
    const Field* field = record.find(name);
    if (!field && name == "topic" && !topic.empty()) continue;  // is in the key already
    if (!field && !(name == "measurement" && !record.measurement.empty())) return "no field " + quoted(name) + " (--key)";
    key += kKeySeparator;
    key += field ? field->text : record.measurement;
  }
  return {};
}

std::string Schema::select_time(const Record& record, Selection& selection) const {
  selection.time_ns = record.time_ns;
  selection.time_field = nullptr;
  if (options_.time.empty()) {
    if (record.time_ns) return {};
    for (const std::string_view name : kTimeNames) {
      if (is_key(name) || std::find(options_.values.begin(), options_.values.end(), name) != options_.values.end()) continue;
      if ((selection.time_field = record.find(name))) break;
    }
    if (!selection.time_field) return {};
  } else if (!(selection.time_field = record.find(options_.time))) {
    return "no field " + quoted(options_.time) + " (--time)";
  }
  selection.time_ns = parse_timestamp(selection.time_field->text);
  if (selection.time_ns) return {};
  return "field " + quoted(selection.time_field->name) + ": " + quoted(selection.time_field->text) +
         " is no time; wanted is RFC 3339 or a number of s, ms, us or ns since 1970";
}

std::string Schema::select(const Record& record, std::string_view topic, Selection& selection) const {
  selection.values.clear();
  if (std::string error = select_key(record, topic, selection.key); !error.empty()) return error;
  if (std::string error = select_time(record, selection); !error.empty()) return error;
  const std::vector<std::string>& names = options_.values.empty() ? fixed_values_ : options_.values;
  if (names.empty()) {
    for (const Field& field : record.fields) {
      if (field.is_tag || &field == selection.time_field || is_key(field.name)) continue;
      if (field.kind == Field::Kind::number || field.kind == Field::Kind::null) selection.values.push_back(&field);
    }
    return selection.values.empty() ? "no field that is a number" : std::string();
  }
  for (const std::string& name : names) {
    const Field* field = record.find(name);
    if (!field) continue;
    if (field->kind != Field::Kind::number && field->kind != Field::Kind::null)
      return "field " + quoted(name) + ": " + quoted(field->text.substr(0, 40)) + " is no number";
    selection.values.push_back(field);
  }
  return selection.values.empty() ? "no field " + quoted(names.front()) + " (--value)" : std::string();
}

}  // namespace coil::sensor
