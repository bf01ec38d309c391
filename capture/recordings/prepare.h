// Makes a pair for training from two files' sound, and reports everything that was found and corrected.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "capture/recordings/alignment.h"
#include "capture/recordings/finding.h"

namespace coil::capture {

// Interleaved, as in the file.
struct Recording {
  std::vector<float> samples;
  int channels = 1;
  double sample_rate_hz = 0;
  std::string name;        // the name that texts use
  Findings findings = {};  // from the reader of the file
};

struct PreparedPair {
  std::vector<float> dry, wet;  // mono, of equal length, aligned, at the requested rate
  Alignment alignment;          // the delay and drift that were removed, in frames of that rate
  Findings findings = {};
  double noise_to_signal = 0;               // 0: unknown
  std::optional<double> repeatability_esr;  // only if the test signal was played
  bool usable = true;                       // true if no finding is fatal
};

// A pair that was already aligned was made in a computer. Its polarity is the device's own, and the model keeps it. A
// recording through an interface gets the polarity of the dry sound, so that both can be blended.
enum class Polarity { kAutomatic, kKeep, kTurn };

// The recorded channel: the loudest one. Findings name the others unless they are empty or equal.
std::vector<float> one_channel(const Recording& recording, Findings& findings);

// The same duration at another rate.
std::vector<float> resampled(const std::vector<float>& sound, double from_hz, double to_hz);

// Accepts any two recordings and reports what it finds. Never throws because of their content. Not for the audio
// thread.
PreparedPair prepare_pair(const Recording& dry, const Recording& wet, double sample_rate_hz,
                          Polarity polarity = Polarity::kAutomatic);

// Takes of one session have one delay, but each take's own estimate differs by its margin (see kMostMarginFrames), and
// a model cannot learn several delays at once. Moves pairs whose delays are that close to each other, or to one of
// `known`, to one delay, with a note in their findings. Returns the moved ones. Pairs with drift stay.
std::vector<size_t> share_delays(std::vector<PreparedPair>& pairs, const std::vector<double>& known = {});

}  // namespace coil::capture
