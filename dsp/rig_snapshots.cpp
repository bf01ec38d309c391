// Snapshots by letter, each with values by name.
#include "dsp/rig_snapshots.h"

#include <cmath>

namespace coil::dsp {

namespace {

using nlohmann::json, nlohmann::ordered_json;

constexpr const char* kLetters = "ABCD";
constexpr size_t kMaxMicrophones = 2;

std::map<std::string, float> read_numbers(const JsonFields& of, const char* key) {
  std::map<std::string, float> numbers;
  if (!of.has(key)) return numbers;
  const JsonFields fields(of.at(key), of.where(key));
  for (const auto& [name, value] : of.at(key).items()) {
    const double number = fields.number(name.c_str());
    if (!std::isfinite(number)) throw fields.wrong(name.c_str(), "a finite number");
    numbers[name] = static_cast<float>(number);
  }
  return numbers;
}

RigSnapshot read_snapshot(const JsonFields& fields, std::vector<std::string>& warnings) {
  RigSnapshot snapshot;
  snapshot.values = read_numbers(fields, "values");
  snapshot.controls = read_numbers(fields, "controls");
  if (fields.has("microphones")) {
    const json& list = fields.at("microphones");
    if (!list.is_array() || list.size() > kMaxMicrophones)
      throw fields.wrong("microphones", "a list of up to two objects");
    for (const json& each : list) {
      const JsonFields own(each, fields.where("microphones"));
      const auto number = [&](const char* key) { return static_cast<float>(own.number(key, 0.0)); };
      snapshot.microphones.push_back(
          {number("level_db"), number("pan"), number("delay_ms"), own.flag("inverted", false)});
      for (std::string& sentence : own.unknown()) warnings.push_back(std::move(sentence));
    }
  }
  for (std::string& sentence : fields.unknown()) warnings.push_back(std::move(sentence));
  return snapshot;
}

}  // namespace

RigSnapshots read_snapshots(const JsonFields& rig, std::vector<std::string>& warnings) {
  RigSnapshots snapshots;
  if (!rig.has("snapshots")) return snapshots;
  const JsonFields fields(rig.at("snapshots"), rig.where("snapshots"));
  for (const char* letter = kLetters; *letter; ++letter) {
    const std::string key(1, *letter);
    if (fields.has(key.c_str()))
      snapshots[key] = read_snapshot(JsonFields(fields.at(key.c_str()), fields.where(key.c_str())), warnings);
  }
  for (std::string& sentence : fields.unknown()) warnings.push_back(std::move(sentence));
  return snapshots;
}

ordered_json snapshots_json(const RigSnapshots& snapshots) {
  ordered_json object = ordered_json::object();
  for (const auto& [letter, snapshot] : snapshots) {
    ordered_json microphones = ordered_json::array();
    for (const RigSnapshot::Microphone& each : snapshot.microphones)
      microphones.push_back(
          {{"level_db", each.level_db}, {"pan", each.pan}, {"delay_ms", each.delay_ms}, {"inverted", each.inverted}});
    object[letter] = {
        {"values", snapshot.values}, {"controls", snapshot.controls}, {"microphones", std::move(microphones)}};
  }
  return object;
}

}  // namespace coil::dsp
