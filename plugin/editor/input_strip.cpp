// Layout of the input strip.
#include "plugin/editor/input_strip.h"

#include "plugin/editor/strip_layout.h"
#include "plugin/editor/theme.h"
#include "plugin/text.h"

namespace coil::plugin {

InputStrip::InputStrip(Parameters& parameters, dsp::RackMeters& meters)
    : meters_(meters),
      meter_(meters.input_peak, "Input level", theme::kSteel),
      gain_(*parameters.input_gain, "Gain", theme::kSteel),
      gate_(*parameters.gate_threshold, "Gate", theme::kSteel) {
  setTitle("Input");
  setFocusContainerType(FocusContainerType::focusContainer);
  gain_.dial().setTitle("Input gain");
  gain_.set_description("Gain before the model, in dB. Models react to level: this is how hard they are driven");
  gain_.dial().set_origin(0);
  gate_.dial().setTitle("Gate threshold");
  gate_.set_description(
      "Gate: below this level (dBFS, at the model's input) the sound is turned down. The inner arc shows how far it is "
      "open");
  for (const auto& choice : parameters.channels->choices)
    channels_.addItem(capitalised(choice), channels_.getNumItems() + 1);
  channels_attachment_ = std::make_unique<juce::ComboBoxParameterAttachment>(*parameters.channels, channels_);
  channels_.setTitle("Channels");
  channels_.setTooltip(
      "What the model hears. Each: every channel through its own copy of the model. Left, right, sum: that one signal, "
      "heard "
      "on all channels");
  channels_.setJustificationType(juce::Justification::centred);
  channels_.setMouseClickGrabsKeyboardFocus(false);
  for (juce::Component* child : {static_cast<juce::Component*>(&meter_), static_cast<juce::Component*>(&gain_),
                                 static_cast<juce::Component*>(&gate_), static_cast<juce::Component*>(&channels_)})
    addAndMakeVisible(child);
}

void InputStrip::tick(float seconds) {
  constexpr float kClosedDb = -60;
  meter_.tick(seconds);
  const float gain_db = juce::Decibels::gainToDecibels(meters_.gate_gain.load(std::memory_order_relaxed), kClosedDb);
  const bool off = gate_.dial().getValue() <= dsp::kGateOffDb;
  gate_.dial().set_activity(off ? 0 : 1 - gain_db / kClosedDb);
}

void InputStrip::paint(juce::Graphics& g) { paint_strip(g, *this, "In", title_area_); }

void InputStrip::resized() {
  const auto areas = strip_areas(getLocalBounds(), MeterSide::left);
  title_area_ = areas.title;
  meter_.setBounds(areas.meter);
  gain_.setBounds(areas.upper);
  gate_.setBounds(areas.lower);
  channels_.setBounds(areas.foot);
}

}  // namespace coil::plugin
