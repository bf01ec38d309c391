// Ballistics and drawing of a level meter.
#include "plugin/editor/level_meter.h"

#include <algorithm>
#include <utility>

#include "plugin/editor/theme.h"

namespace coil::plugin {
namespace {

constexpr float kSilentDb = -100, kBottomDb = -60, kTopDb = 6, kHotDb = -6, kClippedDb = -0.01f, kFallDbPerSecond = 26,
                kHoldSeconds = 1.5f;
constexpr float kBarGap = 2, kLampHeight = 7;

}  // namespace

LevelMeter::LevelMeter(std::array<std::atomic<float>, 2>& peaks, const juce::String& title, juce::Colour colour)
    : peaks_(peaks), colour_(colour) {
  setTitle(title);
  what_it_is_ = title + juce::String::fromUTF8(": peak in dBFS, \xe2\x88\x92") +
                juce::String(-static_cast<int>(kBottomDb)) + " to +" + juce::String(static_cast<int>(kTopDb)) +
                " dB; the line is 0 dBFS. The lamp above stays lit after clipping until you click, or press Return";
  setWantsKeyboardFocus(true);
  setMouseClickGrabsKeyboardFocus(false);
  say();
}

void LevelMeter::say() {
  const juce::String loudest =
      loudest_db_ <= kSilentDb ? juce::String() : "Loudest: " + juce::String(loudest_db_, 1) + " dBFS";
  setTooltip(loudest.isEmpty() ? what_it_is_ : what_it_is_ + ". " + loudest);
  setDescription(loudest.isEmpty() ? juce::String("silent") : loudest + (has_clipped() ? ", has clipped" : ""));
}

void LevelMeter::reset() {
  for (Channel& channel : channels_) channel.clipped = false;
  loudest_db_ = kSilentDb;
  say();
  repaint();
}

bool LevelMeter::keyPressed(const juce::KeyPress& key) {
  if (key != juce::KeyPress::returnKey && key != juce::KeyPress::spaceKey) return false;
  reset();
  return true;
}

float LevelMeter::part(float db) const { return juce::jlimit(0.0f, 1.0f, (db - kBottomDb) / (kTopDb - kBottomDb)); }

void LevelMeter::tick(float seconds) {
  bool changed = false;
  for (size_t i = 0; i < channels_.size(); ++i) {
    auto& c = channels_[i];
    const float peak_db = juce::Decibels::gainToDecibels(peaks_[i].exchange(0, std::memory_order_relaxed), -100.0f);
    if (peak_db > kClippedDb && !std::exchange(c.clipped, true)) changed = true;
    if (peak_db > loudest_db_) {
      loudest_db_ = peak_db;
      say();
    }
    c.level_db = std::max(peak_db, c.level_db - kFallDbPerSecond * seconds);
    c.held_s += seconds;
    if (c.level_db >= c.held_db || c.held_s > kHoldSeconds) {
      c.held_db = c.level_db;
      c.held_s = 0;
    }
    const int level = juce::roundToInt(part(c.level_db) * static_cast<float>(2 * getHeight()));
    const int held = juce::roundToInt(part(c.held_db) * static_cast<float>(2 * getHeight()));
    changed |= level != c.drawn_level || held != c.drawn_held;
    c.drawn_level = level;
    c.drawn_held = held;
  }
  if (changed) repaint();
}

void LevelMeter::paint(juce::Graphics& g) {
  const auto bounds = getLocalBounds().toFloat();
  const float width = (bounds.getWidth() - kBarGap) / 2, height = bounds.getHeight() - kLampHeight - kBarGap;
  const auto y_of = [&](float db) { return bounds.getBottom() - part(db) * height; };
  for (size_t i = 0; i < channels_.size(); ++i) {
    const auto& c = channels_[i];
    const juce::Rectangle<float> bar(static_cast<float>(i) * (width + kBarGap), kLampHeight + kBarGap, width, height);
    g.setColour(theme::kTrack.withAlpha(0.6f));
    g.fillRoundedRectangle(bar, width / 2);
    g.setColour(c.clipped ? theme::kError : theme::kTrack);
    g.fillRoundedRectangle({bar.getX(), 0, width, kLampHeight}, width / 3);
    if (part(c.level_db) > 0) {
      juce::ColourGradient gradient(theme::kError, 0, y_of(0), colour_.withMultipliedBrightness(0.55f), 0,
                                    y_of(kBottomDb), false);
      gradient.addColour(0.02, theme::kWarning);
      gradient.addColour((0 - kHotDb) / (0 - kBottomDb), colour_);
      g.setGradientFill(gradient);
      g.fillRoundedRectangle(bar.withTop(y_of(c.level_db)), width / 2);
    }
    if (part(c.held_db) > 0) {
      g.setColour(c.held_db > 0 ? theme::kError : theme::kText.withAlpha(0.7f));
      g.fillRect(bar.getX(), y_of(c.held_db), bar.getWidth(), theme::kHairline);
    }
  }
  g.setColour(theme::kBackground);
  g.fillRect(0.0f, y_of(0), bounds.getWidth(), theme::kHairline);
  if (hasKeyboardFocus(true)) theme::draw_focus(g, bounds);
}

}  // namespace coil::plugin
