// Parses a preset's card.
#include "ssm/model/card.h"

#include <nlohmann/json.hpp>
#include <set>

#include "base/json_fields.h"

namespace coil::ssm {

namespace {

using Json = nlohmann::json;

Control parse_control(const Json& json, const std::string& where) {
  const JsonFields fields(json, where);
  Control control;
  control.name = fields.text("name", "");
  control.unit = fields.text("unit", "");
  control.description = fields.text("description", "");
  control.min = fields.number("min", 0);
  control.max = fields.number("max", 1);
  control.default_value = fields.number("default", (control.min + control.max) / 2);
  const std::string to = fields.text("to", "network");
  if (to == "output_gain_db")
    control.to = Control::To::output_gain_db;
  else if (to != "network")
    throw Error(where + ".to must be 'network' or 'output_gain_db', found '" + to + "'");
  if (control.name.empty()) throw Error(where + ".name is missing");
  if (!(control.min < control.max)) throw Error(where + ": min must be less than max");
  if (control.default_value < control.min || control.default_value > control.max)
    throw Error(where + ".default must lie between min and max");
  return control;
}

}  // namespace

Card parse_card(const std::string& text, int network_controls, const std::string& source) {
  Card card;
  if (text.empty()) {
    card.controls.resize(size_t(network_controls));
    for (int i = 0; i < network_controls; ++i) card.controls[size_t(i)].name = "control_" + std::to_string(i);
    return card;
  }
  const Json json = parse_json(text, source + ": card");
  const JsonFields fields(json, source + ": card");
  card.json = text;
  card.name = fields.text("name", "");
  card.task = fields.text("task", "");
  card.description = fields.text("description", "");
  card.licence = fields.text("licence", "");
  card.sample_rate_hz = fields.number("sample_rate", 0);
  if (!(card.sample_rate_hz >= 0 && card.sample_rate_hz <= 1e7))
    throw Error(source + ": card.sample_rate must lie between 0 and 1e7 Hz");
  card.channels = fields.whole("channels", 1, 1024, 1);
  card.latency_frames = fields.whole("latency_frames", 0, 1 << 24, 0);
  card.settle_frames = fields.whole("settle_frames", 0, 1 << 20, 0);

  std::set<std::string> names;
  int to_network = 0;
  if (json.contains("controls")) {
    if (!json["controls"].is_array()) throw Error(source + ": card.controls must be an array");
    for (const Json& item : json["controls"]) {
      const std::string where = source + ": card.controls[" + std::to_string(card.controls.size()) + "]";
      card.controls.push_back(parse_control(item, where));
      if (!names.insert(card.controls.back().name).second)
        throw Error(where + ": the name '" + card.controls.back().name + "' is taken");
      to_network += card.controls.back().to == Control::To::network;
    }
  }
  if (to_network != network_controls)
    throw Error(source + ": card has " + std::to_string(to_network) + " controls for the network, its config reads " +
                std::to_string(network_controls));
  return card;
}

}  // namespace coil::ssm
