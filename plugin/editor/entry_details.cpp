// Details of models (from their cards) and of presets (from their sessions).
#include "plugin/editor/entry_details.h"

#include "plugin/preset.h"
#include "ssm/model/checkpoint.h"
#include "base/error.h"

namespace coil::plugin {
namespace {

juce::String text(const std::string& utf8) { return juce::String::fromUTF8(utf8.c_str()); }

EntryDetails describe_model(const juce::File& file) {
  const auto checkpoint = ssm::Checkpoint::open(file.getFullPathName().toStdString());
  const auto config = ssm::parse_config(checkpoint.config_json(), checkpoint.source());
  const auto card = ssm::parse_card(checkpoint.card_json(), config.control_count, checkpoint.source());
  EntryDetails details{text(card.task), text(card.description), {}};
  juce::StringArray controls;
  for (const auto& control : card.controls) controls.add(text(control.name));
  details.facts.add("Controls: " + (controls.isEmpty() ? juce::String("none") : controls.joinIntoString(", ")));
  const double rate_hz = card.sample_rate_hz > 0 ? card.sample_rate_hz : config.sample_rate_hz;
  if (rate_hz > 0) details.facts.add("Rate: " + juce::String(rate_hz / 1000) + " kHz");
  const size_t layers = config.layers.size();
  details.facts.add("Type: " + text(config.model_type) + ", " + juce::String(layers) +
                    (layers == 1 ? " layer" : " layers"));
  if (!card.licence.empty()) details.facts.add("Licence: " + text(card.licence));
  return details;
}

EntryDetails describe_preset(const juce::File& file) {
  juce::MemoryBlock bytes;
  if (!file.loadFileAsData(bytes)) return {{}, "The file cannot be read: " + file.getFullPathName(), {}};
  const Preset preset = preset_from_bytes({static_cast<const std::byte*>(bytes.getData()), bytes.getSize()}, "it");
  const auto& slot = preset.session.slots[0];
  EntryDetails details{"preset", "A preset of " + text(slot.name), {}};
  for (const auto& [name, value] : slot.controls) details.facts.add(text(name) + ": " + juce::String(value, 2));
  return details;
}

}  // namespace

EntryDetails describe(const LibraryEntry& entry) {
  try {
    EntryDetails details = entry.is_preset ? describe_preset(entry.file) : describe_model(entry.file);
    if (!entry.tags.isEmpty()) details.facts.add("Tags: " + entry.tags.joinIntoString(", "));
    return details;
  } catch (const Error& error) {
    return {"does not load", text(error.what()), {}};
  }
}

}  // namespace coil::plugin
