// Where knobs stand in a panel: evenly in rows, in its centre.
#pragma once

#include <juce_gui_basics/juce_gui_basics.h>

#include <vector>

namespace coil::plugin {

// The heights that are useful for this many knobs in a panel of this width: the least that shows every knob, and the
// largest that is used.
juce::Range<int> knob_grid_height(int knobs, int width);

// One area for each knob.
std::vector<juce::Rectangle<int>> knob_grid(int knobs, juce::Rectangle<int> panel);

}  // namespace coil::plugin
