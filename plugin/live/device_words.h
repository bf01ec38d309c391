// Explains errors of sound cards and sound servers in plain words, with a remedy.
#pragma once

#include <juce_core/juce_core.h>

namespace coil::plugin {

struct DeviceTrouble {
  juce::String error;  // as ALSA or JACK words it; may be empty
  juce::String type;   // "ALSA", "JACK"
  juce::String name;   // of the device that was asked for; empty: none
  bool any_devices = true;
};

// One sentence for the bar, without the system's own words unless they are unknown.
juce::String words_for(const DeviceTrouble& trouble);

// What to do about blocks that came too late; empty if there were none.
juce::String words_for_dropouts(int count);

}  // namespace coil::plugin
