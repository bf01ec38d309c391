// What a knob is called, and what its tooltip says.
#pragma once

#include <juce_core/juce_core.h>

#include <string>

namespace coil::plugin {

// "Low cut" for "low_cut".
juce::String knob_name(const std::string& name);

// "Makes it louder. -60 to 60 dB, usually 0 dB".
juce::String knob_description(const std::string& what, double min, double max, double usual, const std::string& unit);

}  // namespace coil::plugin
