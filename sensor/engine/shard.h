// A part of the sensors, on one thread at a time: what waits is planned, scored together and encoded.
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

  // How results are made. `output` null: no text is wanted.
  struct Formats {
    const Format* input = nullptr;
    const Format* output = nullptr;
  };

  // Those of the arrivals that are this shard's, in their order. [any thread]
  void process(std::span<const std::unique_ptr<Arrival>> arrivals, size_t shard, const Formats& formats);
  // Appends what the reorder windows hold. [main-thread]
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

// The number of observations that a forecaster's running means look back over, of its card.
int normaliser_window(const ssm::Model& model);

}  // namespace coil::sensor
