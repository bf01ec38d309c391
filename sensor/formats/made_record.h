// Makes records that no sensor sent, in the form of those that sensors send: for silences and intervals.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>

#include "sensor/formats/format.h"
#include "sensor/formats/schema.h"

namespace coil::sensor {

// A copy of a received record, to be changed. Its texts live as long as this object.
class MadeRecord {
 public:
  // `model`: a received record, with its key and time. Its line must outlive this object. [any thread]
  MadeRecord(const Record& model, const Selection& selection, const SchemaOptions& schema);

  // Gives it another time, written as the model's: a number in the same unit, or a text. No effect if it has no time.
  void set_time(int64_t time_ns);
  // Gives the field another number.
  void set_number(std::string_view name, double number);
  void set_missing(std::string_view name);
  // Gives it the fields of a key (Selection::key), and leaves out every other field except the time.
  void keep_only_key(std::string_view key);

  const Record& record() const { return record_; }

 private:
  Field& field_of(std::string_view name);
  std::string_view keep(std::string text) { return texts_.emplace_back(std::move(text)); }
  void add_text(std::string_view name, std::string_view text, bool is_tag);

  const SchemaOptions& schema_;
  Record record_;
  std::deque<std::string> texts_;
  std::string_view time_name_, clock_name_;  // empty: none
};

}  // namespace coil::sensor
