// A model run over a whole recording of any sample rate: the output is aligned with the input and exactly as long, at
// this rate or another one.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "dsp/model_processor.h"
#include "dsp/resampler.h"
#include "ssm/run/executor.h"

namespace coil::dsp {

// Memory does not grow with the recording. Not for the audio thread; one thread at a time.
class OfflineProcessor {
 public:
  // `controls`: one value per control of the card, in its order and units; none: the defaults. `block_frames`: how many
  // frames at the rate that the model runs at it is given at once. `executor` runs the model, and may serve other
  // recordings at the same time; none: block by block on the calling thread. `output_rate_hz`: the output's rate; 0:
  // the input's. Throws Error when the model cannot take such audio.
  OfflineProcessor(const std::shared_ptr<const ssm::Model>& model, double sample_rate_hz, int channels,
                   int block_frames, std::span<const float> controls = {}, RateMode rate_mode = RateMode::model_default,
                   std::shared_ptr<ssm::Executor> executor = nullptr, double output_rate_hz = 0);

  // Interleaved frames; appends to `out` those that are ready.
  void process(std::span<const float> in, std::vector<float>& out);

  // The recording has ended: appends the frames still missing, so that output_frames() of those that went in came out.
  void finish(std::vector<float>& out);

  // How many frames come out for so many: as many, or the nearest number of frames that last as long at the output's
  // rate.
  static int64_t output_frames(int64_t frames, double sample_rate_hz, double output_rate_hz);

  // Samples of the input that were taken as 0; how often the model overflowed and started anew.
  const InputFaults& input_faults() const { return faults_; }
  uint64_t restarts() const;

 private:
  void run(std::span<const float> in, std::vector<float>& out);
  void run_model();  // over model_frames_, in place

  std::shared_ptr<ssm::Executor> executor_;
  std::vector<ssm::Stream> streams_;
  std::optional<Resampler> to_model_, from_model_;  // none: the rates are equal
  double sample_rate_hz_, output_rate_hz_;
  int channels_;
  int block_frames_;
  int64_t latency_left_;  // frames of the model's output that lie before the recording's begin
  int64_t frames_in_ = 0;
  int64_t frames_out_ = 0;
  InputFaults faults_;
  std::vector<float> clean_, model_frames_, resampled_;
  std::vector<std::vector<float>> in_, out_;  // one block per stream
};

}  // namespace coil::dsp
