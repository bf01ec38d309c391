// The browser's details of a file that is not loaded.
#pragma once

#include "plugin/model_library.h"

namespace coil::plugin {

struct EntryDetails {
  juce::String task, description;
  juce::StringArray facts;  // controls, rate, size, licence, one line each
};

// Reads the file's header, not its weights. If the file cannot be read, `description` says so. [any thread but the
// audio thread]
EntryDetails describe(const LibraryEntry& entry);

}  // namespace coil::plugin
