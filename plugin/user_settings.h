// Numbers that the user sets once on a machine, for all sessions.
#pragma once

#include <juce_data_structures/juce_data_structures.h>

namespace coil::plugin {

// In a file of its own beside the list of recent files. One call at a time. [any thread but the audio thread]
class UserSettings {
 public:
  UserSettings();

  double number(const char* key, double otherwise) const;
  void keep(const char* key, double value);  // in the file when it returns

 private:
  juce::PropertiesFile file_;
};

}  // namespace coil::plugin
