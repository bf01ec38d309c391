// What an engine is told before it starts.
#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <string>

#include "sensor/formats/schema.h"
#include "sensor/formats/sensor_settings.h"
#include "sensor/results/encoder.h"

namespace coil::sensor {

struct EngineOptions : AddedFields {
  SchemaOptions schema;
  std::string input_format;   // "ndjson", "csv", "line"; empty: by the first line
  std::string output_format;  // empty: that of the input
  double threshold = 0.5;     // score from which a record is an anomaly
  int hold_off_records = 16;  // that an episode needs without an anomaly to end
  int reorder_records = 0;    // held back for each sensor, to be put in the order of their times
  double future_s = 0;        // a record further ahead of the last one is not believed; 0: all are
  std::shared_ptr<const AllSensorSettings> settings;  // of single sensors; null: nothing was said
  double silence_times = 0;  // of a sensor's usual interval, after which it is silent; 0: silence is not watched
  size_t threads = 1;
  size_t max_series = 0;        // in memory; 0: no bound
  std::filesystem::path state;  // empty: nothing is kept
  bool partitioned = false;     // the source has partitions: each has a state of its own, `state` followed by its name
  bool resume = false;  // the source goes on at the state's place(): what comes before was answered, a header too
};

}  // namespace coil::sensor
