// Writes a result as text: the record and the added fields, in the output's format.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "sensor/formats/format.h"
#include "sensor/results/result.h"
#include "sensor/results/silence.h"

namespace coil::sensor {

// The prefix of all added fields, and which forecasts are added.
struct AddedFields {
  std::string prefix;            // before the names of added fields
  std::vector<size_t> horizons;  // additional forecasts in each result, 1 to kHorizons steps ahead
};

// The name of an added field, before any change by AddedNames. [any thread]
std::string forecast_name(std::string_view prefix, std::string_view value, size_t horizon);
std::string expected_name(std::string_view prefix, std::string_view value);

// The names of all added fields, for a first record with these values. [any thread]
std::vector<std::string> added_names(const AddedFields& fields, std::span<const std::string_view> values);

// Removes the record's time field, because every format writes times in its own place. [any thread]
void take_time_out(Record& record, Selection& selection);

// One thread at a time.
class Encoder {
 public:
  explicit Encoder(const AddedFields& fields);
  ~Encoder();

  // Replaces the text. `as_it_came`: `output` is the format that read the record.
  void encode(const Result& result, const Format& output, bool as_it_came, std::string& text);
  // The same for a silence. `record`: key and time of the event; its line is its text in the input's format.
  void encode(const Silence& silence, const Record& record, const AddedNames& names, const Format& output,
              bool as_it_came, std::string& text);

 private:
  struct Names;

  const Names& names(size_t place, std::string_view field);
  void add_value(const Result& result, const ValueResult& value, const Names& names, bool with_score);

  const AddedFields& fields_;
  std::string score_name_, status_name_, episode_name_, cause_name_;
  std::unordered_map<std::string, std::unique_ptr<Names>> names_;
  std::vector<const Names*>
      last_names_;  // for each position among a record's values, because the next record's names are probably the same
  std::vector<Added> added_;
};

}  // namespace coil::sensor
