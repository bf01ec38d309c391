// The embedded typeface, and the strokes that all components share.
#include "plugin/editor/theme.h"

#include <algorithm>

#include "coil_fonts.h"

namespace coil::plugin::theme {

juce::Font font(float height, Weight weight) {
  static const auto regular =
      juce::Typeface::createSystemTypefaceFor(coil_fonts::InterRegular_otf, coil_fonts::InterRegular_otfSize);
  static const auto strong =
      juce::Typeface::createSystemTypefaceFor(coil_fonts::InterSemiBold_otf, coil_fonts::InterSemiBold_otfSize);
  // JUCE's font height includes ascent and descent; sizes here are in em, as designers use them.
  constexpr float kHeightOfEm = 1.21f;
  return juce::Font(weight == Weight::strong ? strong : regular).withHeight(height * kHeightOfEm);
}

juce::Colour heat(float part) {
  static constexpr juce::uint32 kStops[] = {0xff3f9fe0, 0xff8a78ee, 0xffe56d8c, 0xfff0974f, 0xffffd784};
  constexpr int kLast = static_cast<int>(std::size(kStops)) - 1;
  const float place = juce::jlimit(0.0f, 1.0f, part) * kLast;
  const int low = std::min(static_cast<int>(place), kLast - 1);
  return juce::Colour(kStops[low]).interpolatedWith(juce::Colour(kStops[low + 1]), place - static_cast<float>(low));
}

void fill_panel(juce::Graphics& g, juce::Rectangle<float> area) {
  g.setColour(kPanel);
  g.fillRoundedRectangle(area, kPanelCorner);
}

void make_primary(juce::TextButton& button) {
  button.setColour(juce::TextButton::buttonColourId, kCopper);
  button.setColour(juce::TextButton::textColourOffId, kBackground);
}

void draw_focus(juce::Graphics& g, juce::Rectangle<float> area, float corner) {
  g.setColour(kFocus);
  g.drawRoundedRectangle(area.reduced(kFocusWidth / 2), corner, kFocusWidth);
}

}  // namespace coil::plugin::theme
