// Texts of knobs.
#include "plugin/editor/knob_words.h"

#include "plugin/text.h"

namespace coil::plugin {

juce::String knob_name(const std::string& name) { return capitalised(from_utf8(name).replaceCharacter('_', ' ')); }

juce::String knob_description(const std::string& what, double min, double max, double usual, const std::string& unit) {
  const juce::String after = unit.empty() ? juce::String() : " " + from_utf8(unit);
  juce::String words = capitalised(from_utf8(what).trim());
  if (words.isNotEmpty()) words << (words.endsWithChar('.') ? " " : ". ");
  return words + juce::String(min) + " to " + juce::String(max) + after + ", usually " + juce::String(usual) + after;
}

}  // namespace coil::plugin
