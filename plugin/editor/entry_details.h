// The browser's details of a file that is not loaded.
#pragma once

#include "plugin/model_library.h"

namespace coil::plugin {

struct EntryDetails {
  juce::String task, description;
  juce::StringArray facts;  // controls, error, levels, cost, rate, licence, tags, one line each
};

// Of a model it reads the header, not the weights. If the file cannot be read, `description` says so. [any thread but
// the audio thread]
EntryDetails describe(const LibraryEntry& entry);

}  // namespace coil::plugin
