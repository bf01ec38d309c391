// The controls before the model: level meter, input gain, gate, channels.
#pragma once

#include "plugin/editor/knob.h"
#include "plugin/editor/level_meter.h"
#include "plugin/parameters.h"

namespace coil::plugin {

class InputStrip final : public juce::Component {
 public:
  InputStrip(Parameters& parameters, dsp::RackMeters& meters);

  void tick(float seconds);

 private:
  void paint(juce::Graphics& g) override;
  void resized() override;

  dsp::RackMeters& meters_;
  LevelMeter meter_;
  Knob gain_, gate_;
  juce::ComboBox channels_;
  std::unique_ptr<juce::ComboBoxParameterAttachment> channels_attachment_;
  juce::Rectangle<int> title_area_;
};

}  // namespace coil::plugin
