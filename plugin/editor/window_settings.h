// Settings of the window on this machine, independent of sessions: its size.
#pragma once

#include <juce_data_structures/juce_data_structures.h>
#include <juce_graphics/juce_graphics.h>

namespace coil::plugin {

class WindowSettings {
 public:
  WindowSettings();

  juce::Rectangle<int> size() const;  // as last saved, within the theme's limits
  void keep_size(int width, int height);

 private:
  juce::PropertiesFile file_;
};

}  // namespace coil::plugin
