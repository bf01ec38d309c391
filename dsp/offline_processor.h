// A model run over a whole recording of any sample rate: the output is aligned with the input and exactly as long, at
// this rate or another one.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "dsp/model_adapter.h"
#include "dsp/recording_processor.h"
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

  const InputFaults& input_faults() const override { return adapter_.input_faults(); }
  uint64_t restarts() const override { return adapter_.restarts(); }

 private:
  AudioBlock run(AudioBlock in) override { return adapter_.process(in); }

  ModelAdapter adapter_;
};

}  // namespace coil::dsp
