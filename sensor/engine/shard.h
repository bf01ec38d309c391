// A subset of the sensors, processed by one thread at a time: plans, scores and encodes records together.
#pragma once

#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "sensor/results/encoder.h"
#include "sensor/engine/planner.h"
#include "sensor/engine/scorer.h"
#include "sensor/engine/resident_sensors.h"

namespace coil::sensor {

class Shard {
 public:
  Shard(std::shared_ptr<const ssm::Model> model, const EngineOptions& options, const Schema& schema, Counters& counters,
        size_t most_series);

  // The formats of results. `output` null: no text is needed.
  struct Formats {
    const Format* input = nullptr;
    const Format* output = nullptr;
  };

  // Processes the arrivals that belong to this shard, in order. [any thread]
  void process(std::span<const std::unique_ptr<Arrival>> arrivals, size_t shard, const Formats& formats);
  // Appends the records in the reorder windows. [main-thread]
  void release_all(std::vector<std::unique_ptr<PendingRecord>>& released, const Formats& formats,
                   const AddedNames& names);

  ResidentSensors& sensors() { return sensors_; }
  const ResidentSensors& sensors() const { return sensors_; }

 private:
  void conclude(const Formats& formats);

  Scorer scorer_;
  ResidentSensors sensors_;
  Schedule schedule_;
  Planner planner_;
  Encoder encoder_;
};

// The number of observations in a forecaster's running means, from its card.
int normaliser_window(const ssm::Model& model);

}  // namespace coil::sensor
