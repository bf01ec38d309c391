// Drawing of the drop state.
#include "plugin/editor/drop_overlay.h"

#include "plugin/editor/icons.h"
#include "plugin/editor/theme.h"

namespace coil::plugin {

DropOverlay::DropOverlay() {
  setInterceptsMouseClicks(false, false);
  setAlwaysOnTop(true);
}

void DropOverlay::show(const juce::String& file_name, const juce::String& verb, bool welcome, int left_out) {
  welcome_ = welcome;
  text_ = welcome ? "Drop to " + verb + " " + file_name
                  : file_name +
                        " is neither a model (.safetensors), a preset (.coil), a capture (.nam, .aidax, .json) nor an "
                        "impulse response (.wav, .aiff, .flac)";
  if (left_out > 0)
    text_ << "\nA slot takes one file: " << left_out << (left_out == 1 ? " other is" : " others are") << " left out";
  setTitle(text_);
  setVisible(true);
  repaint();
}

void DropOverlay::paint(juce::Graphics& g) {
  constexpr float kCover = 0.94f, kBorder = 2, kCoil = 54;
  const auto colour = welcome_ ? theme::kCopper : theme::kError;
  const auto area = getLocalBounds().toFloat();
  g.fillAll(theme::kBackground.withAlpha(kCover));
  g.setColour(colour);
  g.drawRoundedRectangle(area.reduced(theme::kGap), theme::kPanelCorner, kBorder);
  const auto centre = area.getCentre().translated(0, -theme::kPad * 2);
  if (welcome_)
    g.strokePath(coil_path(centre, kCoil / 2, 3, 0.12f),
                 juce::PathStrokeType(kBorder, juce::PathStrokeType::curved, juce::PathStrokeType::rounded));
  else
    draw_icon(g, Icon::close, juce::Rectangle<float>(kCoil, kCoil).withCentre(centre), colour);
  g.setFont(theme::font(theme::kTextLarge, theme::Weight::strong));
  g.setColour(theme::kText);
  const auto below = getLocalBounds().withTop(juce::roundToInt(centre.y + kCoil)).reduced(2 * theme::kPad, 0);
  g.drawFittedText(text_, below, juce::Justification::centredTop, 4);
}

}  // namespace coil::plugin
