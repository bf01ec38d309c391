// The common layout of the input and output strips: title, meter at the outer edge, two knobs, a foot.
#pragma once

#include <juce_gui_basics/juce_gui_basics.h>

namespace coil::plugin {

enum class MeterSide { left, right };

struct StripAreas {
  juce::Rectangle<int> title, meter, upper, lower, foot;
};
StripAreas strip_areas(juce::Rectangle<int> strip, MeterSide side);

void paint_strip(juce::Graphics& g, const juce::Component& strip, const juce::String& title,
                 juce::Rectangle<int> title_area);

}  // namespace coil::plugin
