// Drawing, texts and keys of the snapshots' switch.
#include "plugin/editor/snapshot_switch.h"

#include "plugin/editor/midi_target.h"
#include "plugin/editor/theme.h"
#include "plugin/processor.h"

namespace coil::plugin {

SnapshotSwitch::Letter::Letter(int number) : juce::Button(snapshot_letter(number)), number_(number) {
  setMouseClickGrabsKeyboardFocus(false);
  set_midi_target(*this, "snapshot_" + getName().toLowerCase());
  show(false, false, false);
}

void SnapshotSwitch::Letter::show(bool filled, bool recalled, bool edited) {
  filled_ = filled;
  edited_ = recalled && edited;
  setToggleState(recalled, juce::dontSendNotification);
  const juce::String state = !filled    ? "empty: a click stores the sound here"
                             : edited_  ? "changed since: a click takes the changes back"
                             : recalled ? "is heard"
                                        : "a click recalls it";
  setTitle("Snapshot " + getName() + (filled ? edited_ ? ", changed" : "" : ", empty"));
  setTooltip("Snapshot " + getName() + ", " + state + " (Alt+" + juce::String(number_) +
             "; M or a right click opens its menu)");
  repaint();
}

void SnapshotSwitch::Letter::paintButton(juce::Graphics& g, bool over, bool) {
  const auto area = getLocalBounds().toFloat();
  const bool on = getToggleState();
  if (on) {
    g.setColour(theme::kSteel);
    g.fillRoundedRectangle(area.reduced(2), theme::kCorner - 2);
  }
  g.setFont(theme::font(theme::kTextNormal, filled_ ? theme::Weight::strong : theme::Weight::regular));
  g.setColour(on ? theme::kBackground : over ? theme::kText : filled_ ? theme::kTextSoft : theme::kTextFaint.darker());
  g.drawText(getName(), getLocalBounds(), juce::Justification::centred);
  if (edited_) {
    constexpr float kDot = 4;
    g.setColour(theme::kBackground);
    g.fillEllipse(area.getRight() - 2 * kDot, area.getY() + kDot, kDot, kDot);
  }
  if (hasKeyboardFocus(true)) theme::draw_focus(g, area);
}

void SnapshotSwitch::Letter::mouseDown(const juce::MouseEvent& event) {
  if (!event.mods.isPopupMenu()) juce::Button::mouseDown(event);
}

void SnapshotSwitch::Letter::mouseUp(const juce::MouseEvent& event) {
  if (!event.mods.isPopupMenu()) juce::Button::mouseUp(event);
}

SnapshotSwitch::SnapshotSwitch() {
  setTitle("Snapshots");
  setFocusContainerType(FocusContainerType::focusContainer);
  for (int i = 0; i < kSnapshots; ++i) {
    auto& letter = letters_[static_cast<size_t>(i)];
    letter = std::make_unique<Letter>(i + 1);
    letter->onClick = [this, i] { on_press(i + 1); };
    addAndMakeVisible(*letter);
  }
}

void SnapshotSwitch::show(const SnapshotStatus& status) {
  for (size_t i = 0; i < letters_.size(); ++i)
    letters_[i]->show(status.filled[i], status.recalled == static_cast<int>(i) + 1, status.edited);
}

void SnapshotSwitch::paint(juce::Graphics& g) {
  g.setColour(theme::kRaised);
  g.fillRoundedRectangle(getLocalBounds().toFloat(), theme::kCorner);
}

void SnapshotSwitch::resized() {
  auto area = getLocalBounds();
  const int width = area.getWidth() / kSnapshots;
  for (auto& letter : letters_) letter->setBounds(area.removeFromLeft(width));
}

}  // namespace coil::plugin
