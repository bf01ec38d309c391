// The menu of what can be added to the chain.
#pragma once

#include <juce_gui_basics/juce_gui_basics.h>

#include <functional>

#include "dsp/rig.h"
#include "plugin/model_library.h"

namespace coil::plugin {

struct StageMenuActions {
  std::function<void(dsp::RigStage)> add;           // a stage without a file
  std::function<void(const juce::File&)> add_file;  // a model or an impulse response
  std::function<void()> open_file;
};
juce::PopupMenu stage_menu(ModelLibrary& library, const StageMenuActions& actions);

}  // namespace coil::plugin
