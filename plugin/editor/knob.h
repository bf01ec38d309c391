// A parameter's knob: name, dial, and value with unit, which can be typed.
#pragma once

#include <juce_audio_processors/juce_audio_processors.h>

#include "plugin/editor/dial.h"

namespace coil::plugin {

class Knob final : public juce::Component, public juce::SettableTooltipClient {
 public:
  Knob(juce::RangedAudioParameter& parameter, const juce::String& name, juce::Colour colour);
  ~Knob() override;

  void set_name(const juce::String& name);
  // A text for tooltip and screen reader, besides the name.
  void set_description(const juce::String& description);
  // Updates the value's text after the meaning of the parameter changed.
  void refresh_text();

  Dial& dial() { return dial_; }

 private:
  void paint(juce::Graphics& g) override;
  void resized() override;
  juce::String value_text() const;

  juce::RangedAudioParameter& parameter_;
  juce::String name_;
  Dial dial_;
  juce::Label value_;
  juce::Rectangle<int> name_area_;
  juce::SliderParameterAttachment attachment_;
};

}  // namespace coil::plugin
