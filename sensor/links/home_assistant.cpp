// MQTT discovery for Home Assistant: a retained JSON object under homeassistant/<component>/<id>/<entity>/config.
#include "sensor/links/home_assistant.h"

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "sensor/results/encoder.h"

namespace coil::sensor {
namespace {

using Json = nlohmann::ordered_json;
constexpr size_t kLongest = 64;

std::string hash_text(const std::string& text) {  // FNV-1a
  uint32_t hash = 2'166'136'261u;
  for (const unsigned char c : text) hash = (hash ^ c) * 16'777'619u;
  char digits[16];
  std::snprintf(digits, sizeof digits, "%08x", hash);
  return digits;
}

std::string dump(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

struct Entity {
  const char* component;
  std::string name, value_template, unit{};
};

std::string field(const std::string& name) { return "value_json[" + dump(name) + "]"; }

// The nearest forecast of each value in the results: of later records, if requested, else of the record itself.
std::vector<Entity> forecasts(const Result& result, const std::string& prefix, std::span<const size_t> horizons) {
  std::vector<Entity> entities;
  for (const ValueResult& value : result.values) {
    const std::string name = horizons.empty() ? expected_name(prefix, value.name)
                                              : forecast_name(prefix, value.name, *std::ranges::min_element(horizons));
    entities.push_back({"sensor", result.values.size() == 1 ? "forecast" : std::string(value.name) + " forecast",
                        "{{ " + field(std::string(result.added_names->of(name))) + " }}",
                        std::string(result.unit_of(value.name))});
  }
  return entities;
}

}  // namespace

std::string plain_name(const std::string& sensor) {
  std::string name;
  for (const char c : sensor.substr(0, kLongest)) {
    const bool is_plain =
        (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
    name += is_plain ? c : '_';
  }
  return name == sensor && !name.empty() ? name : name + "_" + hash_text(sensor);
}

std::vector<DiscoveryMessage> discovery_messages(const Result& result, const std::string& sensor,
                                                 const std::string& prefix, std::span<const size_t> horizons,
                                                 const DiscoveryTopics& topics) {
  std::vector<Entity> entities = forecasts(result, prefix, horizons);
  const auto added = [&](const std::string& name) { return field(std::string(result.added_names->of(prefix + name))); };
  entities.push_back({"sensor", "score", "{{ " + added("score") + " }}"});
  entities.push_back(
      {"binary_sensor", "problem", "{{ 'ON' if " + added("episode") + " in ['begin', 'on'] else 'OFF' }}"});

  const bool is_named = result.settings && !result.settings->name.empty();
  const std::string id = "coil_" + plain_name(sensor), name = is_named ? result.settings->name : sensor;
  std::vector<DiscoveryMessage> messages;
  for (const Entity& entity : entities) {
    const std::string entity_id = plain_name(entity.name);
    Json config = {
        {"name", entity.name},
        {"unique_id", id + "_" + entity_id},
        {"state_topic", topics.state},
        {"value_template", entity.value_template},
        {"availability_topic", topics.status},
        {"device", {{"identifiers", {id}}, {"name", name}, {"manufacturer", "Coil"}, {"model", "coil stream"}}},
    };
    if (topics.expire_s > 0) config["expire_after"] = topics.expire_s;
    if (std::string_view(entity.component) == "sensor") {
      config["state_class"] = "measurement";
      if (!entity.unit.empty()) config["unit_of_measurement"] = entity.unit;
    } else {
      config["device_class"] = "problem";
    }
    messages.push_back(
        {std::string("homeassistant/") + entity.component + "/" + id + "/" + entity_id + "/config", dump(config)});
  }
  return messages;
}

}  // namespace coil::sensor
