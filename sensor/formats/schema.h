// Chooses a record's key, time and values among its fields.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sensor/records/record.h"

namespace coil::sensor {

inline constexpr char kKeySeparator = '\x1f';  // never occurs in texts
inline constexpr char kGroupMark = '\x1d';     // begins the key of a group

// The topic, then the fields of a key. [any thread]
std::vector<std::string_view> split_key(std::string_view key);

struct SchemaOptions {
  std::vector<std::string>
      keys;  // fields or tags; empty: in line protocol measurement and tags, else all records have one key
  std::vector<std::string> groups;  // keys whose sensors are judged together; "*": all sensors; empty: none
  std::vector<std::string> values;  // empty: every numeric field except key and time
  std::string time;         // one field, or two separated by a comma; empty: a field whose name is usual for times
  std::string time_format;  // for strptime, or s, ms, us, ns; empty: RFC 3339 or a number
};

// A field that is a value, or would be one if its series were known.
struct Value {
  enum class Certainty : uint8_t {
    kSure,    // a number, or named by --value
    kQuoted,  // a quoted number: a value if the field never held another text
    kIfKnown  // no number: a missing value, if the series has had numbers
  };

  std::string_view name;
  double number = 0;
  bool is_missing = false;
  Certainty certainty = Certainty::kSure;
  bool is_text = false;  // not a number, although a number is expected
};

// Reusable, like Record.
struct Selection {
  std::string key;  // topic and key fields, separated by kKeySeparator
  std::optional<int64_t> time_ns;
  const Field* time_field = nullptr;   // the source of time_ns, except for line protocol's own time
  const Field* clock_field = nullptr;  // the second field of a time in two fields
  std::vector<Value> values;
  bool lacks_value = false;  // a value is missing, but it is not known which one
};

// Why a record cannot be scored.
enum class Unusable : uint8_t { kNo, kKey, kTime, kValue, kNumber };
inline constexpr size_t kUnusableKinds = 5;

class Schema {
 public:
  explicit Schema(SchemaOptions options);

  // Returns what is wrong, and `what` in words; kNo: `selection` is complete. Values are filled in any case. [any
  // thread]
  Unusable select(const Record& record, std::string_view topic, Selection& selection, std::string& what) const;

  // Whether a field without a number in the first record may become a value; `with_texts`: whatever its text is. [any
  // thread]
  bool may_become_value(const Field& field, const Selection& selection, bool with_texts) const;
  // Whether an option names the field, or its name is usual for times. [any thread]
  bool knows(std::string_view name) const;
  // The group of a sensor's key, as a key that no sensor has. Empty: there are no groups. [any thread]
  std::string group_of(std::string_view key) const;
  static bool is_group(std::string_view key) { return key.starts_with(kGroupMark); }
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
  std::string time_, clock_;  // the fields in options_.time
};

}  // namespace coil::sensor
