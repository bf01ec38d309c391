// Runs a model over a whole recording of any sample rate. The output is aligned with the input and has the same
// duration, at the same or another rate.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "dsp/model_processor.h"
#include "dsp/recording_processor.h"
#include "dsp/resampler.h"
#include "ssm/run/executor.h"

namespace coil::dsp {

class OfflineProcessor final : public RecordingProcessor {
 public:
  // `controls`: one value per control of the card, in its order and units; default: the card's. `block_frames`: frames
  // per call of the model, at the rate at which the model runs. `executor` runs the model and may serve other
  // recordings at the same time; default: in blocks on the calling thread. `output_rate_hz`: the output's rate; 0: the
  // input's. Throws Error if the model cannot process such audio.
  OfflineProcessor(const std::shared_ptr<const ssm::Model>& model, double sample_rate_hz, int channels,
                   int block_frames, std::span<const float> controls = {}, RateMode rate_mode = RateMode::model_default,
                   std::shared_ptr<ssm::Executor> executor = nullptr, double output_rate_hz = 0);

  void process(std::span<const float> in, std::vector<float>& out) override;
  // Completes the output: output_frames() of all input frames.
  void finish(std::vector<float>& out) override;

  // The number of output frames for `frames` input frames: the same duration at the output's rate, rounded to whole
  // frames.
  static int64_t output_frames(int64_t frames, double sample_rate_hz, double output_rate_hz);

  const InputFaults& input_faults() const override { return faults_; }
  uint64_t restarts() const override;

 private:
  void run(std::span<const float> in, std::vector<float>& out);
  void run_model();  // in place on model_frames_

  std::shared_ptr<ssm::Executor> executor_;
  std::vector<ssm::Stream> streams_;
  std::optional<Resampler> to_model_, from_model_;  // empty if the rates are equal
  double sample_rate_hz_, output_rate_hz_;
  int channels_;
  int block_frames_;
  int64_t latency_left_;  // frames of latency still to be removed from the begin of the model's output
  int64_t frames_in_ = 0;
  int64_t frames_out_ = 0;
  InputFaults faults_;
  std::vector<float> clean_, model_frames_, resampled_;
  std::vector<std::vector<float>> in_, out_;  // one block per stream
};

}  // namespace coil::dsp
