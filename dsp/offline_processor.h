// A model run over a whole recording of any sample rate: the output is aligned with the input and exactly as long, at
// this rate or another one.
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
  // `controls`: one value per control of the card, in its order and units; none: the defaults. `block_frames`: how many
  // frames at the rate that the model runs at it is given at once. `executor` runs the model, and may serve other
  // recordings at the same time; none: block by block on the calling thread. `output_rate_hz`: the output's rate; 0:
  // the input's. Throws Error when the model cannot take such audio.
  OfflineProcessor(const std::shared_ptr<const ssm::Model>& model, double sample_rate_hz, int channels,
                   int block_frames, std::span<const float> controls = {}, RateMode rate_mode = RateMode::model_default,
                   std::shared_ptr<ssm::Executor> executor = nullptr, double output_rate_hz = 0);

  void process(std::span<const float> in, std::vector<float>& out) override;
  // So that output_frames() of those that went in have come out.
  void finish(std::vector<float>& out) override;

  // How many frames come out for so many: as many, or the nearest number of frames that last as long at the output's
  // rate.
  static int64_t output_frames(int64_t frames, double sample_rate_hz, double output_rate_hz);

  const InputFaults& input_faults() const override { return faults_; }
  uint64_t restarts() const override;

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
