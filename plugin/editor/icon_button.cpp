// Drawing of a pictogram button in its states.
#include "plugin/editor/icon_button.h"

#include "plugin/editor/theme.h"

namespace coil::plugin {

IconButton::IconButton(Icon icon, const juce::String& title, const juce::String& tooltip)
    : juce::Button(title), icon_(icon), on_colour_(theme::kCopper) {
  setTitle(title);
  setTooltip(tooltip);
  setMouseClickGrabsKeyboardFocus(false);
}

void IconButton::mouseDown(const juce::MouseEvent& event) {
  if (!event.mods.isPopupMenu()) juce::Button::mouseDown(event);
}

void IconButton::mouseUp(const juce::MouseEvent& event) {
  if (!event.mods.isPopupMenu()) juce::Button::mouseUp(event);
}

void IconButton::paintButton(juce::Graphics& g, bool over, bool down) {
  constexpr float kInset = 0.23f, kDisabledAlpha = 0.35f;
  const auto area = getLocalBounds().toFloat();
  if (over || down) {
    g.setColour(down ? theme::kRaised : theme::kHover);
    g.fillRoundedRectangle(area, theme::kCorner);
  }
  auto colour = getToggleState() ? on_colour_ : over ? theme::kText : theme::kTextSoft;
  if (!isEnabled()) colour = theme::kTextSoft.withMultipliedAlpha(kDisabledAlpha);
  draw_icon(g, icon_, area.reduced(area.getHeight() * kInset), colour);
  if (hasKeyboardFocus(true)) theme::draw_focus(g, area);
}

}  // namespace coil::plugin
