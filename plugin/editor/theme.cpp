// The embedded typeface and the strokes that all components share.
#include "plugin/editor/theme.h"

#include "coil_fonts.h"

namespace coil::plugin::theme {

juce::Font font(float height, Weight weight) {
  static const auto regular = juce::Typeface::createSystemTypefaceFor(coil_fonts::InterRegular_otf, coil_fonts::InterRegular_otfSize);
  static const auto strong = juce::Typeface::createSystemTypefaceFor(coil_fonts::InterSemiBold_otf, coil_fonts::InterSemiBold_otfSize);
  // A font's height in JUCE counts ascent and descent; sizes here are those of the em, as designers say them.
  constexpr float kHeightOfEm = 1.21f;
  return juce::Font(weight == Weight::strong ? strong : regular).withHeight(height * kHeightOfEm);
}

void fill_panel(juce::Graphics& g, juce::Rectangle<float> area) {
  g.setColour(kPanel);
  g.fillRoundedRectangle(area, kPanelCorner);
}

void draw_focus(juce::Graphics& g, juce::Rectangle<float> area, float corner) {
  g.setColour(kFocus);
  g.drawRoundedRectangle(area.reduced(kFocusWidth / 2), corner, kFocusWidth);
}

}  // namespace coil::plugin::theme
