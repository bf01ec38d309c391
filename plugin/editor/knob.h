// A knob: name, dial, and value with unit, which can be typed; of a parameter, or of anything else.
#pragma once

#include <juce_audio_processors/juce_audio_processors.h>

#include "plugin/editor/dial.h"

namespace coil::plugin {

// The dial's own functions turn values into texts and back.
class KnobFrame : public juce::Component, public juce::SettableTooltipClient {
 public:
  KnobFrame(const juce::String& name, juce::Colour colour);
  ~KnobFrame() override;

  void set_name(const juce::String& name);
  // A text for tooltip and screen reader, besides the name.
  void set_description(const juce::String& description);
  // Updates the value's text after the meaning of the value changed.
  void refresh_text() { value_.setText(value_text(), juce::dontSendNotification); }

  Dial& dial() { return dial_; }
  const Dial& dial() const { return dial_; }

 private:
  virtual juce::String value_text() const = 0;  // with its unit

  void paint(juce::Graphics& g) override;
  void resized() override;

  juce::String name_;
  Dial dial_;
  juce::Label value_;
  juce::Rectangle<int> name_area_;
};

// A parameter's knob.
class Knob final : public KnobFrame {
 public:
  Knob(juce::RangedAudioParameter& parameter, const juce::String& name, juce::Colour colour);
  ~Knob() override;

 private:
  juce::String value_text() const override;

  juce::RangedAudioParameter& parameter_;
  juce::SliderParameterAttachment attachment_;
};

}  // namespace coil::plugin
