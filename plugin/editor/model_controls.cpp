// Layout of the grid, and the tooltips of controls.
#include "plugin/editor/model_controls.h"

#include <algorithm>

#include "plugin/editor/icons.h"
#include "plugin/editor/theme.h"

namespace coil::plugin {
namespace {

constexpr int kMaxKnobWidth = 104, kMaxKnobHeight = 132, kMinKnobWidth = 53, kMinKnobHeight = 69, kMaxInRow = 8;

juce::String text(const std::string& utf8) { return juce::String::fromUTF8(utf8.c_str()); }

juce::String capitalised(const juce::String& name) {
  return name.substring(0, 1).toUpperCase() + name.substring(1).replaceCharacter('_', ' ');
}

juce::String description(const ssm::Control& control) {
  const auto number = [](double value) { return juce::String(value); };
  const juce::String unit = control.unit.empty() ? juce::String() : " " + text(control.unit);
  juce::String what = text(control.description).trim();
  if (what.isNotEmpty()) what = capitalised(what) + (what.endsWithChar('.') ? " " : ". ");
  return what + number(control.min) + " to " + number(control.max) + unit + ", usually " +
         number(control.default_value) + unit;
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
      meanings.add(text(control->name) + "\n" + description(*control));
    }
  if (meanings != meanings_) {
    meanings_ = meanings;
    knobs_.clear();
    for (auto* parameter : parameters_.controls)
      if (const auto control = parameter->meaning()) {
        auto knob = std::make_unique<Knob>(*parameter, capitalised(text(control->name)), theme::kCopper);
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

int ModelControls::rows(int width) const {
  const int count = static_cast<int>(knobs_.size());
  const int in_row = std::clamp((width - 2 * theme::kPad) / kMinKnobWidth, 1, kMaxInRow);
  return (count + in_row - 1) / in_row;
}

juce::Range<int> ModelControls::useful_height(int width) const {
  const int shown = std::max(1, rows(width));
  return {shown * kMinKnobHeight + 2 * theme::kGap, shown * kMaxKnobHeight + 2 * theme::kGap};
}

void ModelControls::resized() {
  if (knobs_.empty()) return;
  const auto area = getLocalBounds().reduced(theme::kPad, theme::kGap);
  // Distributes the knobs evenly over the rows, centred in the panel.
  const int count = static_cast<int>(knobs_.size()), shown = rows(getWidth()), columns = (count + shown - 1) / shown;
  const int width = std::min(kMaxKnobWidth, area.getWidth() / columns),
            height = std::min(kMaxKnobHeight, area.getHeight() / shown);
  const int top = area.getY() + (area.getHeight() - shown * height) / 2;
  for (int i = 0; i < count; ++i) {
    const int row = i / columns, in_row = std::min(columns, count - row * columns);
    const int left = area.getX() + (area.getWidth() - in_row * width) / 2;
    knobs_[static_cast<size_t>(i)]->setBounds(left + (i % columns) * width, top + row * height, width, height);
  }
}

}  // namespace coil::plugin
