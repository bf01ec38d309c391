// The curve of the error during learning.
#pragma once

#include <juce_gui_basics/juce_gui_basics.h>

#include <vector>

#include "capture/trainer/trainer.h"

namespace coil::plugin {

// Error over time, in dB.
class ErrorCurve final : public juce::Component, public juce::SettableTooltipClient {
 public:
  ErrorCurve();

  // `esr_of_nothing`: a line at the error of the dry signal; 0: unknown yet.
  void show(const std::vector<capture::CurvePoint>& points, double esr_of_nothing);

 private:
  void paint(juce::Graphics& g) override;

  std::vector<capture::CurvePoint> points_;
  double esr_of_nothing_ = 0;
};

}  // namespace coil::plugin
