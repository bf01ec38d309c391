// The announcement of a sensor to Home Assistant, so that it shows score, forecasts and problems.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "sensor/results/result.h"

namespace coil::sensor {

struct DiscoveryMessage {
  std::string topic, text;  // to be retained
};

// A name of letters, digits, '_' and '-'. Other characters become '_'. Names that were changed or are long get a hash,
// so that two sensors never share a name.
std::string plain_name(const std::string& sensor);

struct DiscoveryTopics {
  std::string state;     // carries the results
  std::string status;    // "online" or "offline"
  int64_t expire_s = 0;  // after which an entity without a new result is unavailable; 0: never
};

// For the sensor of this first result: a sensor `score`, a sensor `forecast` for each of its values, and a binary
// sensor `problem` that is on during an episode. `sensor`: its name. `prefix`, `horizons`: of the added fields, in
// NDJSON.
std::vector<DiscoveryMessage> discovery_messages(const Result& result, const std::string& sensor,
                                                 const std::string& prefix, std::span<const size_t> horizons,
                                                 const DiscoveryTopics& topics);

}  // namespace coil::sensor
