// The overlay that is shown while a file is dragged over the window.
#pragma once

#include <juce_gui_basics/juce_gui_basics.h>

namespace coil::plugin {

class DropOverlay final : public juce::Component {
 public:
  DropOverlay();

  // `verb`: what dropping does. `welcome`: the file is a model, preset or capture. `left_out`: the number of other
  // files in the drag.
  void show(const juce::String& file_name, const juce::String& verb, bool welcome, int left_out);

 private:
  void paint(juce::Graphics& g) override;

  juce::String text_;
  bool welcome_ = true;
};

}  // namespace coil::plugin
