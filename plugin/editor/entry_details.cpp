// Details of models (from their cards), of presets (from their sessions), and of impulse responses.
#include "plugin/editor/entry_details.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/error.h"
#include "plugin/cabinet.h"
#include "plugin/editor/learn_words.h"
#include "plugin/preset.h"
#include "plugin/text.h"
#include "ssm/model/checkpoint.h"
#include "ssm/model/plan.h"

namespace coil::plugin {
namespace {

std::optional<double> number_of(const nlohmann::json& card, const char* pointer) {
  const nlohmann::json::json_pointer place(pointer);
  return card.contains(place) && card.at(place).is_number() ? std::optional(card.at(place).get<double>())
                                                            : std::nullopt;
}

// The error on recordings that the model was not trained on; which ones depends on who made it.
juce::String error_fact(const nlohmann::json& card) {
  for (const char* place : {"/metrics/recorded/esr_mean", "/metrics/esr_held_out"})
    if (const auto esr = number_of(card, place); esr && *esr >= 0)
      return "Error: " + error_text(*esr).replace(": ", ", ");
  return {};
}

juce::String level_fact(const nlohmann::json& card) {
  juce::StringArray levels;
  const auto add = [&](const char* place, const juce::String& side) {
    if (const auto dbu = number_of(card, place)) levels.add(juce::String(*dbu, 1) + " dBu " + side);
  };
  add("/input_full_scale_dbu", "at the input");
  add("/output_full_scale_dbu", "at the output");
  return levels.isEmpty() ? juce::String() : "Full scale: " + levels.joinIntoString(", ");
}

juce::String cost_fact(const ssm::ModelConfig& config, double rate_hz) {
  constexpr double kMillion = 1e6;
  const double millions = ssm::plan_of(config).cost.macs_per_step * rate_hz / kMillion;
  const auto number = millions < 10 ? juce::String(millions, 1) : juce::String(juce::roundToInt(millions));
  return "Cost: " + number + " million multiply-adds a second";
}

EntryDetails describe_model(const juce::File& file) {
  const auto checkpoint = ssm::Checkpoint::open(path_of(file));
  const auto config = ssm::parse_config(checkpoint.config_json(), checkpoint.source());
  const auto card = ssm::parse_card(checkpoint.card_json(), config.control_count, checkpoint.source());
  const auto json = nlohmann::json::parse(card.json, nullptr, false);
  EntryDetails details{from_utf8(card.task), from_utf8(card.description), {}};
  juce::StringArray controls;
  for (const auto& control : card.controls) controls.add(from_utf8(control.name));
  details.facts.add("Controls: " + (controls.isEmpty() ? juce::String("none") : controls.joinIntoString(", ")));
  details.facts.add(error_fact(json));
  details.facts.add(level_fact(json));
  const double rate_hz = card.sample_rate_hz > 0 ? card.sample_rate_hz : config.sample_rate_hz;
  if (rate_hz > 0) {
    details.facts.add(cost_fact(config, rate_hz));
    details.facts.add("Rate: " + juce::String(rate_hz / 1000) + " kHz");
  }
  details.facts.add("Type: " + from_utf8(config.model_type) + ", " +
                    counted(static_cast<int>(config.layers.size()), "layer") +
                    (config.slow_path ? " and a slow path" : ""));
  if (!card.licence.empty()) details.facts.add("Licence: " + from_utf8(card.licence));
  return details;
}

EntryDetails describe_preset(const juce::File& file) {
  juce::MemoryBlock bytes;
  if (!file.loadFileAsData(bytes)) return {{}, "The file cannot be read: " + file.getFullPathName(), {}};
  const Preset preset = preset_from_bytes({static_cast<const std::byte*>(bytes.getData()), bytes.getSize()}, "it");
  const auto& slot = preset.session.slots[0];
  EntryDetails details{"preset", "A preset of " + from_utf8(slot.name), {}};
  for (const auto& [name, value] : slot.controls) details.facts.add(from_utf8(name) + ": " + juce::String(value, 2));
  return details;
}

EntryDetails describe_cabinet(const juce::File& file) {
  const MicrophoneContent microphone = microphone_with(file);
  const dsp::ImpulseResponse& response = *microphone.response;
  const auto frames = static_cast<double>(response.channels[0].size());
  EntryDetails details{kCabinetCategory, "The impulse response of a loudspeaker cabinet", {}};
  details.facts.add("Length: " + juce::String(juce::roundToInt(1000 * frames / response.sample_rate_hz)) + " ms, " +
                    (response.channels.size() == 1 ? "mono" : "stereo"));
  details.facts.add("Rate: " + juce::String(response.sample_rate_hz / 1000) + " kHz");
  details.facts.add(from_utf8(microphone.remark));
  return details;
}

EntryDetails describe_content(const LibraryEntry& entry) {
  if (entry.is_cabinet) return describe_cabinet(entry.file);
  return entry.is_preset ? describe_preset(entry.file) : describe_model(entry.file);
}

}  // namespace

EntryDetails describe(const LibraryEntry& entry) {
  EntryDetails details;
  try {
    details = describe_content(entry);
  } catch (const std::exception& error) {
    return {"does not load", from_utf8(error.what()), {}};
  }
  if (entry.category.isNotEmpty() && !entry.category.equalsIgnoreCase(details.task))
    details.facts.add("Category: " + entry.category);
  if (!entry.tags.isEmpty()) details.facts.add("Tags: " + entry.tags.joinIntoString(", "));
  details.facts.removeEmptyStrings();
  return details;
}

}  // namespace coil::plugin
