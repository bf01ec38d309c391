// Collects the records of one sensor in an interval of the calendar, and makes one record of them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sensor/formats/made_record.h"
#include "sensor/formats/schema.h"
#include "sensor/records/message.h"
#include "sensor/scoring/cadence.h"
#include "sensor/scoring/clock.h"

namespace coil::sensor {

// How the numbers of an interval are combined.
enum class Aggregate : uint8_t { kMean, kLast, kMin, kMax, kCount };
const char* name_of(Aggregate aggregate);
std::optional<Aggregate> parse_aggregate(std::string_view name);

// The intervals of the calendar: parts of a day that begin at midnight, days, or weeks that begin on Monday. In UTC.
struct Intervals {
  int64_t length_ns = 0;  // 0: none
  Aggregate aggregate = Aggregate::kMean;

  bool exist() const { return length_ns > 0; }
  int64_t begin_of(int64_t time_ns) const;
  // Nullopt: this is not an interval of the calendar.
  static std::optional<int64_t> parse_length(std::string_view text);
};

// One thread at a time.
class Interval {
 public:
  bool is_open() const { return begin_ns != kNoTime; }
  void open(int64_t at_ns) { begin_ns = at_ns; }
  // Whether this field has had a number, in this interval or an earlier one.
  bool knows(std::string_view field) const;
  // Adds a record's numbers. `counts` false: it only shows that the sensor is alive.
  void add(const Message& message, const Selection& selection, bool counts);
  // Puts the interval's time and numbers into one of its records.
  void fill(MadeRecord& record, Aggregate aggregate) const;
  // Forgets the numbers, but not their names.
  void clear();

  int64_t begin_ns = kNoTime;  // kNoTime: no record yet
  Message last;                // the last record
  // Of the sensor's records, whatever their interval.
  Clock clock;
  Cadence cadence;
  int64_t last_time_ns = kNoTime;
  uint64_t last_hash = 0;

  // `Writer`, `Reader`: of state files.
  template <class Writer>
  void write(Writer& writer) const {
    writer.value(begin_ns), writer.value(last_time_ns), writer.value(last_hash);
    writer.object(clock), writer.object(cadence);
    writer.text(last.topic), writer.text(last.text), writer.value(last.partition), writer.value(last.offset);
    writer.value(static_cast<uint64_t>(numbers_.size()));
    for (const Numbers& numbers : numbers_) {
      writer.text(numbers.name);
      for (const double number : {numbers.sum, numbers.least, numbers.most, numbers.last}) writer.value(number);
      writer.value(numbers.count);
    }
  }
  template <class Reader>
  void read(Reader& reader) {
    begin_ns = reader.template value<int64_t>(), last_time_ns = reader.template value<int64_t>();
    last_hash = reader.template value<uint64_t>();
    reader.object(clock), reader.object(cadence);
    last.topic = reader.text(), last.text = reader.text();
    last.partition = reader.template value<int32_t>(), last.offset = reader.template value<int64_t>();
    for (auto count = reader.template value<uint64_t>(); count > 0; --count) {
      Numbers& numbers = numbers_.emplace_back();
      numbers.name = reader.text();
      for (double* number : {&numbers.sum, &numbers.least, &numbers.most, &numbers.last})
        *number = reader.template value<double>();
      numbers.count = reader.template value<int64_t>();
    }
  }

 private:
  struct Numbers {
    std::string name;
    double sum = 0, least = 0, most = 0, last = 0;
    int64_t count = 0;

    double of(Aggregate aggregate) const;
  };
  std::vector<Numbers> numbers_;
};

}  // namespace coil::sensor
