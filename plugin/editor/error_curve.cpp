// Drawing of the curve and its scales.
#include "plugin/editor/error_curve.h"

#include <algorithm>
#include <cmath>

#include "plugin/editor/theme.h"

namespace coil::plugin {
namespace {

constexpr float kScaleWidth = 34, kScaleHeight = 18;
constexpr double kStepDb = 10, kShortestS = 10;

double db_of(double esr) { return 10 * std::log10(std::max(esr, 1e-9)); }

}  // namespace

ErrorCurve::ErrorCurve() {
  setTitle("Error over time");
  setTooltip(
      "Error of the model on parts of the recording that it does not learn from, in dB below the device's sound, over "
      "the time of learning");
}

void ErrorCurve::show(const std::vector<capture::CurvePoint>& points, double esr_of_nothing) {
  if (points.size() == points_.size() && esr_of_nothing == esr_of_nothing_) return;
  points_ = points;
  esr_of_nothing_ = esr_of_nothing;
  setDescription(points.empty() ? juce::String("nothing yet")
                                : juce::String(db_of(points.back().held_out_esr), 1) + " dB after " +
                                      juce::String(points.back().seconds, 0) + " s");
  repaint();
}

void ErrorCurve::paint(juce::Graphics& g) {
  auto area = getLocalBounds().toFloat();
  theme::fill_panel(g, area);
  area = area.reduced(theme::kGap);
  auto plot = area.withTrimmedLeft(kScaleWidth).withTrimmedBottom(kScaleHeight);
  double top = 0, bottom = -30, last_s = kShortestS;
  for (const auto& point : points_) {
    bottom = std::min(bottom, db_of(point.held_out_esr) - 3);
    last_s = std::max(last_s, point.seconds);
  }
  bottom = kStepDb * std::floor(bottom / kStepDb);
  const auto y_of = [&](double db) {
    return plot.getY() + plot.getHeight() * static_cast<float>(std::clamp((top - db) / (top - bottom), 0.0, 1.0));
  };
  const auto x_of = [&](double s) { return plot.getX() + plot.getWidth() * static_cast<float>(s / last_s); };

  g.setFont(theme::font(theme::kTextSmall));
  for (double db = top; db >= bottom; db -= kStepDb) {
    g.setColour(theme::kLine);
    g.fillRect(plot.getX(), y_of(db), plot.getWidth(), theme::kHairline);
    g.setColour(theme::kTextFaint);
    g.drawText(juce::String(static_cast<int>(db)) + (db == top ? " dB" : ""),
               juce::Rectangle<float>(area.getX(), y_of(db) - 8, kScaleWidth - 6, 16),
               juce::Justification::centredRight);
  }
  g.setColour(theme::kTextFaint);
  g.drawText("0", juce::Rectangle<float>(plot.getX(), plot.getBottom(), 40, kScaleHeight),
             juce::Justification::bottomLeft);
  g.drawText(juce::String(static_cast<int>(std::lround(last_s))) + " s",
             juce::Rectangle<float>(plot.getRight() - 60, plot.getBottom(), 60, kScaleHeight),
             juce::Justification::bottomRight);

  if (esr_of_nothing_ > 0) {
    const float y = y_of(db_of(esr_of_nothing_));
    g.setColour(theme::kSteel.withAlpha(0.8f));
    const float dashes[] = {4, 4};
    g.drawDashedLine({plot.getX(), y, plot.getRight(), y}, dashes, 2);
    g.drawText("the dry signal itself", plot.withY(y + 1).withHeight(14).reduced(4, 0), juce::Justification::topRight);
  }
  if (points_.empty()) {
    g.setColour(theme::kTextFaint);
    g.setFont(theme::font(theme::kTextNormal));
    g.drawText("The error shows here", plot, juce::Justification::centred);
    return;
  }
  juce::Path path;
  for (const auto& point : points_) {
    const juce::Point<float> at(x_of(point.seconds), y_of(db_of(point.held_out_esr)));
    path.isEmpty() ? path.startNewSubPath(at) : path.lineTo(at);
  }
  g.setColour(theme::kCopper);
  g.strokePath(path, juce::PathStrokeType(2, juce::PathStrokeType::curved, juce::PathStrokeType::rounded));
  const auto end = path.getCurrentPosition();
  g.fillEllipse(juce::Rectangle<float>(7, 7).withCentre(end));
}

}  // namespace coil::plugin
