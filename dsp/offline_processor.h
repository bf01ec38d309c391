// Runs a model over a whole recording of any sample rate. The output is aligned with the input and has the same
// duration, at the same or another rate.
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
  // `controls`: one value per control of the card, in its order and units; default: the card's. `block_frames`: frames
  // per call of the model, at the rate at which the model runs. `executor` runs the model and may serve other
  // recordings at the same time; default: in blocks on the calling thread. `output_rate_hz`: the output's rate; 0: the
  // input's. Throws Error if the model cannot process such audio.
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
