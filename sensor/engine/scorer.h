// Runs the waiting series through the model, block by block, and scores each record.
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

  // The model outputs to compute per step: the scored horizons and the requested ones.
  const HorizonRows& horizon_rows() const { return horizon_rows_; }

  // Runs the steps of all values of the schedule.
  void run(Schedule& schedule, ssm::StreamBatch& batch);
  // Fills the record's result except its text. Call it in the order of the sensor's records.
  void conclude(PendingRecord& record, Schedule& schedule);

 private:
  // A step of the model in the current block.
  struct ModelStep {
    size_t value;           // index in the schedule
    bool is_last;           // true for the value itself, false for a missing step before it
    LastSeen before;        // of the normaliser, before the step
    Normaliser normaliser;  // after the step
  };

  void add_step(size_t value, bool is_last);
  void run_block();
  void finish_step(const ModelStep& step, std::span<const float> outputs);
  static double surprisal_of_level(RecentValues& recent, const AfterGap& after, double least_error);
  static void judge(PendingValue& value, ValueResult& result, const LastSeen& before);
  static ValueResult* find_broken(const PendingRecord& record, std::span<ValueResult> values);
  static Group::Verdict relate(PendingRecord& record, std::span<ValueResult> values);
  static void find_cause(PendingRecord& record, std::span<ValueResult> values, bool is_relation);
  static bool apply_limits(const SensorSettings& settings, ValueResult& value);
  static Episode end_episode(SensorMemory& memory);
  Episode advance_episode(SensorMemory& memory, bool is_anomalous, bool lasts);

  const EngineOptions& options_;
  Counters& counters_;
  HorizonRows horizon_rows_;
  Schedule* schedule_ = nullptr;  // during run()
  ssm::StreamBatch* batch_ = nullptr;
  std::vector<Expected> ahead_;  // (values, horizons)

  // Of the current block.
  std::vector<ModelStep> steps_;
  std::vector<ssm::StreamBatch::Advance> advances_;
  std::vector<float> frames_, outputs_;
};

}  // namespace coil::sensor
