// What makes a whole recording from a whole recording, piece by piece.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "dsp/sample_faults.h"

namespace coil::dsp {

// The output is aligned with the input and lasts as long. Memory does not grow with the recording. Not for the audio
// thread; one thread at a time.
class RecordingProcessor {
 public:
  virtual ~RecordingProcessor() = default;

  // Interleaved frames; appends to `out` those that are ready.
  virtual void process(std::span<const float> in, std::vector<float>& out) = 0;
  // The recording has ended: appends the frames still missing.
  virtual void finish(std::vector<float>& out) = 0;

  virtual const InputFaults& input_faults() const = 0;  // samples of the input that were taken as 0
  virtual uint64_t restarts() const = 0;                // how often a model overflowed and started anew
};

}  // namespace coil::dsp
