// Which of a record's fields are its key, its time and its values.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sensor/record.h"

namespace coil::sensor {

inline constexpr char kKeySeparator = '\x1f';  // texts do not hold it

struct SchemaOptions {
  std::vector<std::string> keys;    // fields or tags; empty: of the line protocol measurement and tags, else all records are of one key
  std::vector<std::string> values;  // empty: every field that is a number and neither key nor time
  std::string time;                 // empty: the first of `time`, `timestamp`, `ts`, `date`, `datetime`, `@timestamp` that is there
};

// Made to be used again, as Record is.
struct Selection {
  std::string key;                     // topic and key fields, separated by kKeySeparator
  std::optional<int64_t> time_ns;
  const Field* time_field = nullptr;   // where time_ns came from, unless from the line protocol's own place
  std::vector<const Field*> values;    // numbers, or null: missing
};

class Schema {
 public:
  explicit Schema(SchemaOptions options) : options_(std::move(options)) {}

  // CSV cannot tell an empty cell of a number from that of a text: the values are the columns that are numbers, or empty, in its first record.
  // One thread.
  void fix_values(const Record& first_record);
  bool has_fixed_values() const { return !fixed_values_.empty(); }

  // Empty: `selection` is filled; else what is wrong with the record. [any thread]
  std::string select(const Record& record, std::string_view topic, Selection& selection) const;

 private:
  std::string select_key(const Record& record, std::string_view topic, std::string& key) const;
  std::string select_time(const Record& record, Selection& selection) const;
  bool is_key(std::string_view name) const;

  SchemaOptions options_;
  std::vector<std::string> fixed_values_;
};

}  // namespace coil::sensor
