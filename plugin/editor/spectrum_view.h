// Input and output spectrum in one plot, with frequency on a log scale.
#pragma once

#include <juce_gui_basics/juce_gui_basics.h>

#include "plugin/editor/spectrum_analyser.h"
#include "plugin/sound_tap.h"

namespace coil::plugin {

class SpectrumView final : public juce::Component, public juce::SettableTooltipClient {
 public:
  explicit SpectrumView(SoundTap& tap);

  void tick(float seconds);

 private:
  void paint(juce::Graphics& g) override;
  void resized() override;
  juce::Path curve(const SpectrumAnalyser& analyser) const;
  float x_of(float hz) const;
  float y_of(float db) const;

  SoundTap& tap_;
  const SoundTap::Listening listening_{tap_};
  SpectrumAnalyser input_, output_;
  std::vector<float> frames_;
  size_t frames_written_ = 0;
  bool still_ = false;
  juce::Rectangle<float> plot_;
};

}  // namespace coil::plugin
