// What the Learn page says: where one is, what to do, what the recordings are like.
#pragma once

#include <juce_core/juce_core.h>

#include "plugin/learn/learning.h"

namespace coil::plugin {

struct LearnWords {
  juce::String title, text;
  juce::String progress_text;
  float progress = -1;  // 0 to 1; below 0: nothing moves
  juce::String stop;    // what the button says that ends what goes on; empty: nothing to end
};

// What is connected, as far as the plugin can tell.
struct LearnConnection {
  bool is_live = false;     // coil-live: the return is on the second input
  bool sound_runs = false;  // the host sends blocks
  bool has_return = false;  // a side chain is connected
};

LearnWords words_for(const LearnStatus& status, const LearnConnection& connection);

// "Error 0.12 % (-29 dB): hard to tell from the device".
juce::String error_text(double esr);

}  // namespace coil::plugin
