// Presets between the plugin's session and a rig's stages.
#include "plugin/preset.h"

#include <algorithm>
#include <optional>
#include <string_view>
#include <utility>

#include "base/error.h"
#include "dsp/rig.h"
#include "plugin/parameters.h"

namespace coil::plugin {

namespace {

constexpr float kMaxGainDb = 40;  // of the parameters input_gain and output_gain

float value_of(const Session& session, const char* id, float otherwise) {
  const auto found = session.chain.find(id);
  return found == session.chain.end() ? otherwise : found->second;
}

std::string band_id(size_t band, const char* what) { return "band_" + std::to_string(band + 1) + "_" + what; }

// ---------------------------------------------------------------- to a rig

dsp::RigStage model_stage(const Session& session, dsp::Rig& rig) {
  const SlotContent& slot = session.slots[0];
  dsp::RigModel model;
  model.file = slot.path.empty() ? slot.name : slot.path;
  model.controls = slot.controls;
  model.rate_mode = session.rate_mode;
  model.hash = slot.hash;
  model.normalise = value_of(session, "normalise", 1) != 0;
  model.gate_db = value_of(session, "gate_threshold", dsp::kGateOffDb);
  model.channels = dsp::ChannelMode(int(value_of(session, "channels", 0)));
  if (slot.file_bytes) rig.models[slot.hash] = slot.file_bytes;
  return {slot.name, 1, false, model};
}

std::optional<dsp::RigStage> cabinet_stage(const Session& session, dsp::Rig& rig) {
  if (!session.cabinet) return std::nullopt;
  dsp::RigCabinet cabinet;
  for (const MicrophoneContent& each : session.cabinet->microphones) {
    if (each.empty()) continue;
    const MicrophoneSettings& s = each.settings;
    cabinet.microphones.push_back(
        {each.path.empty() ? each.name : each.path, s.level_db, s.pan, s.delay_ms, s.inverted, each.checksum});
    if (each.response && fits_into_session(*each.response)) rig.responses[each.checksum] = each.response;
  }
  if (cabinet.microphones.empty()) return std::nullopt;
  return dsp::RigStage{"cabinet", 1, value_of(session, "cabinet", 1) == 0, cabinet};
}

dsp::RigStage equaliser_stage(const Session& session) {
  dsp::EqualiserSettings settings;
  for (size_t i = 0; i < settings.bands.size(); ++i) {
    dsp::EqualiserBand& band = settings.bands[i];
    band.hz = value_of(session, band_id(i, "hz").c_str(), band.hz);
    band.gain_db = value_of(session, band_id(i, "gain").c_str(), 0);
    band.q = value_of(session, band_id(i, "q").c_str(), band.q);
  }
  const float low = value_of(session, "low_cut", kLowCutOffHz), high = value_of(session, "high_cut", kHighCutOffHz);
  settings.low_cut_hz = low > kLowCutOffHz ? low : 0;
  settings.high_cut_hz = high < kHighCutOffHz ? high : 0;
  return {"equaliser", 1, value_of(session, "equaliser", 1) == 0, settings};
}

// ---------------------------------------------------------------- from a rig

// Puts a rig's stages where the plugin has them: gains, a gate, a model, and behind it a cabinet, an equaliser, gains.
class Placing {
 public:
  Placing(const dsp::Rig& rig, Preset& preset) : rig_(rig), preset_(preset), chain_(preset.session.chain) {}

  void run() {
    float input_db = rig_.input_db, output_db = rig_.output_db;
    preset_.session.cabinet.emplace();
    chain_["gate_threshold"] = dsp::kGateOffDb;
    for (; at_ < rig_.stages.size(); ++at_) {
      const dsp::RigStage& stage = rig_.stages[at_];
      if (const auto* gain = std::get_if<dsp::RigGain>(&stage.kind)) {
        if (stage.bypassed) continue;
        if (has_model_ && rig_.mix != 1) throw misfit("cannot stand there while the rig's mix is not 1");
        (has_model_ ? output_db : input_db) += gain->db;
      } else if (const auto* gate = std::get_if<dsp::RigGate>(&stage.kind)) {
        place(stage, *gate);
      } else if (const auto* model = std::get_if<dsp::RigModel>(&stage.kind)) {
        place(stage, *model);
      } else if (const auto* cabinet = std::get_if<dsp::RigCabinet>(&stage.kind)) {
        place(stage, *cabinet);
      } else {
        place(stage, std::get<dsp::EqualiserSettings>(stage.kind));
      }
      if (stage.mix != 1) throw misfit("has a mix of its own");
    }
    if (!has_model_) throw Error("holds no model");
    chain_["input_gain"] = within(input_db, -kMaxGainDb, kMaxGainDb, "gain before the model");
    chain_["output_gain"] = within(output_db, -kMaxGainDb, kMaxGainDb, "gain behind the stages");
    chain_["mix"] = 100 * rig_.mix;
    chain_["cabinet"] = cabinet_on_;
    if (!has_equaliser_) set_equaliser({});
    chain_["equaliser"] = equaliser_on_;
  }

 private:
  Error misfit(const std::string& why) const {
    return Error(
        "its stage " + std::to_string(at_ + 1) + " (" + rig_.stages[at_].name + ") " + why +
        "; the plugin plays one model, then a cabinet and an equaliser (`coil process --chain` plays any rig)");
  }
  void warn(const std::string& sentence) { preset_.warnings.push_back(sentence); }
  float within(float value, float min, float max, const std::string& what) {
    const float taken = std::clamp(value, min, max);
    if (taken != value)
      warn("a " + what + " of " + juce::String(value, 1).toStdString() + " is played as " +
           juce::String(taken, 1).toStdString());
    return taken;
  }

  void place(const dsp::RigStage& stage, const dsp::RigGate& gate) {
    if (has_model_) throw misfit("stands behind the model");
    if (stage.bypassed) return;
    if (chain_["gate_threshold"] != dsp::kGateOffDb) throw misfit("is a second gate");
    chain_["gate_threshold"] = gate.threshold_db;
    warn("the gate before the model turns down what the model makes, not what it hears");
  }

  void place(const dsp::RigStage& stage, const dsp::RigModel& model) {
    if (has_model_) throw misfit("is a second model");
    has_model_ = true;
    if (stage.bypassed) warn("the model is bypassed in the rig, and plays here");
    SlotContent& slot = preset_.session.slots[0];
    slot.hash = model.hash;
    slot.name = stage.name;
    slot.path = model.file;
    slot.controls = model.controls;
    if (const auto bytes = rig_.models.find(model.hash); bytes != rig_.models.end()) slot.file_bytes = bytes->second;
    preset_.session.rate_mode = model.rate_mode;
    chain_["normalise"] = model.normalise;
    chain_["channels"] = float(model.channels);
    if (model.gate_db > dsp::kGateOffDb) chain_["gate_threshold"] = model.gate_db;
  }

  void place(const dsp::RigStage& stage, const dsp::RigCabinet& cabinet) {
    if (!has_model_) throw misfit("stands before the model");
    if (std::exchange(has_cabinet_, true)) throw misfit("is a second cabinet");
    if (!cabinet.normalise) warn("the cabinet is brought to the loudness of what it hears");
    cabinet_on_ = !stage.bypassed;
    for (size_t i = 0; i < cabinet.microphones.size(); ++i) {
      const dsp::RigMicrophone& from = cabinet.microphones[i];
      MicrophoneContent& to = preset_.session.cabinet->microphones[i];
      const juce::String name = juce::String::fromUTF8(from.file.c_str());
      to.name = juce::File::createFileWithoutCheckingPath(name).getFileNameWithoutExtension().toStdString();
      to.path = from.file;
      to.checksum = from.checksum;
      to.settings = {within(from.level_db, kMinMicrophoneDb, kMaxMicrophoneDb, "microphone's level"), from.pan,
                     from.delay_ms, from.inverted};
      if (const auto taps = rig_.responses.find(from.checksum); taps != rig_.responses.end())
        to.response = taps->second;
    }
  }

  void place(const dsp::RigStage& stage, const dsp::EqualiserSettings& settings) {
    if (!has_model_) throw misfit("stands before the model");
    if (std::exchange(has_equaliser_, true)) throw misfit("is a second equaliser");
    const dsp::EqualiserSettings usual;
    for (size_t i = 0; i < settings.bands.size(); ++i)
      if (settings.bands[i].kind != usual.bands[i].kind && settings.bands[i].gain_db != 0)
        throw misfit("has a band " + std::to_string(i + 1) + " of a kind that the plugin's is not");
    equaliser_on_ = !stage.bypassed;
    set_equaliser(settings);
  }

  void set_equaliser(const dsp::EqualiserSettings& settings) {
    for (size_t i = 0; i < settings.bands.size(); ++i) {
      chain_[band_id(i, "hz")] = settings.bands[i].hz;
      chain_[band_id(i, "gain")] = settings.bands[i].gain_db;
      chain_[band_id(i, "q")] = settings.bands[i].q;
    }
    chain_["low_cut"] = settings.low_cut_hz > 0 ? settings.low_cut_hz : kLowCutOffHz;
    chain_["high_cut"] = settings.high_cut_hz > 0 ? std::min(settings.high_cut_hz, kHighCutOffHz) : kHighCutOffHz;
  }

  const dsp::Rig& rig_;
  Preset& preset_;
  std::map<std::string, float>& chain_;
  size_t at_ = 0;
  bool has_model_ = false, has_cabinet_ = false, has_equaliser_ = false, cabinet_on_ = true, equaliser_on_ = true;
};

std::string_view text_of(std::span<const std::byte> bytes) {
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  return text.substr(0, text.find_last_not_of('\0') + 1);
}

}  // namespace

bool is_rig(std::span<const std::byte> bytes) {
  const std::string_view text = text_of(bytes);
  const size_t first = text.find_first_not_of(" \t\r\n");
  return first != std::string_view::npos && text[first] == '{';
}

std::string preset_text(const Session& session, const PresetLabel& label) {
  dsp::Rig rig;
  rig.name = label.name;
  rig.category = label.category;
  rig.tags = label.tags;
  rig.input_db = value_of(session, "input_gain", 0);
  rig.output_db = value_of(session, "output_gain", 0);
  rig.mix = value_of(session, "mix", 100) / 100;
  rig.stages.push_back(model_stage(session, rig));
  if (auto cabinet = cabinet_stage(session, rig)) rig.stages.push_back(std::move(*cabinet));
  rig.stages.push_back(equaliser_stage(session));
  return dsp::write_rig(rig);
}

Preset preset_from_bytes(std::span<const std::byte> bytes, const std::string& what) {
  Preset preset;
  if (!is_rig(bytes)) {
    preset.session = session_from_bytes(bytes, what);
    if (preset.session.slots[0].empty()) throw Error(what + " holds no model");
    preset.label.name = preset.session.slots[0].name;
    return preset;
  }
  const dsp::Rig rig = dsp::read_rig(std::string(text_of(bytes)), what);
  preset.label = {rig.name, rig.category, rig.tags};
  preset.warnings = rig.warnings;
  try {
    Placing(rig, preset).run();
  } catch (const Error& error) {
    throw Error(what + ": " + error.what());
  }
  return preset;
}

void locate(Session& session, const juce::File& folder, ModelLibrary& library) {
  const auto beside = [&](std::string& path) {
    const juce::String text = juce::String::fromUTF8(path.c_str());
    if (path.empty() || juce::File::isAbsolutePath(text)) return true;
    const juce::File here = folder.getChildFile(text);
    if (here.exists()) path = here.getFullPathName().toStdString();
    return here.exists();
  };
  if (SlotContent& slot = session.slots[0]; !beside(slot.path)) {
    const juce::String name = juce::String::fromUTF8(slot.path.c_str());
    for (const LibraryEntry& entry : library.entries())
      if (!entry.is_preset && entry.file.getFileNameWithoutExtension() == name)
        slot.path = entry.file.getFullPathName().toStdString();
  }
  if (session.cabinet)
    for (MicrophoneContent& each : session.cabinet->microphones) beside(each.path);
}

}  // namespace coil::plugin
