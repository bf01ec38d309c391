// What the browser says of a file before it is loaded.
#pragma once

#include "plugin/model_library.h"

namespace coil::plugin {

struct EntryDetails {
  juce::String task, description;
  juce::StringArray facts;  // controls, rate, size, licence; one line each
};

// Reads the file's header, not its weights. A file that cannot be read says so in `description`. [any thread but the
// audio thread]
EntryDetails describe(const LibraryEntry& entry);

}  // namespace coil::plugin
