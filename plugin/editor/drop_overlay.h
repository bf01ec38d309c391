// What lies over the window while a file hovers over it.
#pragma once

#include <juce_gui_basics/juce_gui_basics.h>

namespace coil::plugin {

class DropOverlay final : public juce::Component {
 public:
  DropOverlay();

  // `welcome`: the file is a model or preset. `left_out`: how many others were dragged along.
  void show(const juce::String& file_name, bool welcome, int left_out);

 private:
  void paint(juce::Graphics& g) override;

  juce::String text_;
  bool welcome_ = true;
};

}  // namespace coil::plugin
