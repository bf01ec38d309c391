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

// Runs a live ModelAdapter, which prepare() makes, on blocks of any size.
class ModelProcessor final : public AudioProcessor {
 public:
  // Throws Error as require_audio_model does. [main-thread]
  explicit ModelProcessor(std::shared_ptr<const ssm::Model> model, RateMode rate_mode = RateMode::model_default);

  const ssm::Model& model() const noexcept { return *model_; }  // as passed to the constructor [any thread]

  void prepare(const ProcessSpec& spec) override;
  void reset() noexcept override;
  void process(AudioBlock block) noexcept override;
  // process() for callers that have flushed denormals and dropped faults themselves. [audio-thread]
  void process_clean(AudioBlock block) noexcept;
  int latency_frames() const noexcept override { return adapter_ ? adapter_->latency_frames() : 0; }

  // The alignment of model frames and host frames repeats after this many host frames; 1 without resamplers. Fixed by
  // prepare(). [any thread]
  int period_frames() const noexcept { return adapter_->period_frames(); }

  // One value per control of the card, in the card's order and units; values are clamped to the range. [audio-thread]
  void set_controls(std::span<const float> values) noexcept;

  // Watches the first channel's stream, see ssm::Stream::watch. [audio-thread]
  void watch(std::span<ssm::LayerActivity> activity) noexcept { adapter_->watch(activity); }

  // Counted since prepare(). [audio-thread]
  const InputFaults& input_faults() const noexcept { return adapter_->input_faults(); }
  uint64_t restarts() const noexcept override { return adapter_ ? adapter_->restarts() : 0; }

 private:
  template <AudioBlock (ModelAdapter::*kProcess)(AudioBlock)>
  void process_pieces(AudioBlock block) noexcept;

  std::shared_ptr<const ssm::Model> model_;
  RateMode rate_mode_;
  std::vector<float> controls_;  // the latest values; prepare() passes them to the adapter
  std::optional<ModelAdapter> adapter_;
  std::vector<float*> channels_;
};

}  // namespace coil::dsp
