// How far a training is, on standard error: the last line on a terminal, else now and then a line.
#pragma once

#include <string>
#include <vector>

#include "capture/trainer/trainer.h"

namespace coil::cli {

class CaptureProgress {
 public:
  explicit CaptureProgress(bool visible);
  ~CaptureProgress();  // leaves the last line, and begins a new one

  // After a look at the held-out parts.
  void show(const capture::TrainingState& state, const std::vector<capture::CurvePoint>& curve);

 private:
  bool visible_, terminal_, drawn_ = false;
};

// The best held-out error so far over the training, in as many characters: from a full block at the first look to a low
// one, on a logarithmic scale.
std::string curve_in_blocks(const std::vector<capture::CurvePoint>& curve, size_t characters);

// "0.000163 (-37.9 dB)"
std::string esr_text(double esr);

}  // namespace coil::cli
