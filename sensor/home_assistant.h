// What Home Assistant must be told once about a series so that it shows its score, its forecast and whether something is wrong.
#pragma once

#include <string>
#include <vector>

namespace coil::sensor {

struct DiscoveryMessage {
  std::string topic, text;  // to be retained
};

// A name as topics and ids may hold it: letters, digits, '_' and '-'; whatever else becomes '_', and what is changed or long gets a hash so that
// two series never share one.
std::string topic_name(const std::string& series);

// One message each for the sensors `score` and `forecast` and the binary sensor `problem`. `state_topic` carries the series' results as JSON objects,
// `status_topic` "online" or "offline".
std::vector<DiscoveryMessage> discovery_messages(const std::string& series, const std::string& state_topic, const std::string& status_topic);

}  // namespace coil::sensor
