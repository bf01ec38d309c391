// Layout and tooltips of the memory view.
#include "plugin/editor/memory_view.h"

#include <algorithm>
#include <cmath>

#include "plugin/editor/icons.h"
#include "plugin/editor/theme.h"
#include "plugin/processor.h"
#include "plugin/text.h"

namespace coil::plugin {
namespace {

constexpr size_t kMaxLayers = 64;
constexpr int kTitleHeight = 18, kLegendHeight = 16, kRoomy = 110;  // smaller views have no legend
// Side length. On larger screens the picture is scaled up, which its soft edges hide.
constexpr int kMaxRasterPixels = 720;

}  // namespace

MemoryView::MemoryView(Processor& processor) : processor_(processor), activity_(kMaxLayers) {
  setTitle("Memory");
  setDescription("A picture of what each layer of the model holds: energy and step size of the last seconds");
  history_.prepare(0, theme::kFramesPerSecond);
}

void MemoryView::tick() {
  const size_t layers = processor_.observe(activity_);
  const auto* model = processor_.model(processor_.active_slot()).get();
  if (layers != history_.layers() || model != model_) {
    model_ = model;
    history_.prepare(layers, theme::kFramesPerSecond);
    repaint();
  }
  const size_t written = processor_.tap().frames_written(SoundTap::Side::output);
  if (written == frames_written_) return;  // no sound was processed: the model's time stands still
  frames_written_ = written;
  if (history_.add(std::span(activity_).first(layers))) repaint(coil_area_);
}

void MemoryView::resized() {
  auto area = getLocalBounds().reduced(theme::kPad, theme::kGap);
  title_area_ = area.removeFromTop(kTitleHeight);
  const bool roomy = area.getHeight() >= kRoomy;
  legend_area_ = area.removeFromBottom(roomy ? kLegendHeight : 0);
  if (roomy) area = area.reduced(0, theme::kGap / 2);
  const int side = std::min(area.getWidth(), area.getHeight());
  coil_area_ = area.withSizeKeepingCentre(side, side);
}

void MemoryView::paint(juce::Graphics& g) {
  theme::fill_panel(g, getLocalBounds().toFloat());
  g.setFont(theme::font(theme::kTextSmall, theme::Weight::strong));
  g.setColour(theme::kTextSoft);
  g.drawText("Memory", title_area_, juce::Justification::centredLeft);
  const juce::String length = counted(static_cast<int>(history_.layers()), "layer") + ", " +
                              juce::String(static_cast<int>(MemoryHistory::kSeconds)) + " s";
  g.setFont(theme::font(theme::kTextSmall));
  g.setColour(theme::kTextFaint);
  if (legend_area_.getHeight() > 0) {
    if (history_.layers() > 0) g.drawText(length, title_area_, juce::Justification::centredRight);
    paint_legend(g);
  }

  if (history_.layers() == 0) {
    g.setColour(theme::kTrack);
    const auto circle = coil_area_.toFloat();
    g.strokePath(coil_path(circle.getCentre(), circle.getWidth() / 2 - 2, 3, 0.2f),
                 juce::PathStrokeType(theme::kFocusWidth));
    return;
  }
  const float scale = g.getInternalContext().getPhysicalPixelScaleFactor();
  const int pixels = std::min(kMaxRasterPixels, juce::roundToInt(static_cast<float>(coil_area_.getWidth()) * scale));
  if (!raster_.prepared_for(pixels, history_.layers())) raster_.prepare(pixels, history_.layers());
  g.setImageResamplingQuality(juce::Graphics::mediumResamplingQuality);
  g.drawImage(raster_.draw(history_), coil_area_.toFloat());
}

void MemoryView::paint_legend(juce::Graphics& g) const {
  constexpr float kBarWidth = 54, kThin = 2, kThick = 7;
  auto area = legend_area_.toFloat();
  g.setFont(theme::font(theme::kTextSmall));
  const float text_width =
      std::max(g.getCurrentFont().getStringWidthFloat("holding"), g.getCurrentFont().getStringWidthFloat("taking in")) +
      6;
  auto row = area.withSizeKeepingCentre(std::min(area.getWidth(), kBarWidth + 2 * text_width), area.getHeight());
  g.setColour(theme::kTextFaint);
  g.drawText("holding", row.removeFromLeft(text_width).withTrimmedRight(6), juce::Justification::centredRight);
  g.drawText("taking in", row.removeFromRight(text_width).withTrimmedLeft(6), juce::Justification::centredLeft);
  juce::Path wedge;
  wedge.addQuadrilateral(row.getX(), row.getCentreY() - kThin / 2, row.getRight(), row.getCentreY() - kThick / 2,
                         row.getRight(), row.getCentreY() + kThick / 2, row.getX(), row.getCentreY() + kThin / 2);
  juce::ColourGradient colours(theme::heat(0), row.getX(), 0, theme::heat(1), row.getRight(), 0, false);
  for (const float stop : {0.25f, 0.5f, 0.75f}) colours.addColour(stop, theme::heat(stop));
  g.setGradientFill(colours);
  g.fillPath(wedge);
}

juce::String MemoryView::getTooltip() {
  const auto at = getMouseXYRelative();
  if (history_.layers() > 0 && coil_area_.contains(at)) {
    const auto inside = (at - coil_area_.getPosition()).toFloat() / static_cast<float>(coil_area_.getWidth());
    if (const auto place = raster_.place(inside.x, inside.y)) {
      const auto now = history_.latest(place->layer);
      return "Layer " + juce::String(place->layer + 1) + " of " + juce::String(history_.layers()) + ", " +
             juce::String(place->seconds_ago, 1) + " s ago. Now: energy " +
             juce::String(10 * std::log10(now.energy + 1e-20f), 1) + " dB (mean square of the state), dt " +
             juce::String(now.dt, 4) + " (step size, no unit)";
    }
  }
  return "The last 12 s of each layer's state, wound in at the top and older inwards. Brightness: energy in dB, 48 dB "
         "below its loudest is dark. "
         "Width and colour: dt, the learned step size, 0.001 to 1 on a log scale; a small one keeps the state, a large "
         "one "
         "takes in what comes.";
}

}  // namespace coil::plugin
