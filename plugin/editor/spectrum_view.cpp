// Grid, curves and the reading of the sound tap.
#include "plugin/editor/spectrum_view.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "plugin/editor/theme.h"

namespace coil::plugin {
namespace {

constexpr float kTopDb = 0, kBottomDb = SpectrumAnalyser::kFloorDb;
constexpr float kBelowPlot = 3;  // position of silent bands, outside the plot
constexpr int kTitleHeight = 18, kAxisHeight = 14;
constexpr std::array<float, 3> kDecades_hz{100, 1000, 10000};
constexpr std::array<float, 6> kMinor_hz{50, 200, 500, 2000, 5000, 20000};
constexpr std::array<float, 4> kLines_db{-20, -40, -60, -80};

juce::String frequency_text(float hz) {
  return hz >= 1000 ? juce::String(juce::roundToInt(hz / 1000)) + "k" : juce::String(juce::roundToInt(hz));
}

}  // namespace

SpectrumView::SpectrumView(SoundTap& tap) : tap_(tap) {
  setTitle("Spectrum");
  setDescription("Spectrum of the sound before and after the plugin");
  setTooltip(
      "Spectrum before (steel) and after (copper). Across: frequency, 25 Hz to 20 kHz. Up: level, -96 to 0 dBFS; "
      "a sine at full scale reads 0.");
}

void SpectrumView::tick(float seconds) {
  const double rate_hz = tap_.sample_rate_hz();
  if (rate_hz <= 0) return;
  const size_t written = tap_.frames_written(SoundTap::Side::output);
  const bool running = written != frames_written_;
  frames_written_ = written;
  if (!running && still_) return;
  const auto follow = [&](SoundTap::Side side, SpectrumAnalyser& analyser) {
    analyser.prepare(rate_hz);
    frames_.assign(analyser.window_frames(), 0);
    if (running) tap_.read_latest(side, frames_);  // without sound the curves fall
    return analyser.update(frames_, seconds);
  };
  const bool input_moved = follow(SoundTap::Side::input, input_),
             output_moved = follow(SoundTap::Side::output, output_);
  still_ = !input_moved && !output_moved;
  if (!still_) repaint(plot_.getSmallestIntegerContainer());
}

void SpectrumView::resized() {
  auto area = getLocalBounds().reduced(theme::kPad, theme::kGap);
  area.removeFromTop(kTitleHeight);
  area.removeFromBottom(kAxisHeight);
  plot_ = area.toFloat();
}

float SpectrumView::x_of(float hz) const {
  constexpr float kLow = SpectrumAnalyser::kLowHz, kHigh = SpectrumAnalyser::kHighHz;
  return plot_.getX() + plot_.getWidth() * std::log(hz / kLow) / std::log(kHigh / kLow);
}

float SpectrumView::y_of(float db) const {
  return plot_.getBottom() + kBelowPlot - (plot_.getHeight() + kBelowPlot) * (db - kBottomDb) / (kTopDb - kBottomDb);
}

juce::Path SpectrumView::curve(const SpectrumAnalyser& analyser) const {
  const auto& bands = analyser.bands_db();
  const auto point = [&](size_t band) {
    return juce::Point<float>(
        plot_.getX() + plot_.getWidth() * static_cast<float>(band) / (SpectrumAnalyser::kBands - 1),
        y_of(std::min(kTopDb, bands[band])));
  };
  juce::Path path;
  path.startNewSubPath(point(0));
  for (size_t band = 1; band + 1 < bands.size(); ++band)
    path.quadraticTo(point(band), (point(band) + point(band + 1)) / 2);
  path.lineTo(point(bands.size() - 1));
  return path;
}

void SpectrumView::paint(juce::Graphics& g) {
  theme::fill_panel(g, getLocalBounds().toFloat());
  auto title = getLocalBounds().reduced(theme::kPad, theme::kGap).removeFromTop(kTitleHeight);
  g.setFont(theme::font(theme::kTextSmall, theme::Weight::strong));
  g.setColour(theme::kTextSoft);
  g.drawText("Spectrum", title, juce::Justification::centredLeft);
  g.setFont(theme::font(theme::kTextSmall));
  const auto label = [&](const char* text, juce::Colour colour) {
    g.setColour(colour);
    g.drawText(text, title.removeFromRight(g.getCurrentFont().getStringWidth(text) + theme::kGap),
               juce::Justification::centredRight);
  };
  label("out", theme::kCopper);
  label("in", theme::kSteel);

  g.setColour(theme::kLine.withAlpha(0.55f));
  for (const float db : kLines_db) g.fillRect(plot_.getX(), y_of(db), plot_.getWidth(), theme::kHairline);
  for (const float hz : kDecades_hz) g.fillRect(x_of(hz), plot_.getY(), theme::kHairline, plot_.getHeight());
  g.setColour(theme::kTextFaint);
  const auto mark = [&](float hz) {
    const auto width = static_cast<float>(2 * theme::kRow);
    g.drawText(
        frequency_text(hz),
        juce::Rectangle<float>(width, kAxisHeight).withCentre({x_of(hz), plot_.getBottom() + kAxisHeight / 2 + 1}),
        juce::Justification::centred);
  };
  for (const float hz : kDecades_hz) mark(hz);
  constexpr float kRoomForDb = 1.4f * kAxisHeight;  // between grid lines
  if (y_of(kLines_db[1]) - y_of(kLines_db[0]) > kRoomForDb)
    for (const float db : kLines_db)
      g.drawText(juce::String(juce::roundToInt(db)) + (db == kLines_db.front() ? " dB" : ""),
                 juce::Rectangle<float>(plot_.getX(), y_of(db) - kAxisHeight, plot_.getWidth(), kAxisHeight),
                 juce::Justification::centredRight);
  constexpr float kRoomForMinor = 330;
  if (plot_.getWidth() > kRoomForMinor)
    for (const float hz : kMinor_hz)
      if (hz < SpectrumAnalyser::kHighHz) mark(hz);

  const juce::Graphics::ScopedSaveState clip(g);
  g.reduceClipRegion(plot_.getSmallestIntegerContainer());
  const auto fill = [&](const juce::Path& line, juce::Colour colour, float alpha) {
    juce::Path area = line;
    area.lineTo(plot_.getBottomRight());
    area.lineTo(plot_.getBottomLeft());
    area.closeSubPath();
    g.setGradientFill({colour.withAlpha(alpha), 0, plot_.getY(), colour.withAlpha(0.0f), 0, plot_.getBottom(), false});
    g.fillPath(area);
  };
  const auto input = curve(input_), output = curve(output_);
  fill(input, theme::kSteel, 0.3f);
  fill(output, theme::kCopper, 0.5f);
  g.setColour(theme::kSteel.withAlpha(0.8f));
  g.strokePath(input, juce::PathStrokeType(1.2f, juce::PathStrokeType::curved));
  g.setColour(theme::kCopper);
  g.strokePath(output, juce::PathStrokeType(1.5f, juce::PathStrokeType::curved));
}

}  // namespace coil::plugin
