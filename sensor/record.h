// One record of a stream of sensor data: named fields as they came, whatever the format.
#pragma once

#include <charconv>
#include <cmath>
#include <cstdint>
#include <deque>
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
  bool is_inner = false;    // of a JSON object inside of the record, which is a field too: named by its path, as ENERGY.Power
};

// Views point into `line`, which its owner keeps, or into `decoded`. Made to be used again, so that nothing is allocated for most records.
struct Record {
  std::string_view line;         // as it came
  std::string_view measurement;  // of the line protocol, else empty
  std::vector<Field> fields;
  std::deque<std::string> decoded;     // strings that had escapes
  std::optional<int64_t> time_ns;      // of the line protocol: since 1970
  std::string note;                    // what is odd about the record, though it can be read

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
inline std::optional<double> parse_number(std::string_view text) {
  if (text.starts_with('+') && !text.starts_with("+-")) text.remove_prefix(1);
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (end != text.data() + text.size() || text.empty()) return std::nullopt;
  if (error == std::errc::result_out_of_range) {  // both ends of the range look alike here
    const size_t e = text.find_first_of("eE");
    return e != std::string_view::npos && e + 1 < text.size() && text[e + 1] == '-' ? 0.0 : HUGE_VAL;
  }
  if (error != std::errc()) return std::nullopt;
  return value;
}

// Nine significant digits: more than a forecast in float32 has.
inline void append_number(std::string& to, double value) {
  char text[32];
  const auto end = std::to_chars(text, text + sizeof text, value, std::chars_format::general, 9).ptr;
  to.append(text, end);
}

// As many digits as the value has.
inline void append_exactly(std::string& to, double value) {
  char text[32];
  to.append(text, std::to_chars(text, text + sizeof text, value).ptr);
}

}  // namespace coil::sensor
