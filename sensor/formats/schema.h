// Which of a record's fields are its key, its time and its values.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sensor/records/record.h"

namespace coil::sensor {

inline constexpr char kKeySeparator = '\x1f';  // texts do not hold it

struct SchemaOptions {
  std::vector<std::string>
      keys;  // fields or tags; empty: of the line protocol measurement and tags, else all records are of one key
  std::vector<std::string> values;  // empty: every field that is a number and neither key nor time
  std::string time;         // a field, or two with a comma between; empty: the one whose name is usual for a time
  std::string time_format;  // of strptime, or s, ms, us, ns; empty: RFC 3339 or a number
};

// A field that is a value, or would be one if its series were known.
struct Value {
  enum class Certainty : uint8_t {
    kSure,    // a number, or named by --value
    kQuoted,  // a number in quotes: a value where the field never held another text
    kIfKnown  // no number, which is a missing value of a series that has had numbers
  };

  std::string_view name;
  double number = 0;
  bool is_missing = false;
  Certainty certainty = Certainty::kSure;
  bool is_text = false;  // something else than a number where one is wanted
};

// Made to be used again, as Record is.
struct Selection {
  std::string key;  // topic and key fields, separated by kKeySeparator
  std::optional<int64_t> time_ns;
  const Field* time_field = nullptr;   // where time_ns came from, unless from the line protocol's own place
  const Field* clock_field = nullptr;  // of a time in two fields the second one
  std::vector<Value> values;
  bool lacks_value = false;  // a value is missing, though which one cannot be known
};

// Why a record cannot be scored.
enum class Unusable : uint8_t { kNo, kKey, kTime, kValue, kNumber };
inline constexpr size_t kUnusableKinds = 5;

class Schema {
 public:
  explicit Schema(SchemaOptions options);

  // What is wrong, `what` in words; kNo: `selection` is filled. Values are there in any case. [any thread]
  Unusable select(const Record& record, std::string_view topic, Selection& selection, std::string& what) const;

  // Whether a field that is no number in the first record may turn out to be a value; `with_texts`: whatever its text
  // is. [any thread]
  bool may_become_value(const Field& field, const Selection& selection, bool with_texts) const;
  // Whether an option names the field, or it is called as times are. [any thread]
  bool knows(std::string_view name) const;
  const SchemaOptions& options() const { return options_; }

 private:
  bool select_key(const Record& record, std::string_view topic, std::string& key, std::string& what) const;
  bool select_time(const Record& record, Selection& selection, std::string& what) const;
  void find_time(const Record& record, Selection& selection) const;
  void find_time_in_two(const Record& record, Selection& selection) const;
  std::optional<int64_t> time_of(const Selection& selection) const;
  Unusable select_values(const Record& record, Selection& selection, std::string& what) const;
  bool is_key(std::string_view name) const;
  bool is_named_value(std::string_view name) const;

  SchemaOptions options_;
  std::string time_, clock_;  // the fields of options_.time
};

}  // namespace coil::sensor
