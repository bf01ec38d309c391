// User presets: .coil files, which are rigs in JSON that `coil process --chain` runs as well. Reads the older binary
// presets, too.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "plugin/session.h"
#include "plugin/store.h"

namespace coil::plugin {

// What the browser lists a preset by.
struct PresetLabel {
  std::string name, category;
  std::vector<std::string> tags;
};

struct Preset {
  PresetLabel label;
  Session session;  // its first slot, the chain, the cabinet, and a rate mode unless it is the default
  std::vector<std::string> warnings;  // what the plugin plays differently from the rig, one sentence each
};

// The rig with its models and responses embedded. [any thread]
std::string preset_text(const Session& session, const PresetLabel& label);

// Reads a rig, or a binary preset; `what` names it in error messages. Paths stay as written, and nothing is loaded yet.
// Throws Error, also for rigs with stages that the plugin has no place for. [any thread]
Preset preset_from_bytes(std::span<const std::byte> bytes, const std::string& what);

// Whether the bytes are a rig and not a session. Ignores trailing zeros, which some hosts add.
bool is_rig(std::span<const std::byte> bytes);

// The file that save_preset() would write. Throws Error for a name that is none.
juce::File preset_file(const juce::String& name, const ModelLibrary& library);
// Saves the active slot and the chain, in place of a preset of this name; the slot gets the name. Throws Error. [any
// thread but the audio thread]
juce::File save_preset(const juce::String& name, Store& store, ModelLibrary& library);

// Makes the paths of a preset absolute: files in `folder`, or models and cabinets of the library with that name. [any
// thread but the audio thread]
void locate(Session& session, const juce::File& folder, ModelLibrary& library);

}  // namespace coil::plugin
