// User presets: .coil files, which are rigs as JSON that `coil process --chain` plays as well; and the bytes that they
// were before.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "plugin/session.h"

namespace coil::plugin {

// What the browser lists a preset by.
struct PresetLabel {
  std::string name, category;
  std::vector<std::string> tags;
};

struct Preset {
  PresetLabel label;
  Session session;  // its first slot, the chain, the cabinet; a rate mode other than the default counts
  std::vector<std::string> warnings;  // of what the plugin plays otherwise than the rig says, a sentence each
};

// The rig with all that it needs to sound the same elsewhere. [any thread]
std::string preset_text(const Session& session, const PresetLabel& label);

// Of a rig, or of a session as presets were before; errors call it `what`. Paths are as they stand there, and nothing
// is loaded yet. Throws Error, also for rigs whose stages the plugin does not have. [any thread]
Preset preset_from_bytes(std::span<const std::byte> bytes, const std::string& what);

// Whether the bytes are a rig's rather than a session's; trailing zeros, which some hosts add, do not count.
bool is_rig(std::span<const std::byte> bytes);

// Makes the paths of a preset absolute: beside the preset, or of a library's entry that has this name. [any thread but
// the audio thread]
void locate(Session& session, const juce::File& folder, ModelLibrary& library);

}  // namespace coil::plugin
