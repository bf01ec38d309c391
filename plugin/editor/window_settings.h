// Settings of the window on this machine, independent of sessions: its size, and whether the browser auditions.
#pragma once

#include <juce_data_structures/juce_data_structures.h>
#include <juce_graphics/juce_graphics.h>

namespace coil::plugin {

class WindowSettings {
 public:
  WindowSettings();

  juce::Rectangle<int> size() const;  // as last saved, within the theme's limits
  void keep_size(int width, int height);
  bool auditions() const;
  void keep_auditions(bool on);

 private:
  juce::PropertiesFile file_;
};

}  // namespace coil::plugin
