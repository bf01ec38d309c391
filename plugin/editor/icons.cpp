// The strokes of each pictogram.
#include "plugin/editor/icons.h"

#include <algorithm>
#include <cmath>

namespace coil::plugin {
namespace {

constexpr float kGrid = 24, kStroke = 1.8f, kPi = juce::MathConstants<float>::pi;

// A polyline through points of the grid.
void line(juce::Path& path, std::initializer_list<juce::Point<float>> points) {
  bool first = true;
  for (const auto p : points) {
    if (first)
      path.startNewSubPath(p);
    else
      path.lineTo(p);
    first = false;
  }
}

void undo_arrow(juce::Path& path) {
  line(path, {{9, 5}, {4.5f, 9.5f}, {9, 14}});
  path.startNewSubPath(4.5f, 9.5f);
  path.lineTo(14, 9.5f);
  path.addArc(9, 9.5f, 10, 10, 0, kPi, false);
  path.lineTo(10, 19.5f);
}

void tuning_fork(juce::Path& path) {
  line(path, {{8, 3.5f}, {8, 10.5f}});
  line(path, {{16, 3.5f}, {16, 10.5f}});
  path.startNewSubPath(8, 10.5f);
  path.quadraticTo(8, 14.5f, 12, 14.5f);
  path.quadraticTo(16, 14.5f, 16, 10.5f);
  line(path, {{12, 14.5f}, {12, 20.5f}});
}

void arrow_onto_tray(juce::Path& path) {
  line(path, {{12, 3.5f}, {12, 15}});
  line(path, {{7, 10.5f}, {12, 15.5f}, {17, 10.5f}});
  line(path, {{4, 16}, {4, 20}, {20, 20}, {20, 16}});
}

void loudspeaker_with_waves(juce::Path& path) {
  line(path, {{4, 9.5f}, {8, 9.5f}, {12, 5.5f}, {12, 18.5f}, {8, 14.5f}, {4, 14.5f}});
  path.closeSubPath();
  path.addArc(9.5f, 8, 8, 8, 0.28f * kPi, 0.72f * kPi, true);
  path.addArc(6.5f, 5, 14, 14, 0.28f * kPi, 0.72f * kPi, true);
}

void dog_eared_page(juce::Path& path) {
  line(path, {{5.5f, 3.5f}, {13.5f, 3.5f}, {18.5f, 8.5f}, {18.5f, 20.5f}, {5.5f, 20.5f}});
  path.closeSubPath();
  line(path, {{13, 4}, {13, 9}, {18, 9}});
}

void warning_triangle(juce::Path& path) {
  line(path, {{12, 4}, {21, 19.5f}, {3, 19.5f}});
  path.closeSubPath();
  line(path, {{12, 10}, {12, 14}});
  line(path, {{12, 16.7f}, {12, 17}});
}

juce::Path strokes(Icon icon) {
  juce::Path path;
  switch (icon) {
    case Icon::cabinet:
      path.addRoundedRectangle(4.0f, 4.0f, 16.0f, 16.0f, 2.5f);
      path.addEllipse(8, 8, 8, 8);
      path.addEllipse(11.5f, 11.5f, 1, 1);
      break;
    case Icon::previous:
      line(path, {{14.5f, 5.5f}, {8, 12}, {14.5f, 18.5f}});
      break;
    case Icon::next:
      line(path, {{9.5f, 5.5f}, {16, 12}, {9.5f, 18.5f}});
      break;
    case Icon::undo:
      undo_arrow(path);
      break;
    case Icon::redo:
      undo_arrow(path);
      path.applyTransform(juce::AffineTransform::scale(-1, 1).translated(kGrid, 0));
      break;
    case Icon::power:
      path.addArc(4.5f, 5, 15, 15, 0.2f * kPi, 1.8f * kPi, true);
      line(path, {{12, 3}, {12, 11}});
      break;
    case Icon::menu:
      for (const float y : {7.0f, 12.0f, 17.0f}) line(path, {{4.5f, y}, {19.5f, y}});
      break;
    case Icon::browse:
      line(path, {{3.5f, 18.5f}, {3.5f, 5.5f}, {9.5f, 5.5f}, {11.5f, 8}, {20.5f, 8}, {20.5f, 18.5f}});
      path.closeSubPath();
      break;
    case Icon::copy:
      path.addRoundedRectangle(9, 9, 11, 11, 2);
      line(path, {{15, 5}, {15, 4}, {4, 4}, {4, 15}, {5, 15}});
      break;
    case Icon::tuner:
      tuning_fork(path);
      break;
    case Icon::close:
      line(path, {{6, 6}, {18, 18}});
      line(path, {{18, 6}, {6, 18}});
      break;
    case Icon::search:
      path.addEllipse(4, 4, 12, 12);
      line(path, {{14.5f, 14.5f}, {20, 20}});
      break;
    case Icon::save:
      arrow_onto_tray(path);
      break;
    case Icon::star:
      path.addStar({12, 12.7f}, 5, 4.2f, 9.6f, 0);
      break;
    case Icon::listen:
      loudspeaker_with_waves(path);
      break;
    case Icon::add:
      line(path, {{12, 5}, {12, 19}});
      line(path, {{5, 12}, {19, 12}});
      break;
    case Icon::file:
      dog_eared_page(path);
      break;
    case Icon::done:
      line(path, {{5, 12.5f}, {10, 17.5f}, {19, 7}});
      break;
    case Icon::minimise:
      line(path, {{6, 17}, {18, 17}});
      break;
    case Icon::maximise:
      path.addRectangle(6.5f, 6.5f, 11.0f, 11.0f);
      break;
    case Icon::warning:
      warning_triangle(path);
      break;
  }
  return path;
}

}  // namespace

void draw_icon(juce::Graphics& g, Icon icon, juce::Rectangle<float> area, juce::Colour colour) {
  const float size = std::min(area.getWidth(), area.getHeight());
  const auto square = area.withSizeKeepingCentre(size, size);
  g.setColour(colour);
  g.strokePath(strokes(icon),
               juce::PathStrokeType(kStroke, juce::PathStrokeType::curved, juce::PathStrokeType::rounded),
               juce::AffineTransform::scale(size / kGrid).translated(square.getPosition()));
}

void fill_icon(juce::Graphics& g, Icon icon, juce::Rectangle<float> area, juce::Colour colour) {
  draw_icon(g, icon, area, colour);
  const float size = std::min(area.getWidth(), area.getHeight());
  const auto square = area.withSizeKeepingCentre(size, size);
  g.fillPath(strokes(icon), juce::AffineTransform::scale(size / kGrid).translated(square.getPosition()));
}

juce::Path coil_path(juce::Point<float> centre, float radius, float turns, float inner) {
  constexpr int kPointsPerTurn = 72;
  const int points = static_cast<int>(std::ceil(turns * kPointsPerTurn));
  juce::Path path;
  for (int i = 0; i <= points; ++i) {
    const float part = static_cast<float>(i) / static_cast<float>(points);
    const auto p = centre.getPointOnCircumference(radius * (inner + (1 - inner) * part),
                                                  part * turns * juce::MathConstants<float>::twoPi);
    if (i == 0)
      path.startNewSubPath(p);
    else
      path.lineTo(p);
  }
  return path;
}

}  // namespace coil::plugin
