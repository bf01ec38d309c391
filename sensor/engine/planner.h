// Turns records into values to be scored: sorts by time, handles duplicates, late records and gaps.
#pragma once

#include <memory>
#include <vector>

#include "sensor/engine/counters.h"
#include "sensor/engine/engine_options.h"
#include "sensor/formats/format.h"
#include "sensor/engine/pending_record.h"
#include "sensor/engine/resident_sensors.h"

namespace coil::sensor {

// One thread at a time.
class Planner {
 public:
  Planner(const EngineOptions& options, const Schema& schema, Counters& counters, ResidentSensors& sensors,
          Schedule& schedule)
      : options_(options), schema_(schema), counters_(counters), sensors_(sensors), schedule_(schedule) {}

  // Plans the record, or puts it into the reorder window, which may release others. `input`: the format of the records.
  void accept(Arrival& arrival, const Format& input);
  // Plans all records in the reorder windows, and appends them.
  void release_all(std::vector<std::unique_ptr<PendingRecord>>& released, const Format& input, const AddedNames& names);

 private:
  void release(Arrival& arrival, size_t left, const Format& input);
  void collect(Arrival& arrival, const Format& input);
  bool belongs_to_interval(PendingRecord& record, uint64_t record_hash);
  void close_interval(Sensor& sensor, const Format& input, const AddedNames* names,
                      std::vector<std::unique_ptr<PendingRecord>>& released);
  void close_empty_intervals(Arrival& arrival, int64_t until_ns, const Format& input);
  void pass_on(PendingRecord& record);
  std::unique_ptr<PendingRecord> take_held(Sensor& sensor, const Format& input, const AddedNames* names);
  Group* find_group(Sensor& sensor, const PendingRecord& record);
  void find_settings(Sensor& sensor, const std::string& key);
  bool has_value(const PendingRecord& record, StateFile* file);
  void choose_values(PendingRecord& record);
  bool is_duplicate(const Sensor& sensor, const Selection& selection, uint64_t record_hash) const;
  bool is_on_time(PendingRecord& record, Clock& clock, const Pace& pace);
  void note_passage(PendingRecord& record, const Clock& clock, uint64_t steady_ns_before, bool is_first);
  Pace pace(const Sensor& sensor, const Selection& selection) const;
  void plan(PendingRecord& record);
  void plan_value(PendingRecord& record, const Value& value, uint64_t record_hash, uint64_t steady_ns);

  const EngineOptions& options_;
  const Schema& schema_;
  Counters& counters_;
  ResidentSensors& sensors_;
  Schedule& schedule_;
};

}  // namespace coil::sensor
