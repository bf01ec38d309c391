// Records on their way through a shard: planned, scored, concluded.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "sensor/formats/schema.h"
#include "sensor/results/result.h"
#include "sensor/scoring/detector.h"
#include "sensor/engine/sensor.h"
#include "sensor/engine/silence_watch.h"

namespace coil::sensor {

class StateFile;

struct PendingRecord {
  Message own;                       // of a record that was held; else empty
  const Message* message = nullptr;  // its text, place and topic
  Record record;
  Selection selection;
  std::string error;                  // not empty: malformed
  Unusable unusable = Unusable::kNo;  // why it cannot be scored; `what`: in words
  std::string what;
  bool may_clash = false;
  const AddedNames* names = nullptr;

  enum class Fate { kScored, kLate, kFuture, kDuplicate, kHeld, kUnscored };
  Fate fate = Fate::kScored;
  bool has_new_series = false, mixes = false;  // mixes: of one time with another record of the same series
  // A value is missing of a series that is not known yet.
  bool lacks_value() const {
    return selection.lacks_value && (unusable == Unusable::kNo || unusable == Unusable::kNumber);
  }
  Sensor* sensor = nullptr;
  Arriving arriving;
  size_t first_value = 0, values = 0;  // of the schedule's
  Result result;
  std::string text;  // that the result's points to
};

// A message's record, and those that it moves out of the reorder window.
struct Arrival {
  PendingRecord record;
  Partition* partition = nullptr;
  StateFile* file = nullptr;  // of its partition
  size_t shard = 0;
  std::vector<std::unique_ptr<PendingRecord>> released;  // before its own
};

// One value that waits to be scored: a step of its series, after the missing ones before it.
struct PendingValue {
  static constexpr size_t kNone = SIZE_MAX;

  Series* series = nullptr;
  int missing_steps = 0;  // to be taken before
  float interval = 0;     // Cadence::Passage::interval
  bool forget = false;    // what was forecast before does not hold
  Gap gap;
  size_t next = kNone;  // that waits for the same series
  Assessment assessment;
};

// What was planned and is not concluded yet.
struct Schedule {
  std::vector<PendingRecord*> records;
  std::vector<PendingValue> values;  // those of a record one after another
  std::vector<ValueResult> results;  // of each value
  std::vector<Series*> waiting;      // series that have values to be scored, by their first

  void clear() { records.clear(), values.clear(), results.clear(), waiting.clear(); }
};

}  // namespace coil::sensor
