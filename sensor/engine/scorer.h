// Steps the series of what waits through the model, block by block, and says how unusual each record is.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "sensor/engine/counters.h"
#include "sensor/engine/engine_options.h"
#include "sensor/engine/pending_record.h"
#include "ssm/run/stream_batch.h"

namespace coil::sensor {

// One thread at a time.
class Scorer {
 public:
  Scorer(const EngineOptions& options, Counters& counters);

  // What the model has to compute for each step: the scored horizons, and those that are asked for.
  const HorizonRows& horizon_rows() const { return horizon_rows_; }

  // Takes the steps of all values of the schedule.
  void run(Schedule& schedule, ssm::StreamBatch& batch);
  // Fills the record's result but for its text. Records of a sensor in their order.
  void conclude(PendingRecord& record, Schedule& schedule);

 private:
  // A step of the model that is part of the block.
  struct ModelStep {
    size_t value;           // of the schedule
    bool is_last;           // of the value: no missing one before it
    LastSeen before;        // of the normaliser, before the step
    Normaliser normaliser;  // as it was after it
  };

  void add_step(size_t value, bool is_last);
  void run_block();
  void finish_step(const ModelStep& step, std::span<const float> outputs);
  static void judge(PendingValue& value, ValueResult& result, const LastSeen& before);
  static bool apply_limits(const SensorSettings& settings, ValueResult& value);
  static Episode end_episode(SensorMemory& memory);
  Episode advance_episode(SensorMemory& memory, bool is_anomalous, bool lasts);

  const EngineOptions& options_;
  Counters& counters_;
  HorizonRows horizon_rows_;
  Schedule* schedule_ = nullptr;  // during run()
  ssm::StreamBatch* batch_ = nullptr;
  std::vector<Expected> ahead_;  // (values, horizons)

  // Of a block.
  std::vector<ModelStep> steps_;
  std::vector<ssm::StreamBatch::Advance> advances_;
  std::vector<float> frames_, outputs_;
};

}  // namespace coil::sensor
