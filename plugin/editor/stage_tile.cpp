// Drawing, gestures and words of a tile.
#include "plugin/editor/stage_tile.h"

#include <algorithm>

#include "plugin/editor/midi_target.h"
#include "plugin/editor/theme.h"

namespace coil::plugin {
namespace {

constexpr int kInset = 4, kPower = 20, kMixHeight = 14, kDragFrom = 5;

}  // namespace

MixBar::MixBar() : juce::Slider(LinearHorizontal, NoTextBox) {
  setSliderSnapsToMousePosition(false);
  setWantsKeyboardFocus(false);  // up and down on the tile move it
  setScrollWheelEnabled(true);
  setMouseCursor(juce::MouseCursor::LeftRightResizeCursor);
}

void MixBar::paint(juce::Graphics& g) {
  constexpr float kTrackHeight = 3;
  constexpr int kTextWidth = 34;
  auto area = getLocalBounds();
  const auto text = area.removeFromRight(kTextWidth);
  const auto track = area.toFloat().withSizeKeepingCentre(static_cast<float>(area.getWidth()), kTrackHeight);
  g.setColour(theme::kTrack);
  g.fillRoundedRectangle(track, kTrackHeight / 2);
  g.setColour(isMouseOverOrDragging() ? theme::kText : theme::kSteel);
  const auto part = static_cast<float>(valueToProportionOfLength(getValue()));
  g.fillRoundedRectangle(track.withWidth(track.getWidth() * part), kTrackHeight / 2);
  g.setFont(theme::font(theme::kTextSmall - 1));
  g.setColour(theme::kTextSoft);
  g.drawText(juce::String(juce::roundToInt(getValue())) + " %", text, juce::Justification::centredRight, false);
}

StageTile::StageTile(int number, const TileParameters& parameters, const Actions& actions)
    : number_(number),
      parameters_(parameters),
      actions_(actions),
      power_button_(Icon::power, "Power", "Power (Space on the tile): lit while the stage is heard"),
      last_on_(parameters.usual),
      power_(*parameters.power, [this](float value) { follow_power(value); }) {
  setWantsKeyboardFocus(true);
  power_button_.setWantsKeyboardFocus(false);
  power_button_.onClick = [this] { power_.setValueAsCompleteGesture(is_on() ? parameters_.off : last_on_); };
  set_midi_target(power_button_, *parameters.power);
  addAndMakeVisible(power_button_);
  if (parameters.mix) {
    mix_attachment_ = std::make_unique<juce::SliderParameterAttachment>(*parameters.mix, mix_);
    mix_.setDoubleClickReturnValue(true, 100);
    mix_.onValueChange = [this] { say_state(); };
    set_midi_target(mix_, *parameters.mix);
    addAndMakeVisible(mix_);
  }
  power_.sendInitialUpdate();
}

void StageTile::follow_power(float value) {
  const bool on = value != parameters_.off;
  if (on) last_on_ = value;
  power_button_.setToggleState(on, juce::dontSendNotification);
  say_state();
  repaint();
}

void StageTile::show(const juce::String& name, const juce::String& kind, juce::Colour colour,
                     const juce::String& problem, const juce::String& position, bool can_be_removed) {
  name_ = name;
  kind_ = kind;
  problem_ = problem;
  position_ = position;
  colour_ = colour;
  power_button_.setTitle("Power of " + name);
  mix_.setTitle("Mix of " + name);
  mix_.setTooltip("Mix of " + name + " with the sound before it (Up and Down on the tile)");
  setTooltip((problem.isEmpty() ? name + ", " + kind : problem) +
             "\nClick opens it, drag or Ctrl+Left and Ctrl+Right move it, Space switches it" +
             (can_be_removed ? ", Delete removes it" : ""));
  power_button_.set_colour_when_on(colour);
  say_state();
  repaint();
}

void StageTile::say_state() {
  juce::String words = name_ + ", " + kind_ + ", " + position_ + (is_on() ? ", on" : ", off");
  if (mix_attachment_) words << ", mix " << juce::roundToInt(mix_.getValue()) << " %";
  if (problem_.isNotEmpty()) words << ", does not play: " << problem_;
  if (words == getTitle()) return;
  setTitle(words);
  if (auto* handler = getAccessibilityHandler())
    handler->notifyAccessibilityEvent(juce::AccessibilityEvent::titleChanged);
}

void StageTile::set_open(bool open) {
  if (std::exchange(open_, open) != open) repaint();
}

void StageTile::move_mix(double percent) {
  if (!mix_attachment_) return;
  const juce::Slider::ScopedDragNotification gesture(mix_);
  mix_.setValue(mix_.getValue() + percent, juce::sendNotificationSync);
}

std::unique_ptr<juce::AccessibilityHandler> StageTile::createAccessibilityHandler() {
  using Action = juce::AccessibilityActionType;
  return std::make_unique<juce::AccessibilityHandler>(
      *this, juce::AccessibilityRole::button,
      juce::AccessibilityActions()
          .addAction(Action::press, [this] { actions_.open(number_); })
          .addAction(Action::toggle, [this] { turn_power(); })
          .addAction(Action::showMenu, [this] { actions_.menu(number_); }));
}

void StageTile::paint(juce::Graphics& g) {
  const auto area = getLocalBounds().toFloat();
  const bool over = isMouseOver(true);
  g.setColour(open_ || over ? theme::kHover : theme::kRaised);
  g.fillRoundedRectangle(area, theme::kCorner);
  if (open_) {
    g.setColour(colour_);
    g.drawRoundedRectangle(area.reduced(0.75f), theme::kCorner, theme::kFocusWidth);
  }
  auto text = getLocalBounds().reduced(kInset).withTrimmedLeft(kPower + kInset - 2);
  const float alpha = is_on() && !dragging_ ? 1.0f : 0.5f;
  if (mix_attachment_) text.removeFromBottom(kMixHeight);
  const bool two_lines = text.getHeight() >= 26 && name_ != kind_;
  const auto kind = two_lines ? text.removeFromBottom(text.getHeight() / 2) : juce::Rectangle<int>();
  g.setFont(theme::font(theme::kTextSmall + 0.5f, theme::Weight::strong));
  g.setColour((problem_.isEmpty() ? theme::kText : theme::kWarning).withMultipliedAlpha(alpha));
  g.drawText(name_, text, juce::Justification::centredLeft);
  if (two_lines) {
    g.setFont(theme::font(theme::kTextSmall - 0.5f));
    g.setColour(theme::kTextFaint.withMultipliedAlpha(alpha));
    g.drawText(kind_, kind, juce::Justification::centredLeft);
  }
  if (focus_by_key_) theme::draw_focus(g, area);
}

void StageTile::resized() {
  auto area = getLocalBounds().reduced(kInset);
  if (mix_attachment_) mix_.setBounds(area.removeFromBottom(kMixHeight).reduced(2, 0));
  power_button_.setBounds(area.removeFromLeft(kPower).withSizeKeepingCentre(kPower, kPower));
}

void StageTile::mouseDown(const juce::MouseEvent& event) {
  actions_.select(number_);
  if (event.mods.isPopupMenu()) actions_.menu(number_);
}

void StageTile::mouseDrag(const juce::MouseEvent& event) {
  if (event.mods.isPopupMenu()) return;
  if (!dragging_ && std::abs(event.getDistanceFromDragStartX()) < kDragFrom) return;
  dragging_ = true;
  actions_.drag(number_, event.getEventRelativeTo(getParentComponent()).getPosition());
  repaint();
}

void StageTile::mouseUp(const juce::MouseEvent& event) {
  if (event.mods.isPopupMenu()) return;
  repaint();
  if (std::exchange(dragging_, false))
    actions_.drop(number_, event.getEventRelativeTo(getParentComponent()).getPosition());
  else if (event.mouseWasClicked() || contains(event.getPosition()))
    actions_.open(number_);
}

void StageTile::focusGained(FocusChangeType cause) {
  focus_by_key_ = cause != focusChangedByMouseClick;
  actions_.select(number_);
  repaint();
}

void StageTile::focusLost(FocusChangeType) {
  focus_by_key_ = false;
  repaint();
}

}  // namespace coil::plugin
