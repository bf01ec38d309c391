// The interface for processing a whole recording in pieces.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "dsp/sample_faults.h"

namespace coil::dsp {

// The output is aligned with the input and has the same duration. Memory use does not depend on the recording's length.
// Not for the audio thread; one thread at a time.
class RecordingProcessor {
 public:
  virtual ~RecordingProcessor() = default;

  // Interleaved frames. Appends the output frames that are ready to `out`.
  virtual void process(std::span<const float> in, std::vector<float>& out) = 0;
  // The recording has ended: appends the missing frames.
  virtual void finish(std::vector<float>& out) = 0;

  virtual const InputFaults& input_faults() const = 0;  // samples of the input that counted as 0
  virtual uint64_t restarts() const = 0;                // how often a model overflowed and was restarted
};

}  // namespace coil::dsp
