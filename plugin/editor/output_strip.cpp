// Layout of the output strip.
#include "plugin/editor/output_strip.h"

#include "plugin/editor/midi_target.h"
#include "plugin/editor/strip_layout.h"
#include "plugin/editor/theme.h"

namespace coil::plugin {

OutputStrip::OutputStrip(Parameters& parameters, dsp::RackMeters& meters)
    : meter_(meters.output_peak, "Output level", theme::kCopper),
      mix_(*parameters.mix, "Mix", theme::kCopper),
      gain_(*parameters.output_gain, "Gain", theme::kCopper),
      normalise_attachment_(*parameters.normalise, normalise_) {
  setTitle("Output");
  setFocusContainerType(FocusContainerType::focusContainer);
  mix_.set_description("How much of the model's sound, in percent; 0 % is the sound before it, in time with it");
  gain_.dial().setTitle("Output gain");
  gain_.set_description("Gain behind the model, in dB");
  gain_.dial().set_origin(0);
  normalise_.setTooltip("Plays every model equally loud, so that changing models does not change the level");
  set_midi_target(normalise_, *parameters.normalise);
  normalise_.setTitle("Normalise level");
  normalise_.setMouseClickGrabsKeyboardFocus(false);
  for (juce::Component* child : {static_cast<juce::Component*>(&meter_), static_cast<juce::Component*>(&mix_),
                                 static_cast<juce::Component*>(&gain_), static_cast<juce::Component*>(&normalise_)})
    addAndMakeVisible(child);
}

void OutputStrip::paint(juce::Graphics& g) { paint_strip(g, *this, "Out", title_area_); }

void OutputStrip::resized() {
  const auto areas = strip_areas(getLocalBounds(), MeterSide::right);
  title_area_ = areas.title;
  meter_.setBounds(areas.meter);
  mix_.setBounds(areas.upper);
  gain_.setBounds(areas.lower);
  normalise_.setBounds(areas.foot);
}

}  // namespace coil::plugin
