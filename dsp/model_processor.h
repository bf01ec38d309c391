// A model as a real-time audio processor, at any host sample rate.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "dsp/polyphase_resampler.h"
#include "dsp/processor.h"
#include "ssm/stream.h"

namespace coil::dsp {

// The rate that the model was made for; 0: none is stated, and any rate will do.
double sample_rate_hz(const ssm::Model& model);

// A model of one channel runs once per channel, each with a state of its own; a model of several channels takes exactly so many.
// Where the host's rate is not the model's, the model keeps its own, between two resamplers.
class ModelProcessor final : public AudioProcessor {
 public:
  // Throws ssm::Error for token models and for models whose output has another number of channels than their input. [main-thread]
  explicit ModelProcessor(std::shared_ptr<const ssm::Model> model);

  void prepare(const ProcessSpec& spec) override;
  void reset() noexcept override;
  void process(AudioBlock block) noexcept override;
  int latency_frames() const noexcept override { return latency_frames_; }

  // One value per control of the card, in its order and units, clamped to its range. [audio-thread]
  void set_controls(std::span<const float> values) noexcept;

  // As ssm::Stream::watch, of the first channel's stream. [audio-thread]
  void watch(std::span<ssm::LayerActivity> activity) noexcept { streams_[0].watch(activity); }

  // Since prepare(), as ssm::Stream counts them. [audio-thread]
  uint64_t non_finite_inputs() const noexcept;
  uint64_t restarts() const noexcept;

 private:
  // One channel's way to the model's rate and back. `queue` holds what has come back and was not given out yet.
  struct Bridge {
    PolyphaseResampler to_model, from_model;
    std::vector<float> model_frames, queue;
    int queued = 0;
  };

  void run(AudioBlock block) noexcept;                        // at the model's rate
  void run_resampled(AudioBlock block, int begin, int frames) noexcept;

  std::shared_ptr<const ssm::Model> model_;
  std::vector<ssm::Stream> streams_;
  std::vector<float> controls_;     // as last set; given to the streams that prepare() makes
  std::vector<float> interleaved_;  // only for models of several channels
  std::vector<Bridge> bridges_;     // only when the rates differ
  std::vector<float*> model_channels_;
  int max_block_frames_ = 1;
  int bridge_latency_frames_ = 0;
  int latency_frames_ = 0;
  uint64_t non_finite_inputs_ = 0;  // replaced before the resampler
};

}  // namespace coil::dsp
