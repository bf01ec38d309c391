// The knobs and the tooltips of controls.
#include "plugin/editor/model_controls.h"

#include "plugin/editor/knob_grid.h"
#include "plugin/editor/knob_words.h"
#include "plugin/editor/theme.h"

namespace coil::plugin {
namespace {

juce::String description(const ssm::Control& control) {
  return knob_description(control.description, control.min, control.max, control.default_value, control.unit);
}

}  // namespace

ModelControls::ModelControls(Parameters& parameters) : parameters_(parameters) {
  setTitle("Model controls");
  setFocusContainerType(FocusContainerType::focusContainer);
  update();
}

void ModelControls::update() {
  juce::StringArray meanings;
  for (const auto* parameter : parameters_.controls)
    if (const auto control = parameter->meaning()) {
      meanings.add(knob_name(control->name) + "\n" + description(*control));
    }
  if (meanings != meanings_) {
    meanings_ = meanings;
    knobs_.clear();
    for (auto* parameter : parameters_.controls)
      if (const auto control = parameter->meaning()) {
        auto knob = std::make_unique<Knob>(*parameter, knob_name(control->name), theme::kCopper);
        knob->set_description(description(*control));
        if (control->min < 0 && control->max > 0) knob->dial().set_origin(control->normalised(0));
        addAndMakeVisible(*knob);
        knobs_.push_back(std::move(knob));
      }
    resized();
    repaint();
  }
  for (auto& knob : knobs_) knob->refresh_text();
}

void ModelControls::paint(juce::Graphics& g) {
  theme::fill_panel(g, getLocalBounds().toFloat());
  if (!knobs_.empty()) return;
  g.setFont(theme::font(theme::kTextNormal));
  g.setColour(theme::kTextFaint);
  g.drawFittedText("This model has no controls: it sounds as it was trained.", getLocalBounds().reduced(theme::kPad),
                   juce::Justification::centred, 2);
}

juce::Range<int> ModelControls::useful_height(int width) const {
  return knob_grid_height(static_cast<int>(knobs_.size()), width);
}

void ModelControls::resized() {
  const auto areas = knob_grid(static_cast<int>(knobs_.size()), getLocalBounds());
  for (size_t i = 0; i < areas.size(); ++i) knobs_[i]->setBounds(areas[i]);
}

}  // namespace coil::plugin
