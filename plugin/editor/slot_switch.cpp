// Drawing and texts of the switch.
#include "plugin/editor/slot_switch.h"

#include "plugin/editor/theme.h"

namespace coil::plugin {

SlotSwitch::Side::Side(const juce::String& letter) : juce::Button(letter) {
  setTitle("Slot " + letter);
  setRadioGroupId(1);
  setMouseClickGrabsKeyboardFocus(false);
}

void SlotSwitch::Side::paintButton(juce::Graphics& g, bool over, bool) {
  const auto area = getLocalBounds().toFloat();
  if (getToggleState()) {
    g.setColour(theme::kCopper);
    g.fillRoundedRectangle(area.reduced(2), theme::kCorner - 2);
  }
  g.setFont(theme::font(theme::kTextNormal, theme::Weight::strong));
  g.setColour(getToggleState() ? theme::kBackground : over ? theme::kText : theme::kTextSoft);
  g.drawText(getName(), getLocalBounds(), juce::Justification::centred);
  if (hasKeyboardFocus(true)) theme::draw_focus(g, area);
}

SlotSwitch::SlotSwitch() {
  setTitle("Slots");
  setFocusContainerType(FocusContainerType::focusContainer);
  for (size_t i = 0; i < sides_.size(); ++i) {
    sides_[i].onClick = [this, i] {
      if (on_switch) on_switch(static_cast<int>(i));
    };
    addAndMakeVisible(sides_[i]);
  }
}

void SlotSwitch::show(int active_slot, const std::array<juce::String, 2>& names) {
  for (size_t i = 0; i < sides_.size(); ++i) {
    sides_[i].setToggleState(static_cast<int>(i) == active_slot, juce::dontSendNotification);
    const auto name = names[i].isEmpty() ? juce::String("empty") : names[i];
    sides_[i].setTooltip("Slot " + sides_[i].getName() + ": " + name + " (Ctrl+" + juce::String(i + 1) + ")");
  }
}

void SlotSwitch::paint(juce::Graphics& g) {
  g.setColour(theme::kRaised);
  g.fillRoundedRectangle(getLocalBounds().toFloat(), theme::kCorner);
}

void SlotSwitch::resized() {
  auto area = getLocalBounds();
  sides_[0].setBounds(area.removeFromLeft(area.getWidth() / 2));
  sides_[1].setBounds(area);
}

}  // namespace coil::plugin
