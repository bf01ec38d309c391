// Presets between the plugin's session and a rig's stages.
#include "plugin/preset.h"

#include <algorithm>
#include <optional>
#include <string_view>
#include <utility>

#include "base/error.h"
#include "dsp/plugin_rig.h"
#include "plugin/parameters.h"
#include "plugin/text.h"

namespace coil::plugin {

namespace {

static_assert(kMinMicrophoneDb == dsp::kPluginMinMicrophoneDb && kMaxMicrophoneDb == dsp::kPluginMaxMicrophoneDb);

float value_of(const Session& session, const char* id, float otherwise) {
  const auto found = session.chain.find(id);
  return found == session.chain.end() ? otherwise : found->second;
}

std::string band_id(size_t band, const char* what) { return "band_" + std::to_string(band + 1) + "_" + what; }

// -- to a rig

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
  model.main = true;
  if (slot.file_bytes) rig.models[slot.hash] = slot.file_bytes;
  return {slot.name, value_of(session, "model_mix", 100) / 100, value_of(session, "model_on", 1) == 0, model};
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
  return dsp::RigStage{"cabinet", value_of(session, "cabinet_mix", 100) / 100, value_of(session, "cabinet", 1) == 0,
                       cabinet};
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
  return {"equaliser", value_of(session, "equaliser_mix", 100) / 100, value_of(session, "equaliser", 1) == 0, settings};
}

dsp::RigStage further_rig_stage(const Session& session, const StagePlace& place, dsp::Rig& rig) {
  dsp::RigStage stage = rig_stage(*place.further, rig);
  stage.mix = value_of(session, stage_id(place.number, "mix").c_str(), 100) / 100;
  stage.bypassed = value_of(session, stage_id(place.number, "on").c_str(), 1) == 0;
  return stage;
}

// Without the slots: a preset holds only one.
dsp::RigSnapshots rig_snapshots(const SnapshotBank& bank) {
  dsp::RigSnapshots snapshots;
  for (size_t i = 0; i < bank.all.size(); ++i) {
    if (!bank.all[i]) continue;
    dsp::RigSnapshot& to = snapshots[snapshot_letter(int(i) + 1).toStdString()];
    to.values = bank.all[i]->chain;
    to.controls = bank.all[i]->controls;
    for (const MicrophoneSettings& each : bank.all[i]->microphones)
      to.microphones.push_back({each.level_db, each.pan, each.delay_ms, each.inverted});
  }
  return snapshots;
}

// -- from a rig

SnapshotBank bank_from(const dsp::RigSnapshots& snapshots) {
  SnapshotBank bank;
  for (size_t i = 0; i < bank.all.size(); ++i) {
    const auto found = snapshots.find(snapshot_letter(int(i) + 1).toStdString());
    if (found == snapshots.end()) continue;
    Snapshot& to = bank.all[i].emplace();
    to.chain = found->second.values;
    to.controls = found->second.controls;
    std::erase_if(to.chain, [](const auto& item) { return !is_of_snapshot(item.first); });
    for (size_t m = 0; m < std::min(to.microphones.size(), found->second.microphones.size()); ++m) {
      const dsp::RigSnapshot::Microphone& from = found->second.microphones[m];
      to.microphones[m] = {std::clamp(from.level_db, kMinMicrophoneDb, kMaxMicrophoneDb),
                           std::clamp(from.pan, -1.0f, 1.0f),
                           std::clamp(from.delay_ms, 0.0f, dsp::kMaxMicrophoneDelayMs), from.inverted};
    }
  }
  return bank;
}

void take(const dsp::PluginRig& rig, const dsp::Rig& whole, Preset& preset) {
  std::map<std::string, float>& chain = preset.session.chain;
  chain["input_gain"] = rig.input_db;
  chain["output_gain"] = rig.output_db;
  chain["mix"] = 100 * rig.mix;
  chain["gate_threshold"] = rig.model.gate_db;
  chain["calibrated"] = whole.input_dbu.has_value();
  if (whole.input_dbu) chain["input_dbu"] = *whole.input_dbu;
  chain["normalise"] = rig.model.normalise;
  chain["channels"] = float(rig.model.channels);

  preset.session.slots[0] = slot_of(rig.model, rig.model_stage.name, whole);
  preset.session.rate_mode = rig.model.rate_mode;
  chain["model_on"] = !rig.model_stage.bypassed;
  chain["model_mix"] = 100 * rig.model_stage.mix;

  chain["cabinet"] = rig.cabinet_on;
  chain["cabinet_mix"] = 100 * rig.cabinet_mix;
  preset.session.cabinet = cabinet_of(rig.cabinet, whole);

  chain["equaliser"] = rig.equaliser_on;
  chain["equaliser_mix"] = 100 * rig.equaliser_mix;
  for (size_t i = 0; i < rig.equaliser.bands.size(); ++i) {
    chain[band_id(i, "hz")] = rig.equaliser.bands[i].hz;
    chain[band_id(i, "gain")] = rig.equaliser.bands[i].gain_db;
    chain[band_id(i, "q")] = rig.equaliser.bands[i].q;
  }
  const float low = rig.equaliser.low_cut_hz, high = rig.equaliser.high_cut_hz;
  chain["low_cut"] = low > 0 ? low : kLowCutOffHz;
  chain["high_cut"] = high > 0 ? std::min(high, kHighCutOffHz) : kHighCutOffHz;

  preset.session.stages.clear();
  for (const dsp::PluginRig::Place& place : rig.places) {
    preset.session.stages.push_back({place.number, place.number < 0 ? nullptr : further_stage(place.stage, whole)});
    if (place.number < 0) continue;
    chain[stage_id(place.number, "on")] = !place.stage.bypassed;
    chain[stage_id(place.number, "mix")] = 100 * place.stage.mix;
  }
}

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
  if (value_of(session, "calibrated", 0) != 0) rig.input_dbu = value_of(session, "input_dbu", kUsualFullScaleDbu);
  for (const StagePlace& place : session.stages) {
    if (place.further) {
      rig.stages.push_back(further_rig_stage(session, place, rig));
    } else if (place.number == dsp::kModelsStage) {
      rig.stages.push_back(model_stage(session, rig));
    } else if (place.number == dsp::kEqualiserStage) {
      rig.stages.push_back(equaliser_stage(session));
    } else if (auto cabinet = cabinet_stage(session, rig)) {
      rig.stages.push_back(std::move(*cabinet));
    }
  }
  rig.snapshots = rig_snapshots(session.snapshots);
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
    const dsp::PluginRig arranged = dsp::arrange_for_plugin(rig);
    preset.warnings.insert(preset.warnings.end(), arranged.warnings.begin(), arranged.warnings.end());
    take(arranged, rig, preset);
    preset.session.snapshots = bank_from(rig.snapshots);
  } catch (const Error& error) {
    throw Error(what + ": " + error.what());
  }
  return preset;
}

void locate(Session& session, const juce::File& folder, ModelLibrary& library) {
  const auto beside = [&](std::string& path) {
    const juce::String text = from_utf8(path);
    if (path.empty() || juce::File::isAbsolutePath(text)) return true;
    const juce::File here = folder.getChildFile(text);
    if (here.exists()) path = path_of(here);
    return here.exists();
  };
  const auto locate_model = [&](SlotContent& slot) {
    if (beside(slot.path)) return;
    const juce::String name = from_utf8(slot.path);
    for (const LibraryEntry& entry : library.entries())
      if (!entry.is_preset && entry.file.getFileNameWithoutExtension() == name) slot.path = path_of(entry.file);
  };
  const auto locate_cabinet = [&](CabinetContent& cabinet) {
    for (MicrophoneContent& each : cabinet.microphones)
      if (!beside(each.path))
        if (const auto file = library.find_cabinet(from_utf8(each.path))) each.path = path_of(*file);
  };
  locate_model(session.slots[0]);
  if (session.cabinet) locate_cabinet(*session.cabinet);
  for (StagePlace& place : session.stages) {
    if (!place.further) continue;
    auto located = std::make_shared<FurtherStage>(*place.further);
    locate_model(located->model);
    locate_cabinet(located->cabinet);
    place.further = std::move(located);
  }
}

juce::File preset_file(const juce::String& name, const ModelLibrary& library) {
  // files that start with a dot are not listed
  const juce::String legal = juce::File::createLegalFileName(name).trim().trimCharactersAtStart(".");
  if (!legal.containsNonWhitespaceChars()) throw Error("a preset needs a name with at least one letter or digit");
  return library.preset_folder().getChildFile(legal + kPresetExtension);
}

juce::File save_preset(const juce::String& name, Store& store, ModelLibrary& library) {
  const juce::File file = preset_file(name, library);
  Session preset;
  int saved_slot = 0;
  {
    const std::lock_guard lock(store.mutex);
    Session session = store.session();
    saved_slot = store.active_slot;
    preset.slots[0] = std::move(session.slots[size_t(saved_slot)]);
    preset.chain = std::move(session.chain);
    preset.cabinet = std::move(session.cabinet);
    preset.stages = std::move(session.stages);
    preset.snapshots = std::move(session.snapshots);
    preset.rate_mode = session.rate_mode;
  }
  if (preset.slots[0].empty()) throw Error("there is nothing to save: load a model first");
  preset.chain.erase(store.parameters.bypass->getParameterID().toStdString());
  preset.slots[0].preset.clear();
  for (auto& snapshot : preset.snapshots.all) {  // those of the slot that is saved
    if (snapshot && snapshot->slot != saved_slot) snapshot.reset();
    if (snapshot) snapshot->slot = 0;
  }
  const std::string text = preset_text(preset, {file.getFileNameWithoutExtension().toStdString(), {}, {}});
  if (!file.getParentDirectory().createDirectory() || !file.replaceWithData(text.data(), text.size()))
    throw Error(path_of(file) + ": cannot be written");
  {
    const std::lock_guard lock(store.mutex);
    Store::Slot& slot = store.slots[size_t(saved_slot)];
    if (slot.content.hash == preset.slots[0].hash) slot.content.preset = path_of(file);
  }
  library.rescan();
  library.note_recent(file);
  return file;
}

}  // namespace coil::plugin
