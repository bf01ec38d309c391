// One record of sensor data: named fields in their original form, independent of the format.
#pragma once

#include <charconv>
#include <cmath>
#include <cstdint>
#include <list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace coil::sensor {

struct Field {
  enum class Kind : uint8_t {
    number,
    text,
    boolean,  // text is "true" or "false"
    null,     // null, NaN, infinite, or an empty cell
    json      // an object or array, unchanged
  };

  std::string_view name, text;  // text: decoded; for a number, boolean or json as it was written
  double number = 0;
  Kind kind = Kind::text;
  bool is_tag = false;      // of the line protocol
  bool is_unnamed = false;  // the column has no name of its own; used only if an option names it
  bool is_inner = false;    // from an inner JSON object; its name is the path, such as ENERGY.Power
};

// Views point into `line`, which its owner keeps alive, or into `decoded`. Reusable, so that most records allocate
// nothing.
struct Record {
  std::string_view line;         // unchanged
  std::string_view measurement;  // of the line protocol, else empty
  std::vector<Field> fields;
  std::list<std::string> decoded;  // strings that had escapes
  std::optional<int64_t> time_ns;  // from the line protocol: since 1970
  std::string note;                // an oddity of the record that does not prevent reading it

  void clear() {
    line = measurement = {};
    fields.clear();
    decoded.clear();
    time_ns.reset();
    note.clear();
  }
  const Field* find(std::string_view name) const {
    for (const Field& field : fields) {
      if (field.name == name) return &field;
    }
    return nullptr;
  }
};

// A field that a result adds to its record.
struct Added {
  std::string_view name;
  Field::Kind kind = Field::Kind::null;  // number, text or null
  double number = 0;
  std::string_view text;
};

// The whole text as a decimal number, also "inf" and "nan". Nullopt for anything else.
std::optional<double> parse_number(std::string_view text);

// Nine significant digits: more than a float32 forecast has.
void append_number(std::string& to, double value);

// With as many digits as the value needs to be read back exactly.
void append_exactly(std::string& to, double value);

}  // namespace coil::sensor
