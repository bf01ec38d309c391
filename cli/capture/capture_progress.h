// The progress of a training on standard error: one updated line on a terminal, otherwise a line from time to time.
#pragma once

#include <string>
#include <vector>

#include "capture/trainer/trainer.h"

namespace coil::cli {

class CaptureProgress {
 public:
  explicit CaptureProgress(bool visible);
  ~CaptureProgress();  // keeps the last line, and starts a new one

  // Call after a look at the held-out parts.
  void show(const capture::TrainingState& state, const std::vector<capture::CurvePoint>& curve);

 private:
  bool visible_, terminal_, drawn_ = false;
};

// The best held-out error over the training, as a row of block characters on a log scale: a full block at the first
// look, lower ones later.
std::string curve_in_blocks(const std::vector<capture::CurvePoint>& curve, size_t characters);

// "0.000163 (-37.9 dB)"
std::string esr_text(double esr);

}  // namespace coil::cli
