// What makes a whole recording from a whole recording, piece by piece.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "dsp/processor.h"
#include "dsp/sample_faults.h"

namespace coil::dsp {

// The output is aligned with the input and lasts as long. Memory does not grow with the recording. Not for the audio
// thread; one thread at a time.
class RecordingProcessor {
 public:
  virtual ~RecordingProcessor() = default;

  // Interleaved frames; appends to `out` those that are ready.
  void process(std::span<const float> in, std::vector<float>& out);
  // The recording has ended: appends the frames still missing, so that output_frames() of those that went in have come
  // out.
  void finish(std::vector<float>& out);

  // How many frames come out for so many: as many, or the nearest number of frames that last as long at the output's
  // rate.
  static int64_t output_frames(int64_t frames, double sample_rate_hz, double output_rate_hz);

  virtual const InputFaults& input_faults() const = 0;  // samples of the input that were taken as 0
  virtual uint64_t restarts() const = 0;                // how often a model overflowed and started anew

 protected:
  // `output_rate_hz` 0: the input's. `block_frames`: of silence at once after the recording's end.
  RecordingProcessor(double sample_rate_hz, double output_rate_hz, int channels, int block_frames);

  double output_rate_hz() const noexcept { return output_rate_hz_; }

 private:
  // Returns the frames that are ready, good until the next call: frame k of all that it returns belongs to the time of
  // frame k of all that it gets. The samples of `in` may be changed.
  virtual AudioBlock run(AudioBlock in) = 0;

  void run_and_append(std::span<const float> in, std::vector<float>& out);

  double sample_rate_hz_, output_rate_hz_;
  size_t block_frames_;
  int64_t frames_in_ = 0, frames_out_ = 0;
  std::vector<std::vector<float>> planes_;
  std::vector<float*> channels_;
};

}  // namespace coil::dsp
