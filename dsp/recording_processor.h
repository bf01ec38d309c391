// The base class for processing a whole recording in pieces.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "dsp/processor.h"
#include "dsp/sample_faults.h"

namespace coil::dsp {

// The output is aligned with the input and has the same duration. Memory use does not depend on the recording's length.
// Not for the audio thread; one thread at a time.
class RecordingProcessor {
 public:
  virtual ~RecordingProcessor() = default;

  // Interleaved frames. Appends the output frames that are ready to `out`.
  void process(std::span<const float> in, std::vector<float>& out);
  // The recording has ended: appends the missing frames, up to output_frames() of all input frames.
  void finish(std::vector<float>& out);

  // The number of output frames for `frames` input frames: the same duration at the output's rate, rounded to whole
  // frames.
  static int64_t output_frames(int64_t frames, double sample_rate_hz, double output_rate_hz);

  virtual const InputFaults& input_faults() const = 0;  // samples of the input that counted as 0
  virtual uint64_t restarts() const = 0;                // how often a model overflowed and was restarted

 protected:
  // `output_rate_hz` 0: the input's. `block_frames`: of silence at a time after the recording's end.
  RecordingProcessor(double sample_rate_hz, double output_rate_hz, int channels, int block_frames);

  double output_rate_hz() const noexcept { return output_rate_hz_; }

 private:
  // Returns the output frames that are ready, valid until the next call. All input and all output begin at the same
  // time. May overwrite `in`.
  virtual AudioBlock run(AudioBlock in) = 0;

  void run_and_append(std::span<const float> in, std::vector<float>& out);

  double sample_rate_hz_, output_rate_hz_;
  size_t block_frames_;
  int64_t frames_in_ = 0, frames_out_ = 0;
  std::vector<std::vector<float>> planes_;
  std::vector<float*> channels_;
};

}  // namespace coil::dsp
