// Measures of a strip.
#include "plugin/editor/strip_layout.h"

#include <algorithm>

#include "plugin/editor/theme.h"

namespace coil::plugin {

StripAreas strip_areas(juce::Rectangle<int> strip, MeterSide side) {
  constexpr int kMeterWidth = 10, kTitleHeight = 18, kFootHeight = 32, kMaxKnobHeight = 128;
  StripAreas areas;
  auto area = strip.reduced(theme::kGap);
  areas.title = area.removeFromTop(kTitleHeight);
  area.removeFromTop(theme::kGap / 2);
  areas.meter = side == MeterSide::left ? area.removeFromLeft(kMeterWidth) : area.removeFromRight(kMeterWidth);
  if (side == MeterSide::left)
    area.removeFromLeft(theme::kGap / 2);
  else
    area.removeFromRight(theme::kGap / 2);
  areas.foot = area.removeFromBottom(kFootHeight);
  area.removeFromBottom(theme::kGap);
  area = area.withSizeKeepingCentre(area.getWidth(), std::min(area.getHeight(), 2 * kMaxKnobHeight));
  areas.upper = area.removeFromTop(area.getHeight() / 2);
  areas.lower = area;
  return areas;
}

void paint_strip(juce::Graphics& g, const juce::Component& strip, const juce::String& title,
                 juce::Rectangle<int> title_area) {
  theme::fill_panel(g, strip.getLocalBounds().toFloat());
  g.setFont(theme::font(theme::kTextSmall, theme::Weight::strong));
  g.setColour(theme::kTextSoft);
  g.drawText(title, title_area, juce::Justification::centred);
}

}  // namespace coil::plugin
