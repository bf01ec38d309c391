// Rigs: converts JSON to stages and back.
#include "dsp/rig.h"

#include <xxhash.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/base64.h"
#include "base/error.h"
#include "base/json_fields.h"
#include "base/text.h"
#include "dsp/calibration.h"
#include "dsp/rig_snapshots.h"

namespace coil::dsp {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

constexpr int kVersion = 1;
constexpr size_t kMaxStages = 64;
constexpr double kMaxDb = 60;

template <class... Cases>
struct Overloaded : Cases... {
  using Cases::operator()...;
};

const std::map<std::string, EqualiserBand::Kind> kBandKinds = {{"low_shelf", EqualiserBand::Kind::low_shelf},
                                                               {"bell", EqualiserBand::Kind::bell},
                                                               {"high_shelf", EqualiserBand::Kind::high_shelf}};
const std::map<std::string, RateMode> kRateModes = {
    {"model", RateMode::model_default}, {"steps", RateMode::prefer_steps}, {"resample", RateMode::resample}};

const std::map<std::string, ChannelMode> kChannelModes = {
    {"each", ChannelMode::each}, {"left", ChannelMode::left}, {"right", ChannelMode::right}, {"sum", ChannelMode::sum}};

template <class T>
T named(const JsonFields& fields, const char* key, const std::map<std::string, T>& names, const std::string& fallback) {
  const std::string name = fields.text(key, fallback);
  if (const auto found = names.find(name); found != names.end()) return found->second;
  std::string wanted;
  for (const auto& [known, value] : names) wanted += (wanted.empty() ? "" : ", ") + known;
  throw fields.wrong(key, "one of " + wanted);
}

template <class T>
std::string name_of(T value, const std::map<std::string, T>& names) {
  for (const auto& [name, known] : names)
    if (known == value) return name;
  return {};
}

float within(const JsonFields& fields, const char* key, double min, double max, double fallback) {
  const double value = fields.number(key, fallback);
  if (!(value >= min && value <= max)) throw fields.wrong(key, "a number from " + number(min) + " to " + number(max));
  return static_cast<float>(value);
}

void note_unknown(const JsonFields& fields, std::vector<std::string>& warnings) {
  for (std::string& sentence : fields.unknown()) warnings.push_back(std::move(sentence));
}

const json& list(const JsonFields& fields, const char* key, size_t min, size_t max) {
  if (!fields.has(key)) throw Error(fields.where(key) + " is missing");
  const json& found = fields.at(key);
  if (!found.is_array() || found.size() < min || found.size() > max)
    throw fields.wrong(key, "a list of " + std::to_string(min) + " to " + std::to_string(max) + " objects");
  return found;
}

RigModel read_model(const JsonFields& fields) {
  RigModel model;
  model.file = fields.text("file");
  model.rate_mode = named(fields, "rate_scaling", kRateModes, "model");
  model.hash = fields.text("hash", "");
  model.normalise = fields.flag("normalise", false);
  model.gate_db = within(fields, "gate_db", kGateOffDb, 0, kGateOffDb);
  model.channels = named(fields, "channels", kChannelModes, "each");
  model.main = fields.flag("main", false);
  if (fields.has("controls")) {
    const json& controls = fields.at("controls");
    if (!controls.is_object()) throw fields.wrong("controls", "an object of names and numbers, such as {\"drive\": 7}");
    for (const auto& [name, value] : controls.items()) {
      if (!value.is_number()) throw Error(fields.where("controls") + "." + name + " must be a number");
      model.controls[name] = value.get<float>();
    }
  }
  return model;
}

RigCabinet read_cabinet(const JsonFields& fields, std::vector<std::string>& warnings) {
  RigCabinet cabinet;
  cabinet.normalise = fields.flag("normalise", true);
  size_t number_of = 0;
  for (const json& each : list(fields, "microphones", 1, 2)) {
    const JsonFields own(each, fields.where("microphones") + "[" + std::to_string(number_of++) + "]");
    RigMicrophone microphone;
    microphone.file = own.text("file");
    microphone.level_db = within(own, "level_db", -kMaxDb, kMaxDb, 0);
    microphone.pan = within(own, "pan", -1, 1, 0);
    microphone.delay_ms = within(own, "delay_ms", 0, kMaxMicrophoneDelayMs, 0);
    microphone.inverted = own.flag("inverted", false);
    microphone.checksum = own.text("checksum", "");
    note_unknown(own, warnings);
    cabinet.microphones.push_back(std::move(microphone));
  }
  return cabinet;
}

EqualiserSettings read_equaliser(const JsonFields& fields, std::vector<std::string>& warnings) {
  EqualiserSettings settings;
  settings.low_cut_hz = within(fields, "low_cut_hz", 0, 20000, 0);
  settings.high_cut_hz = within(fields, "high_cut_hz", 0, 24000, 0);
  if (!fields.has("bands")) return settings;
  size_t at = 0;
  for (const json& each : list(fields, "bands", 0, kEqualiserBands)) {
    const JsonFields own(each, fields.where("bands") + "[" + std::to_string(at) + "]");
    EqualiserBand& band = settings.bands[at++];
    band.kind = named(own, "kind", kBandKinds, name_of(band.kind, kBandKinds));
    band.hz = within(own, "hz", 20, 20000, band.hz);
    band.gain_db = within(own, "gain_db", -kMaxBandDb, kMaxBandDb, 0);
    band.q = within(own, "q", 0.1, 10, band.q);
    note_unknown(own, warnings);
  }
  return settings;
}

DoublerSettings read_doubler(const JsonFields& fields) {
  DoublerSettings settings;
  settings.delay_ms = within(fields, "delay_ms", kMinDoublerMs, kMaxDoublerMs, settings.delay_ms);
  const float most = std::min(kMaxDriftMs, settings.delay_ms - kMinDoublerMs);
  settings.drift_ms = within(fields, "drift_ms", 0, most, std::min(settings.drift_ms, most));
  settings.level_db = within(fields, "level_db", -kMaxDb, kMaxDb, 0);
  settings.spread = within(fields, "spread", 0, 1, settings.spread);
  return settings;
}

RigStage read_stage(const json& object, const std::string& where, std::vector<std::string>& warnings) {
  const JsonFields fields(object, where);
  RigStage stage;
  const std::string type = fields.text("type");
  stage.name = fields.text("name", type);
  stage.mix = within(fields, "mix", 0, 1, 1);
  stage.bypassed = fields.flag("bypassed", false);
  if (type == "gain")
    stage.kind = RigGain{within(fields, "db", -kMaxDb, kMaxDb, 0)};
  else if (type == "gate")
    stage.kind = RigGate{within(fields, "threshold_db", kGateOffDb, 0, -60)};
  else if (type == "model")
    stage.kind = read_model(fields);
  else if (type == "cabinet")
    stage.kind = read_cabinet(fields, warnings);
  else if (type == "equaliser")
    stage.kind = read_equaliser(fields, warnings);
  else if (type == "doubler")
    stage.kind = read_doubler(fields);
  else
    throw fields.wrong("type", "one of gain, gate, model, cabinet, equaliser, doubler");
  note_unknown(fields, warnings);
  return stage;
}

ordered_json to_json(const EqualiserSettings& settings) {
  ordered_json bands = ordered_json::array();
  for (const EqualiserBand& band : settings.bands)
    bands.push_back(
        {{"kind", name_of(band.kind, kBandKinds)}, {"hz", band.hz}, {"gain_db", band.gain_db}, {"q", band.q}});
  return {{"type", "equaliser"},
          {"bands", std::move(bands)},
          {"low_cut_hz", settings.low_cut_hz},
          {"high_cut_hz", settings.high_cut_hz}};
}

ordered_json to_json(const RigCabinet& cabinet) {
  ordered_json microphones = ordered_json::array();
  for (const RigMicrophone& each : cabinet.microphones)
    microphones.push_back({{"file", each.file},
                           {"level_db", each.level_db},
                           {"pan", each.pan},
                           {"delay_ms", each.delay_ms},
                           {"inverted", each.inverted},
                           {"checksum", each.checksum}});
  return {{"type", "cabinet"}, {"microphones", std::move(microphones)}, {"normalise", cabinet.normalise}};
}

ordered_json to_json(const DoublerSettings& settings) {
  return {{"type", "doubler"},
          {"delay_ms", settings.delay_ms},
          {"drift_ms", settings.drift_ms},
          {"level_db", settings.level_db},
          {"spread", settings.spread}};
}

ordered_json to_json(const RigStage& stage) {
  ordered_json object =
      std::visit(Overloaded{[](const RigGain& gain) {
                              return ordered_json{{"type", "gain"}, {"db", gain.db}};
                            },
                            [](const RigGate& gate) {
                              return ordered_json{{"type", "gate"}, {"threshold_db", gate.threshold_db}};
                            },
                            [](const RigModel& model) {
                              return ordered_json{{"type", "model"},
                                                  {"file", model.file},
                                                  {"controls", model.controls},
                                                  {"rate_scaling", name_of(model.rate_mode, kRateModes)},
                                                  {"hash", model.hash},
                                                  {"normalise", model.normalise},
                                                  {"gate_db", model.gate_db},
                                                  {"channels", name_of(model.channels, kChannelModes)},
                                                  {"main", model.main}};
                            },
                            [](const RigCabinet& cabinet) { return to_json(cabinet); },
                            [](const EqualiserSettings& settings) { return to_json(settings); },
                            [](const DoublerSettings& settings) { return to_json(settings); }},
                 stage.kind);
  object["name"] = stage.name;
  object["mix"] = stage.mix;
  object["bypassed"] = stage.bypassed;
  return object;
}

std::vector<std::byte> bytes_of(const JsonFields& fields, const char* key) {
  std::optional<std::vector<std::byte>> bytes = from_base64(fields.text(key));
  if (!bytes) throw Error(fields.where(key) + " must be base64");
  return std::move(*bytes);
}

std::shared_ptr<const ImpulseResponse> read_response(const json& object, const std::string& where) {
  const JsonFields fields(object, where);
  auto response = std::make_shared<ImpulseResponse>();
  response->sample_rate_hz = within(fields, "sample_rate_hz", 1000, 768000, 0);
  for (const json& each : list(fields, "channels", 1, 2)) {
    const std::optional<std::vector<std::byte>> bytes =
        each.is_string() ? from_base64(each.get_ref<const std::string&>()) : std::nullopt;
    if (!bytes || bytes->empty() || bytes->size() % sizeof(float) != 0)
      throw Error(fields.where("channels") + " must be base64 of 32-bit floats");
    std::vector<float> taps(bytes->size() / sizeof(float));
    std::memcpy(taps.data(), bytes->data(), bytes->size());
    response->channels.push_back(std::move(taps));
  }
  if (response->channels.back().size() != response->channels.front().size())
    throw Error(fields.where("channels") + " must be equally long");
  return response;
}

// The files that the rig brings along.
void read_embedded(const JsonFields& fields, Rig& rig) {
  if (!fields.has("embedded")) return;
  const JsonFields embedded(fields.at("embedded"), fields.where("embedded"));
  if (embedded.has("models")) {
    const JsonFields models(embedded.at("models"), embedded.where("models"));
    for (const auto& [hash, text] : embedded.at("models").items())
      rig.models[hash] = std::make_shared<const std::vector<std::byte>>(bytes_of(models, hash.c_str()));
  }
  if (embedded.has("responses")) {
    const JsonFields responses(embedded.at("responses"), embedded.where("responses"));
    for (const auto& [checksum, object] : embedded.at("responses").items())
      rig.responses[checksum] = read_response(object, responses.where(checksum.c_str()));
  }
  note_unknown(embedded, rig.warnings);
}

ordered_json embedded_json(const Rig& rig) {
  ordered_json models = ordered_json::object(), responses = ordered_json::object();
  for (const auto& [hash, bytes] : rig.models) models[hash] = to_base64(*bytes);
  for (const auto& [checksum, response] : rig.responses) {
    ordered_json channels = ordered_json::array();
    for (const std::vector<float>& taps : response->channels)
      channels.push_back(to_base64(std::as_bytes(std::span(taps))));
    responses[checksum] = {{"sample_rate_hz", response->sample_rate_hz}, {"channels", std::move(channels)}};
  }
  return {{"models", std::move(models)}, {"responses", std::move(responses)}};
}

}  // namespace

std::string checksum_of(const ImpulseResponse& response) {
  XXH64_hash_t hash = XXH3_64bits(&response.sample_rate_hz, sizeof response.sample_rate_hz);
  for (const std::vector<float>& channel : response.channels)
    hash = XXH3_64bits_withSeed(channel.data(), channel.size() * sizeof(float), hash);
  char text[17];
  std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(hash));
  return text;
}

Rig read_rig(const std::string& text, const std::string& where) {
  const json object = parse_json(text, where);
  const JsonFields fields(object, where);
  Rig rig;
  fields.whole("rig", 1, kVersion);
  rig.name = fields.text("name", "");
  rig.category = fields.text("category", "");
  if (fields.has("tags")) {
    if (!fields.at("tags").is_array()) throw fields.wrong("tags", "a list of words");
    for (const json& tag : fields.at("tags")) {
      if (!tag.is_string()) throw fields.wrong("tags", "a list of words");
      rig.tags.push_back(tag);
    }
  }
  rig.input_db = within(fields, "input_db", -kMaxDb, kMaxDb, 0);
  rig.output_db = within(fields, "output_db", -kMaxDb, kMaxDb, 0);
  rig.mix = within(fields, "mix", 0, 1, 1);
  if (fields.has("input_dbu")) rig.input_dbu = within(fields, "input_dbu", kMinFullScaleDbu, kMaxFullScaleDbu, 0);
  size_t at = 0;
  for (const json& stage : list(fields, "stages", 0, kMaxStages))
    rig.stages.push_back(read_stage(stage, where + ".stages[" + std::to_string(at++) + "]", rig.warnings));
  rig.snapshots = read_snapshots(fields, rig.warnings);
  read_embedded(fields, rig);
  note_unknown(fields, rig.warnings);
  return rig;
}

std::string write_rig(const Rig& rig) {
  ordered_json stages = ordered_json::array();
  for (const RigStage& stage : rig.stages) stages.push_back(to_json(stage));
  ordered_json object = {{"rig", kVersion},  {"name", rig.name},           {"category", rig.category},
                         {"tags", rig.tags}, {"input_db", rig.input_db},   {"output_db", rig.output_db},
                         {"mix", rig.mix},   {"stages", std::move(stages)}};
  if (rig.input_dbu) object["input_dbu"] = *rig.input_dbu;
  if (!rig.snapshots.empty()) object["snapshots"] = snapshots_json(rig.snapshots);
  if (!rig.models.empty() || !rig.responses.empty()) object["embedded"] = embedded_json(rig);
  return object.dump(2, ' ', false, ordered_json::error_handler_t::replace) + "\n";
}

}  // namespace coil::dsp
