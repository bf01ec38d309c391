// Texts of knobs.
#include "plugin/editor/knob_words.h"

namespace coil::plugin {
namespace {

juce::String text(const std::string& utf8) { return juce::String::fromUTF8(utf8.c_str()); }

juce::String capitalised(const juce::String& words) { return words.substring(0, 1).toUpperCase() + words.substring(1); }

}  // namespace

juce::String knob_name(const std::string& name) { return capitalised(text(name).replaceCharacter('_', ' ')); }

juce::String knob_description(const std::string& what, double min, double max, double usual, const std::string& unit) {
  const juce::String after = unit.empty() ? juce::String() : " " + text(unit);
  juce::String words = capitalised(text(what).trim());
  if (words.isNotEmpty()) words << (words.endsWithChar('.') ? " " : ". ");
  return words + juce::String(min) + " to " + juce::String(max) + after + ", usually " + juce::String(usual) + after;
}

}  // namespace coil::plugin
