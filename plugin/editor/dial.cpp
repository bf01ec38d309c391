// Gestures and drawing of a dial.
#include "plugin/editor/dial.h"

#include <algorithm>
#include <cmath>

#include "plugin/editor/theme.h"

namespace coil::plugin {
namespace {

constexpr double kFine = 0.1, kDragPixels = 190, kWheelStep = 0.12, kKeyStep = 0.01, kPageStep = 0.1;
constexpr float kStartAngle = -0.75f * juce::MathConstants<float>::pi, kEndAngle = -kStartAngle;

}  // namespace

Dial::Dial(juce::Colour colour) : juce::Slider(RotaryHorizontalVerticalDrag, NoTextBox), colour_(colour) {
  setRotaryParameters({kStartAngle, kEndAngle, true});
  setWantsKeyboardFocus(true);
  setMouseCursor(juce::MouseCursor::UpDownResizeCursor);
}

void Dial::set_origin(double value) { origin_ = value; }

void Dial::set_activity(float part) {
  constexpr float kVisible = 0.01f;
  if (activity_ && std::abs(*activity_ - part) < kVisible) return;
  activity_ = part;
  repaint();
}

void Dial::paint(juce::Graphics& g) {
  const auto bounds = getLocalBounds().toFloat();
  const auto centre = bounds.getCentre();
  const float radius = std::min(bounds.getWidth(), bounds.getHeight()) / 2 - 2;
  const float stroke = juce::jlimit(2.5f, 5.0f, radius * 0.13f);
  const bool lit = isMouseOverOrDragging() || focus_by_key_;
  const float alpha = isEnabled() ? 1.0f : 0.4f;
  const auto angle = [](float part) { return kStartAngle + (kEndAngle - kStartAngle) * part; };
  const auto arc = [&](float r, float from, float to, float width, juce::Colour colour) {
    juce::Path path;
    path.addCentredArc(centre.x, centre.y, r, r, 0, angle(std::min(from, to)), angle(std::max(from, to)), true);
    g.setColour(colour.withMultipliedAlpha(alpha));
    g.strokePath(path, juce::PathStrokeType(width, juce::PathStrokeType::curved, juce::PathStrokeType::rounded));
  };
  const auto part = static_cast<float>(valueToProportionOfLength(getValue()));
  const auto origin = origin_ ? static_cast<float>(valueToProportionOfLength(*origin_)) : 0.0f;

  const float arc_radius = radius - stroke / 2;
  arc(arc_radius, 0, 1, stroke, theme::kTrack);
  if (std::abs(part - origin) > 1e-3f) arc(arc_radius, origin, part, stroke, colour_);

  const float cap = radius - stroke * 2.1f;
  g.setGradientFill({theme::kHover.brighter(lit ? 0.12f : 0.0f), centre.x, centre.y - cap, theme::kRaised, centre.x,
                     centre.y + cap, false});
  g.fillEllipse(juce::Rectangle<float>(2 * cap, 2 * cap).withCentre(centre));
  const auto tip = centre.getPointOnCircumference(cap * 0.86f, angle(part)),
             tail = centre.getPointOnCircumference(cap * 0.42f, angle(part));
  juce::Path pointer;
  pointer.startNewSubPath(tail);
  pointer.lineTo(tip);
  g.setColour((lit ? theme::kText : theme::kTextSoft.brighter(0.2f)).withMultipliedAlpha(alpha));
  g.strokePath(pointer,
               juce::PathStrokeType(stroke * 0.6f, juce::PathStrokeType::curved, juce::PathStrokeType::rounded));

  if (activity_) {
    const float inner = cap - stroke * 0.4f;
    if (*activity_ > 0.01f) arc(inner, 0, *activity_, stroke * 0.4f, colour_.withAlpha(0.55f));
  }
  if (focus_by_key_) {
    g.setColour(theme::kFocus);
    g.drawEllipse(juce::Rectangle<float>(2 * radius + 3, 2 * radius + 3).withCentre(centre), theme::kFocusWidth);
  }
}

void Dial::focusGained(FocusChangeType cause) {
  focus_by_key_ = cause != focusChangedByMouseClick;
  repaint();
}

void Dial::focusLost(FocusChangeType) {
  focus_by_key_ = false;
  repaint();
}

void Dial::move_by(double proportion) {
  proportion_ = juce::jlimit(0.0, 1.0, proportion_ + proportion);
  setValue(proportionOfLengthToValue(proportion_), juce::sendNotificationSync);
}

void Dial::return_to_default() {
  const ScopedDragNotification gesture(*this);
  setValue(getDoubleClickReturnValue(), juce::sendNotificationSync);
}

void Dial::mouseDown(const juce::MouseEvent& event) {
  if (!isEnabled() || event.mods.isPopupMenu()) return;
  if (event.mods.isAltDown()) return return_to_default();
  last_drag_ = event.position;
  proportion_ = valueToProportionOfLength(getValue());
  drag_.emplace(*this);
}

void Dial::mouseDrag(const juce::MouseEvent& event) {
  if (!drag_) return;
  const auto moved = event.position - last_drag_;
  last_drag_ = event.position;
  move_by((moved.x - moved.y) / kDragPixels * (event.mods.isShiftDown() ? kFine : 1));
}

void Dial::mouseUp(const juce::MouseEvent&) {
  drag_.reset();
  repaint();
}

void Dial::mouseDoubleClick(const juce::MouseEvent&) {
  drag_.reset();
  if (isEnabled()) return_to_default();
}

void Dial::mouseWheelMove(const juce::MouseEvent& event, const juce::MouseWheelDetails& wheel) {
  if (!isEnabled()) return;
  const float delta =
      // shift changes the wheel to horizontal
      std::abs(wheel.deltaY) > std::abs(wheel.deltaX) ? wheel.deltaY : -wheel.deltaX;
  if (delta == 0) return;
  const ScopedDragNotification gesture(*this);
  proportion_ = valueToProportionOfLength(getValue());
  move_by((wheel.isReversed ? -delta : delta) * kWheelStep * (event.mods.isShiftDown() ? kFine : 1));
}

bool Dial::keyPressed(const juce::KeyPress& key) {
  const int code = key.getKeyCode();
  const auto step = [&](double proportion) {
    const ScopedDragNotification gesture(*this);
    proportion_ = valueToProportionOfLength(getValue());
    move_by(proportion * (key.getModifiers().isShiftDown() ? kFine : 1));
    return true;
  };
  if (key.getModifiers().isCommandDown() || key.getModifiers().isAltDown()) return false;
  if (code == juce::KeyPress::upKey || code == juce::KeyPress::rightKey) return step(kKeyStep);
  if (code == juce::KeyPress::downKey || code == juce::KeyPress::leftKey) return step(-kKeyStep);
  if (code == juce::KeyPress::pageUpKey) return step(kPageStep);
  if (code == juce::KeyPress::pageDownKey) return step(-kPageStep);
  if (code == juce::KeyPress::homeKey) return step(-1 / kFine);
  if (code == juce::KeyPress::endKey) return step(1 / kFine);
  if (code == juce::KeyPress::backspaceKey || code == juce::KeyPress::deleteKey) return return_to_default(), true;
  if (code == juce::KeyPress::returnKey && on_type) return on_type(), true;
  return false;
}

}  // namespace coil::plugin
