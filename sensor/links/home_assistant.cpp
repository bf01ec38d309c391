// MQTT discovery as Home Assistant documents it: a retained JSON object under
// homeassistant/<component>/<id>/<entity>/config.
#include "sensor/links/home_assistant.h"

#include <cstdint>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "sensor/formats/added_names.h"

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
  std::string name, value_template;
};

std::string field(const std::string& name) { return "value_json[" + dump(name) + "]"; }

// Of each value the nearest forecast that results hold: of the records to come, else of the record itself.
std::vector<Entity> forecasts(const Json& result, const std::string& prefix) {
  struct Forecast {
    std::string value, field;
  };
  constexpr std::string_view kExpected = "_expected", kAhead = "_forecast_";
  std::vector<Forecast> found;
  for (const auto& [name, value] : result.items()) {
    if (!name.starts_with(prefix) || !name.ends_with(kExpected)) continue;
    const std::string base = name.substr(0, name.size() - kExpected.size());
    Forecast forecast = {base.substr(prefix.size()), name};
    for (const auto& [other, ahead] : result.items()) {
      const bool is_ahead = other.starts_with(base + std::string(kAhead)) &&
                            other.find_first_not_of("0123456789", base.size() + kAhead.size()) == std::string::npos;
      if (is_ahead && forecast.field == name) forecast.field = other;
    }
    found.push_back(forecast);
  }
  std::vector<Entity> entities;
  for (const Forecast& forecast : found) {
    entities.push_back({"sensor", found.size() == 1 ? "forecast" : forecast.value + " forecast",
                        "{{ " + field(forecast.field) + " }}"});
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

std::vector<DiscoveryMessage> discovery_messages(const Message& result, const std::string& prefix,
                                                 const std::string& state_topic, const std::string& status_topic) {
  const Json first = Json::parse(result.text, nullptr, false);
  if (!first.is_object()) throw Error("--home-assistant: results must be JSON objects; use --output-format ndjson");
  std::vector<Entity> entities = forecasts(first, prefix);
  const auto added = [&](const std::string& name) {
    return name_in_result(prefix + name, [&](const std::string& other) { return first.contains(other); });
  };
  entities.push_back({"sensor", "score", "{{ " + field(added("score")) + " }}"});
  entities.push_back(
      {"binary_sensor", "problem", "{{ 'ON' if " + field(added("episode")) + " in ['begin', 'on'] else 'OFF' }}"});

  const std::string id = "coil_" + plain_name(result.sensor);
  std::vector<DiscoveryMessage> messages;
  for (const Entity& entity : entities) {
    const std::string entity_id = plain_name(entity.name);
    Json config = {
        {"name", entity.name},
        {"unique_id", id + "_" + entity_id},
        {"state_topic", state_topic},
        {"value_template", entity.value_template},
        {"availability_topic", status_topic},
        {"device",
         {{"identifiers", {id}}, {"name", result.sensor}, {"manufacturer", "Coil"}, {"model", "coil stream"}}},
    };
    if (std::string_view(entity.component) == "sensor") {
      config["state_class"] = "measurement";
    } else {
      config["device_class"] = "problem";
    }
    messages.push_back(
        {std::string("homeassistant/") + entity.component + "/" + id + "/" + entity_id + "/config", dump(config)});
  }
  return messages;
}

}  // namespace coil::sensor
