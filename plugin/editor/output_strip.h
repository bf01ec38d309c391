// The controls after the model: level normalisation, mix, output gain, level meter.
#pragma once

#include "plugin/editor/knob.h"
#include "plugin/editor/level_meter.h"
#include "plugin/parameters.h"

namespace coil::plugin {

class OutputStrip final : public juce::Component {
 public:
  OutputStrip(Parameters& parameters, dsp::RackMeters& meters);

  void tick(float seconds) { meter_.tick(seconds); }

 private:
  void paint(juce::Graphics& g) override;
  void resized() override;

  LevelMeter meter_;
  Knob mix_, gain_;
  juce::ToggleButton normalise_{"Normalise"};
  juce::ButtonParameterAttachment normalise_attachment_;
  juce::Rectangle<int> title_area_;
};

}  // namespace coil::plugin
