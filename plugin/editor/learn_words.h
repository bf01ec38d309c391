// The texts of the Learn page: the stage, what to do, remarks on the recordings.
#pragma once

#include <juce_core/juce_core.h>

#include "plugin/learn/learning.h"

namespace coil::plugin {

struct LearnWords {
  juce::String title, text;
  juce::String progress_text;
  float progress = -1;  // 0 to 1; below 0: no progress bar
  juce::String stop;    // label of the button that ends the current stage; empty: no button
};

// Which connections the plugin can detect.
struct LearnConnection {
  bool is_live = false;     // coil-live: the return is on input 2
  bool sound_runs = false;  // the host processes blocks
  bool has_return = false;  // a side chain is connected
};

LearnWords words_for(const LearnStatus& status, const LearnConnection& connection);

// "Error 0.12 % (-29 dB): hard to tell from the device".
juce::String error_text(double esr);

}  // namespace coil::plugin
