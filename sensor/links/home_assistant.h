// What Home Assistant must be told once about a sensor so that it shows its score, its forecasts and whether something
// is wrong.
#pragma once

#include <string>
#include <vector>

#include "sensor/links/link.h"

namespace coil::sensor {

struct DiscoveryMessage {
  std::string topic, text;  // to be retained
};

// A name of letters, digits, '_' and '-': whatever else becomes '_', and what is changed or long gets a hash, so that
// two sensors never share one.
std::string plain_name(const std::string& sensor);

// For the sensor of this first result: a sensor `score`, a sensor `forecast` for each of its values, and a binary
// sensor `problem` that is on during an episode. `prefix`: of the added fields. `state_topic` carries the results,
// `status_topic` "online" or "offline". Throws Error when the result is no JSON object.
std::vector<DiscoveryMessage> discovery_messages(const Message& result, const std::string& prefix,
                                                 const std::string& state_topic, const std::string& status_topic);

}  // namespace coil::sensor
