// A model as an audio processor, at the model's own sample rate.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "dsp/processor.h"
#include "ssm/stream.h"

namespace coil::dsp {

// The rate that the model was made for; 0: none is stated, and any rate will do.
double sample_rate_hz(const ssm::Model& model);

// A model of one channel runs once per channel, each with a state of its own; a model of several channels takes exactly so many.
class ModelProcessor final : public AudioProcessor {
 public:
  // Throws ssm::Error for token models and for models whose output has another number of channels than their input. [main-thread]
  explicit ModelProcessor(std::shared_ptr<const ssm::Model> model);

  // The rate must be the model's, where it states one. [main-thread]
  void prepare(const ProcessSpec& spec) override;
  void reset() noexcept override;
  void process(AudioBlock block) noexcept override;
  int latency_frames() const noexcept override;

  // One value per control of the card, in its order and units, clamped to its range. [audio-thread]
  void set_controls(std::span<const float> values) noexcept;

  // Since prepare(): samples that were NaN or infinite and were taken as 0, and how often a state that had become non-finite was
  // cleared. [audio-thread]
  int64_t non_finite_samples() const noexcept { return non_finite_samples_; }
  int64_t state_resets() const noexcept { return state_resets_; }

 private:
  void run(ssm::Stream& stream, std::span<float> frames) noexcept;

  std::shared_ptr<const ssm::Model> model_;
  std::vector<ssm::Stream> streams_;
  std::vector<float> interleaved_;  // only for models of several channels
  std::vector<float> controls_;     // as last set; given to the streams that prepare() makes
  int max_block_frames_ = 0;
  int64_t non_finite_samples_ = 0;
  int64_t state_resets_ = 0;
};

// Replaces NaN and infinity by 0; returns how many there were. [audio-thread]
int64_t replace_non_finite(std::span<float> samples) noexcept;

}  // namespace coil::dsp
