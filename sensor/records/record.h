// One record of a stream of sensor data: named fields as they came, whatever the format.
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
    json      // an object or array, as it stands
  };

  std::string_view name, text;  // text: decoded; of a number, boolean or json as it was written
  double number = 0;
  Kind kind = Kind::text;
  bool is_tag = false;      // of the line protocol
  bool is_unnamed = false;  // the column has no name of its own: watched only if an option names it
  bool is_inner =
      false;  // of a JSON object inside of the record, which is a field too: named by its path, as ENERGY.Power
};

// Views point into `line`, which its owner keeps, or into `decoded`. Made to be used again, so that nothing is
// allocated for most records.
struct Record {
  std::string_view line;         // as it came
  std::string_view measurement;  // of the line protocol, else empty
  std::vector<Field> fields;
  std::list<std::string> decoded;  // strings that had escapes
  std::optional<int64_t> time_ns;  // of the line protocol: since 1970
  std::string note;                // what is odd about the record, though it can be read

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

// What a result adds to its record.
struct Added {
  std::string_view name;
  Field::Kind kind = Field::Kind::null;  // number, text or null
  double number = 0;
  std::string_view text;
};

// The whole text as a decimal number; none when it is something else. Also "inf" and "nan".
std::optional<double> parse_number(std::string_view text);

// Nine significant digits: more than a forecast in float32 has.
void append_number(std::string& to, double value);

// As many digits as the value has.
void append_exactly(std::string& to, double value);

}  // namespace coil::sensor
