// Packs: zip archives of models, presets and impulse responses with their licence, installed into the user's library.
#pragma once

#include <juce_core/juce_core.h>

#include "plugin/model_library.h"

namespace coil::plugin {

inline constexpr const char* kPackExtension = ".zip";

struct InstalledPack {
  juce::File folder;  // in ModelLibrary::pack_folder()
  juce::String licence;
  int models = 0, presets = 0, cabinets = 0;
};

// Checks every file of the archive and installs them as one folder, or nothing. The pack has the name of the archive's
// only folder, else of its file. Files of macOS and hidden files are left out. Throws Error if the archive is damaged
// or too large, if an entry would leave the folder or is no model, preset, impulse response or text, if the licence is
// missing, or if a pack of this name is there already. [any thread but the audio thread]
InstalledPack install_pack(const juce::File& archive, ModelLibrary& library);

// What the folder of an installed pack holds now. [any thread but the audio thread]
InstalledPack installed_pack(const juce::File& folder);

}  // namespace coil::plugin
