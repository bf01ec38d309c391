// Sizes and rows of knobs.
#include "plugin/editor/knob_grid.h"

#include <algorithm>

#include "plugin/editor/theme.h"

namespace coil::plugin {
namespace {

constexpr int kMaxKnobWidth = 104, kMaxKnobHeight = 132, kMinKnobWidth = 53, kMinKnobHeight = 69, kMaxInRow = 8;

int rows(int knobs, int width) {
  const int in_row = std::clamp((width - 2 * theme::kPad) / kMinKnobWidth, 1, kMaxInRow);
  return (knobs + in_row - 1) / in_row;
}

}  // namespace

juce::Range<int> knob_grid_height(int knobs, int width) {
  const int shown = std::max(1, rows(knobs, width));
  return {shown * kMinKnobHeight + 2 * theme::kGap, shown * kMaxKnobHeight + 2 * theme::kGap};
}

std::vector<juce::Rectangle<int>> knob_grid(int knobs, juce::Rectangle<int> panel) {
  std::vector<juce::Rectangle<int>> areas;
  if (knobs == 0) return areas;
  const auto area = panel.reduced(theme::kPad, theme::kGap);
  const int shown = rows(knobs, panel.getWidth()), columns = (knobs + shown - 1) / shown;
  const int width = std::min(kMaxKnobWidth, area.getWidth() / columns),
            height = std::min(kMaxKnobHeight, area.getHeight() / shown);
  const int top = area.getY() + (area.getHeight() - shown * height) / 2;
  for (int i = 0; i < knobs; ++i) {
    const int row = i / columns, in_row = std::min(columns, knobs - row * columns);
    const int left = area.getX() + (area.getWidth() - in_row * width) / 2;
    areas.emplace_back(left + (i % columns) * width, top + row * height, width, height);
  }
  return areas;
}

}  // namespace coil::plugin
