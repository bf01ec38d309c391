// Texts of the status bar.
#include "plugin/editor/status_bar.h"

#include <cmath>

#include "plugin/editor/theme.h"
#include "plugin/processor.h"
#include "plugin/text.h"

namespace coil::plugin {
namespace {

constexpr int kLoadWidth = 170, kLatencyWidth = 150;

juce::String percent(float share) {
  return (share < 0.0995f ? juce::String(100 * share, 1) : juce::String(juce::roundToInt(100 * share))) + " %";
}

juce::String kilohertz(double hz) { return juce::String(hz / 1000) + " kHz"; }

}  // namespace

StatusBar::LoadButton::LoadButton() : juce::Button("Processor load") {
  setTitle("Processor load");
  setTooltip(
      "Share of each block's time that the plugin itself takes: the median of late, and the worst since the last click "
      "here. A single block in which the system was busy with something else does not count");
  setMouseClickGrabsKeyboardFocus(false);
}

void StatusBar::LoadButton::set_text(const juce::String& text) {
  if (text == text_) return;
  text_ = text;
  setDescription(text);
  repaint();
}

void StatusBar::LoadButton::paintButton(juce::Graphics& g, bool over, bool) {
  g.setFont(theme::font(theme::kTextSmall));
  g.setColour(over ? theme::kText : theme::kTextFaint);
  g.drawText(text_, getLocalBounds(), juce::Justification::centredLeft);
  if (hasKeyboardFocus(true)) theme::draw_focus(g, getLocalBounds().toFloat());
}

StatusBar::StatusBar(Processor& processor) : processor_(processor) {
  setTitle("Status");
  setFocusContainerType(FocusContainerType::focusContainer);
  load_.onClick = [this] { processor_.reset_load(); };
  latency_.setTooltip(
      "Delay of the plugin in samples of the host's rate and in milliseconds; the host makes up for it");
  model_.setTooltip(
      "The rate that the model was trained at, and the one that the host runs at. Where they differ, the sound is "
      "resampled to the "
      "model's rate and back, or the model's steps are rescaled to the host's rate, which adds no latency; the menu "
      "has the choice");
  for (auto* label : {&latency_, &model_}) {
    label->setFont(theme::font(theme::kTextSmall));
    label->setColour(juce::Label::textColourId, theme::kTextFaint);
    label->setBorderSize({});
    addAndMakeVisible(label);
  }
  model_.setJustificationType(juce::Justification::centredRight);
  addAndMakeVisible(load_);
  tick();
}

void StatusBar::tick() {
  constexpr float kVisible = 0.0005f;
  const auto load = processor_.load();
  if (std::abs(load.median - shown_median_) > kVisible || std::abs(load.worst - shown_worst_) > kVisible) {
    shown_median_ = load.median;
    shown_worst_ = load.worst;
    load_.set_text("CPU " + percent(load.median) + "   worst " + percent(load.worst));
  }
  const double rate_hz = processor_.getSampleRate();
  const int latency = processor_.getLatencySamples();
  const double latency_ms = rate_hz > 0 ? 1000 * latency / rate_hz : 0;
  latency_.setText("Latency " + counted(latency, "sample") + ", " + juce::String(latency_ms, 1) + " ms",
                   juce::dontSendNotification);
  model_.setText(rates_text(rate_hz), juce::dontSendNotification);
}

juce::String StatusBar::rates_text(double host_hz) const {
  if (host_hz <= 0) return {};
  const auto model = processor_.model(processor_.active_slot());
  const double model_hz = model ? dsp::sample_rate_hz(*model) : 0;
  if (model_hz == 0) return "Host " + kilohertz(host_hz);
  const juce::String text = "Model " + kilohertz(model_hz) + ", ";
  if (juce::roundToInt(model_hz) == juce::roundToInt(host_hz)) return text + "host " + kilohertz(host_hz);
  return text + (dsp::rescales_steps(*model, host_hz, processor_.rate_mode()) ? "rescaled to " : "resampled to ") +
         kilohertz(host_hz);
}

void StatusBar::resized() {
  auto area = getLocalBounds().reduced(theme::kPad, 2).withTrimmedRight(theme::kPad);  // the window's corner is the
                                                                                       // resize handle
  load_.setBounds(area.removeFromLeft(kLoadWidth));
  latency_.setBounds(area.removeFromLeft(kLatencyWidth));
  model_.setBounds(area);
}

}  // namespace coil::plugin
