// Finds fields by their names.
#include "sensor/formats/schema.h"

#include <algorithm>

#include "sensor/formats/number.h"
#include "sensor/formats/timestamp.h"

namespace coil::sensor {
namespace {

constexpr size_t kShownText = 40;

std::string quoted(std::string_view name) { return "'" + std::string(name.substr(0, kShownText)) + "'"; }

const Field* find_value(const Record& record, std::string_view name) {
  const Field* found = nullptr;
  for (const Field& field : record.fields) {
    if (field.name != name) continue;
    if (!field.is_tag) return &field;
    found = &field;
  }
  return found;
}

}  // namespace

std::vector<std::string_view> split_key(std::string_view key) {
  std::vector<std::string_view> parts;
  for (size_t from = 0;;) {
    const size_t end = key.find(kKeySeparator, from);
    parts.push_back(key.substr(from, end - from));
    if (end == std::string_view::npos) return parts;
    from = end + 1;
  }
}

Schema::Schema(SchemaOptions options) : options_(std::move(options)), time_(options_.time) {
  if (const size_t comma = time_.find(','); comma != std::string::npos) {
    clock_ = time_.substr(comma + 1);
    time_.resize(comma);
  }
}

bool Schema::is_key(std::string_view name) const {
  return std::find(options_.keys.begin(), options_.keys.end(), name) != options_.keys.end();
}

bool Schema::is_named_value(std::string_view name) const {
  return std::find(options_.values.begin(), options_.values.end(), name) != options_.values.end();
}

bool Schema::knows(std::string_view name) const {
  return is_key(name) || is_named_value(name) ||
         (!name.empty() && (name == options_.time || name == time_ || name == clock_)) ||
         time_name_rank(name).has_value();
}

bool Schema::may_become_value(const Field& field, const Selection& selection, bool with_texts) const {
  if (field.is_tag || field.is_inner || &field == selection.time_field || &field == selection.clock_field) return false;
  if (!options_.values.empty()) return is_named_value(field.name);
  if (is_key(field.name) || field.is_unnamed) return false;
  return field.kind == Field::Kind::null ||
         (field.kind == Field::Kind::text && (with_texts || stands_for_number(field.text)));
}

bool Schema::select_key(const Record& record, std::string_view topic, std::string& key, std::string& what) const {
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
    return true;
  }
  for (const std::string& name : options_.keys) {
    const Field* field = record.find(name);
    if (!field && name == "topic" && !topic.empty()) continue;  // already part of the key
    if (!field && !(name == "measurement" && !record.measurement.empty())) {
      what = "no field " + quoted(name) + " (--key)";
      return false;
    }
    key += kKeySeparator;
    key += field ? field->text : record.measurement;
  }
  return true;
}

std::string Schema::group_of(std::string_view key) const {
  if (options_.groups.empty()) return {};
  std::string group(1, kGroupMark);
  const std::vector<std::string_view> parts = split_key(key);
  if (options_.groups.front() == "*") return group;
  for (const std::string& name : options_.groups) {
    std::string_view found;
    if (options_.keys.empty()) {
      const std::string tag = name + "=";
      for (const std::string_view part : parts) {
        if (part.starts_with(tag)) found = part;
      }
    } else {
      const auto place = std::find(options_.keys.begin(), options_.keys.end(), name);
      // The first part is the topic; a key called "topic" may have no part of its own.
      const auto from_end = static_cast<size_t>(options_.keys.end() - place);
      if (from_end < parts.size()) found = parts[parts.size() - from_end];
    }
    group += kKeySeparator;
    group += found;
  }
  return group;
}

// A field whose name is usual for times; of several, the likeliest name whose field holds a time.
void Schema::find_time(const Record& record, Selection& selection) const {
  int best = 0;
  bool best_is_time = false, has_several = false;
  for (const Field& field : record.fields) {
    if (field.is_inner) continue;
    const std::optional<int> rank = time_name_rank(field.name);
    if (!rank || is_key(field.name) || is_named_value(field.name)) continue;
    if (!selection.time_field) {
      best = *rank, selection.time_field = &field;
      continue;
    }
    if (!has_several) best_is_time = parse_timestamp(selection.time_field->text).has_value(), has_several = true;
    const bool is_time = parse_timestamp(field.text).has_value();
    if (is_time == best_is_time ? *rank >= best : best_is_time) continue;
    best = *rank, best_is_time = is_time, selection.time_field = &field;
  }
  if (has_several) find_time_in_two(record, selection);
}

// A date in one field, and the time of day in another.
void Schema::find_time_in_two(const Record& record, Selection& selection) const {
  const Field *date = nullptr, *clock = nullptr;
  for (const Field& field : record.fields) {
    if (field.is_inner || !time_name_rank(field.name) || is_key(field.name) || is_named_value(field.name)) continue;
    if (!date && is_date(field.text))
      date = &field;
    else if (!clock && is_time_of_day(field.text))
      clock = &field;
  }
  const bool is_whole = selection.time_field != date && selection.time_field != clock;
  if (!date || !clock || (is_whole && parse_timestamp(selection.time_field->text))) return;
  selection.time_field = date;
  selection.clock_field = clock;
}

std::optional<int64_t> Schema::time_of(const Selection& selection) const {
  const auto parse = [&](std::string_view text) {
    return options_.time_format.empty() ? parse_timestamp(text) : parse_timestamp(text, options_.time_format);
  };
  if (!selection.clock_field) return parse(selection.time_field->text);
  return parse(std::string(selection.time_field->text) + " " + std::string(selection.clock_field->text));
}

bool Schema::select_time(const Record& record, Selection& selection, std::string& what) const {
  selection.time_ns = record.time_ns;
  selection.time_field = selection.clock_field = nullptr;
  if (options_.time.empty()) {
    if (record.time_ns) return true;
    find_time(record, selection);
    if (!selection.time_field) return true;
  } else if (!(selection.time_field = record.find(options_.time))) {
    selection.time_field = record.find(time_);
    if (!clock_.empty()) selection.clock_field = record.find(clock_);
    if (!selection.time_field || (!clock_.empty() && !selection.clock_field)) {
      if (what.empty()) what = "no field " + quoted(selection.time_field ? clock_ : time_) + " (--time)";
      return false;
    }
  }
  selection.time_ns = time_of(selection);
  if (selection.time_ns || !what.empty()) return selection.time_ns.has_value();
  what = "field " + quoted(selection.time_field->name) + ": " + quoted(selection.time_field->text);
  if (!options_.time_format.empty()) {
    what += " is not a time in the form " + quoted(options_.time_format) + " (--time-format)";
  } else {
    what +=
        " is not a time from 1678 to 2261; expected RFC 3339 or a number of s, ms, us or ns since 1970, or "
        "--time-format "
        "says what it is";
  }
  return false;
}

Unusable Schema::select_values(const Record& record, Selection& selection, std::string& what) const {
  using Kind = Field::Kind;
  // In CSV and line protocol, numbers were already parsed, so a text is not a number.
  const auto number_of = [](const Field& field) -> std::optional<double> {
    if (field.kind == Kind::number) return field.number;
    return field.kind == Kind::text ? parse_measure(field.text, false) : std::nullopt;
  };
  const auto add = [&](const Field& field, std::optional<double> number, Value::Certainty certainty) {
    const bool is_finite = number && std::isfinite(*number);
    const bool is_text = !number && field.kind != Kind::null && !stands_for_number(field.text);
    selection.values.push_back({field.name, is_finite ? *number : 0, !is_finite, certainty, is_text});
  };
  for (const std::string& name : options_.values) {
    if (const Field* field = find_value(record, name)) add(*field, number_of(*field), Value::Certainty::kSure);
  }
  if (!options_.values.empty()) {
    if (!selection.values.empty()) return Unusable::kNo;
    if (what.empty()) what = "no field " + quoted(options_.values.front()) + " (--value)";
    return Unusable::kValue;
  }
  for (const Field& field : record.fields) {
    if (field.is_tag || &field == selection.time_field || &field == selection.clock_field || field.is_unnamed ||
        is_key(field.name))
      continue;
    if (field.kind == Kind::number) {
      selection.values.push_back({field.name, field.number, false, Value::Certainty::kSure, false});
    } else if (field.kind == Kind::text) {
      const std::optional<double> number = record.measurement.empty() ? parse_number(field.text) : std::nullopt;
      if (number && std::isfinite(*number))
        add(field, number, Value::Certainty::kQuoted);
      else
        add(field, parse_measure(field.text, false), Value::Certainty::kIfKnown);
      selection.lacks_value = selection.lacks_value || stands_for_number(field.text);
    } else if (field.kind == Kind::null) {
      add(field, std::nullopt, Value::Certainty::kIfKnown);
      selection.lacks_value = true;
    } else if (field.kind == Kind::boolean) {
      add(field, std::nullopt, Value::Certainty::kIfKnown);
    }
  }
  if (!selection.values.empty()) return Unusable::kNo;
  if (what.empty()) what = "no field is a number";
  return Unusable::kNumber;
}

Unusable Schema::select(const Record& record, std::string_view topic, Selection& selection, std::string& what) const {
  selection.values.clear();
  selection.lacks_value = false;
  what.clear();
  const bool has_key = select_key(record, topic, selection.key, what);
  const bool has_time = select_time(record, selection, what);
  const Unusable values = select_values(record, selection, what);
  return !has_key ? Unusable::kKey : !has_time ? Unusable::kTime : values;
}

}  // namespace coil::sensor
