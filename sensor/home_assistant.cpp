// MQTT discovery as Home Assistant documents it: a retained JSON object under homeassistant/<component>/<id>/<entity>/config.
#include "sensor/home_assistant.h"

#include <cstdint>
#include <cstdio>
#include <nlohmann/json.hpp>

namespace coil::sensor {
namespace {

constexpr size_t kLongest = 64;

std::string hash_text(const std::string& text) {  // FNV-1a
  uint32_t hash = 2'166'136'261u;
  for (const unsigned char c : text) hash = (hash ^ c) * 16'777'619u;
  char digits[16];
  std::snprintf(digits, sizeof digits, "%08x", hash);
  return digits;
}

}  // namespace

std::string topic_name(const std::string& series) {
  std::string name;
  for (const char c : series.substr(0, kLongest)) {
    const bool is_plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
    name += is_plain ? c : '_';
  }
  return name == series && !name.empty() ? name : name + "_" + hash_text(series);
}

std::vector<DiscoveryMessage> discovery_messages(const std::string& series, const std::string& state_topic, const std::string& status_topic) {
  struct Entity {
    const char *component, *name, *value_template;
  };
  constexpr Entity kEntities[] = {
      {"sensor", "score", "{{ value_json.score }}"},
      {"sensor", "forecast", "{{ value_json.forecast }}"},
      {"binary_sensor", "problem", "{{ 'ON' if value_json.status == 'anomaly' else 'OFF' }}"},
  };
  const std::string id = "coil_" + topic_name(series);
  std::vector<DiscoveryMessage> messages;
  for (const Entity& entity : kEntities) {
    const bool is_problem = std::string(entity.component) == "binary_sensor";
    nlohmann::ordered_json config = {
        {"name", entity.name},
        {"unique_id", id + "_" + entity.name},
        {"state_topic", state_topic},
        {"value_template", entity.value_template},
        {"availability_topic", status_topic},
        {"device", {{"identifiers", {id}}, {"name", series}, {"manufacturer", "Coil"}, {"model", "coil stream"}}},
    };
    if (is_problem) {
      config["device_class"] = "problem";
    } else {
      config["state_class"] = "measurement";
    }
    messages.push_back({std::string("homeassistant/") + entity.component + "/" + id + "/" + entity.name + "/config",
                        config.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace)});
  }
  return messages;
}

}  // namespace coil::sensor
