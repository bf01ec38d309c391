// A model as a real-time audio processor, at any host sample rate.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "dsp/model_adapter.h"
#include "dsp/processor.h"

namespace coil::dsp {

// A live ModelAdapter that is made by prepare(), and blocks of any size.
class ModelProcessor final : public AudioProcessor {
 public:
  // As require_audio_model. [main-thread]
  explicit ModelProcessor(std::shared_ptr<const ssm::Model> model, RateMode rate_mode = RateMode::model_default);

  const ssm::Model& model() const noexcept { return *model_; }  // as given [any thread]

  void prepare(const ProcessSpec& spec) override;
  void reset() noexcept override;
  void process(AudioBlock block) noexcept override;
  int latency_frames() const noexcept override { return adapter_ ? adapter_->latency_frames() : 0; }

  // After so many frames the resamplers stand to the host's frames as before; 1 without resamplers. Fixed by prepare().
  // [any thread]
  int period_frames() const noexcept { return adapter_->period_frames(); }

  // One value per control of the card, in its order and units, clamped to its range. [audio-thread]
  void set_controls(std::span<const float> values) noexcept;

  // As ssm::Stream::watch, of the first channel's stream. [audio-thread]
  void watch(std::span<ssm::LayerActivity> activity) noexcept { adapter_->watch(activity); }

  // Since prepare(). [audio-thread]
  const InputFaults& input_faults() const noexcept { return adapter_->input_faults(); }
  uint64_t restarts() const noexcept override { return adapter_ ? adapter_->restarts() : 0; }

 private:
  std::shared_ptr<const ssm::Model> model_;
  RateMode rate_mode_;
  std::vector<float> controls_;  // as last set; given to the adapter that prepare() makes
  std::optional<ModelAdapter> adapter_;
  std::vector<float*> channels_;
};

}  // namespace coil::dsp
