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
  Message own;                       // the message of a held record; else empty
  const Message* message = nullptr;  // text, position and topic
  Record record;
  Selection selection;
  std::string error;                  // not empty: malformed
  Unusable unusable = Unusable::kNo;  // why it cannot be scored; `what`: the same in words
  std::string what;
  bool may_clash = false;
  const AddedNames* names = nullptr;

  enum class Fate { kScored, kLate, kFuture, kDuplicate, kHeld, kCollected, kUnscored };
  Fate fate = Fate::kScored;
  bool is_interval = false;                    // made from the records of an interval
  bool has_new_series = false, mixes = false;  // mixes: has the same time as another record of the series
  // True if a value is missing and its series is unknown.
  bool lacks_value() const {
    return selection.lacks_value && (unusable == Unusable::kNo || unusable == Unusable::kNumber);
  }
  Sensor* sensor = nullptr;
  Group* group = nullptr;   // its values are judged with the others of this group; null: none
  BrokenRelation relation;  // that the result points to
  Arriving arriving;
  size_t first_value = 0, values = 0;  // in the schedule
  Result result;
  std::string text;  // the text that the result points to
};

// A message's record, and the records that it releases from the reorder window.
struct Arrival {
  PendingRecord record;
  Partition* partition = nullptr;
  StateFile* file = nullptr;  // of its partition
  size_t shard = 0;
  std::vector<std::unique_ptr<PendingRecord>> released;  // to be processed before its own record
};

// A value that waits to be scored: one step of its series, after the preceding missing steps.
struct PendingValue {
  static constexpr size_t kNone = SIZE_MAX;

  Series* series = nullptr;
  int64_t time_ns = kNoTime;
  int missing_steps = 0;  // missing steps before this one
  float interval = 0;     // Cadence::Passage::interval
  bool forget = false;    // discard earlier forecasts
  Gap gap;
  size_t next = kNone;  // the next value that waits for the same series
  Assessment assessment;
};

// Everything planned and not concluded yet.
struct Schedule {
  std::vector<PendingRecord*> records;
  std::vector<PendingValue> values;  // the values of a record are consecutive
  std::vector<ValueResult> results;  // one per value
  std::vector<Series*> waiting;      // series with values to score, in the order of their first value

  void clear() { records.clear(), values.clear(), results.clear(), waiting.clear(); }
};

}  // namespace coil::sensor
