// What the window remembers on this machine, whatever session is open: its size.
#pragma once

#include <juce_data_structures/juce_data_structures.h>
#include <juce_graphics/juce_graphics.h>

namespace coil::plugin {

class WindowSettings {
 public:
  WindowSettings();

  juce::Rectangle<int> size() const;  // as last kept, within the theme's limits
  void keep_size(int width, int height);

 private:
  juce::PropertiesFile file_;
};

}  // namespace coil::plugin
