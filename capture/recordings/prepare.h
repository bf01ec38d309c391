// From two files' sound to a pair that a model can learn from, with all that was found and put right on the way.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "capture/recordings/alignment.h"
#include "capture/recordings/finding.h"

namespace coil::capture {

// Interleaved, as a file has it.
struct Recording {
  std::vector<float> samples;
  int channels = 1;
  double sample_rate_hz = 0;
  std::string name;        // as texts call it
  Findings findings = {};  // of whoever read the file
};

struct PreparedPair {
  std::vector<float> dry, wet;  // mono, equally long, aligned, at the rate asked for
  Alignment alignment;          // what was taken out, in frames of that rate
  Findings findings = {};
  double noise_to_signal = 0;               // 0: not known
  std::optional<double> repeatability_esr;  // where the test signal was played
  bool usable = true;                       // no finding is fatal
};

// A pair that needs no delay taken out was made in a computer, so that its polarity is the device's own and a model
// keeps it; what came through an interface is turned to the dry sound's, so that both can be blended.
enum class Polarity { kAutomatic, kKeep, kTurn };

// The channel that was recorded on: the loudest. The others are named unless they are empty or equal.
std::vector<float> one_channel(const Recording& recording, Findings& findings);

// As many seconds at another rate.
std::vector<float> resampled(const std::vector<float>& sound, double from_hz, double to_hz);

// Takes any two recordings and says what it finds; never throws for what they hold. Not for the audio thread.
PreparedPair prepare_pair(const Recording& dry, const Recording& wet, double sample_rate_hz,
                          Polarity polarity = Polarity::kAutomatic);

}  // namespace coil::capture
