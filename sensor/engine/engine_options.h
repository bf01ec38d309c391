// The settings of an engine.
#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <string>

#include "sensor/engine/intervals.h"
#include "sensor/formats/schema.h"
#include "sensor/formats/sensor_settings.h"
#include "sensor/results/encoder.h"

namespace coil::sensor {

struct EngineOptions : AddedFields {
  SchemaOptions schema;
  std::string input_format;                           // "ndjson", "csv", "line"; empty: determined from the first line
  std::string output_format;                          // empty: as the input
  double threshold = 0.5;                             // scores from here on are anomalies
  int hold_off_records = 16;                          // records without an anomaly that end an episode
  Intervals every;                                    // the records of an interval become one
  int reorder_records = 0;                            // held back per sensor, to be sorted by time
  double future_s = 0;                                // a record further ahead than this is not believed; 0: no limit
  std::shared_ptr<const AllSensorSettings> settings;  // of single sensors; null: there are none
  double silence_times = 0;      // a sensor is silent after this many of its usual intervals; 0: never
  bool judges_relations = true;  // several values together; false: each only by itself
  bool writes_silences = false;  // silences have a text of their own; else there is one text for each record
  size_t threads = 1;
  size_t max_series = 0;        // in memory; 0: no limit
  std::filesystem::path state;  // empty: no state is kept
  bool partitioned = false;     // the source has partitions; each has its own state, `state` followed by its name
  bool resume = false;  // the source continues at the state's place(): all earlier records, and a header, were already
                        // delivered
};

}  // namespace coil::sensor
