// A model as a real-time audio processor, at any host sample rate.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "dsp/polyphase_resampler.h"
#include "dsp/processor.h"
#include "dsp/sample_faults.h"
#include "ssm/run/stream.h"

namespace coil::dsp {

// The rate that the model was made for; 0: none is stated, and any rate will do.
double sample_rate_hz(const ssm::Model& model);

// How a model meets a host rate that is not its own: as its config's rate_scaling says, with its steps rescaled to the
// host's rate, or at its own rate between two resamplers. model_default and prefer_steps resample where the steps
// cannot be rescaled.
enum class RateMode { model_default, steps, prefer_steps, resample };

// Whether model_for_host() rescales the steps. [any thread]
bool rescales_steps(const ssm::Model& model, double host_hz, RateMode mode);

// The model as it runs for a host of this rate: rescaled to that rate, or as it is. Throws Error when the mode is steps
// and the model or the rate does not allow it. [any thread but the audio thread]
std::shared_ptr<const ssm::Model> model_for_host(const std::shared_ptr<const ssm::Model>& model, double host_hz,
                                                 RateMode mode);

// Throws Error for token models and for models whose output has another number of channels than their input. [any
// thread]
void require_audio_model(const ssm::Model& model);

// The streams that `channels` channels of audio run through, at rest with these controls (none: the card's defaults): a
// model of one channel once per channel, a model of several channels takes exactly so many, interleaved. Throws Error
// if they do not go together. [any thread but the audio thread]
std::vector<ssm::Stream> channel_streams(const std::shared_ptr<const ssm::Model>& model, int channels,
                                         std::span<const float> controls);

// A model on the streams of channel_streams(). Faults at the input are taken as silence, see dsp/sample_faults.h.
class ModelProcessor final : public AudioProcessor {
 public:
  // As require_audio_model. [main-thread]
  explicit ModelProcessor(std::shared_ptr<const ssm::Model> model, RateMode rate_mode = RateMode::model_default);

  const ssm::Model& model() const noexcept { return *model_; }  // as given [any thread]

  void prepare(const ProcessSpec& spec) override;
  void reset() noexcept override;
  void process(AudioBlock block) noexcept override;
  int latency_frames() const noexcept override { return latency_frames_; }

  // After so many frames the resamplers stand to the host's frames as before; 1 without resamplers. Fixed by prepare().
  // [any thread]
  int period_frames() const noexcept { return bridges_.empty() ? 1 : bridges_[0].to_model.down(); }

  // One value per control of the card, in its order and units, clamped to its range. [audio-thread]
  void set_controls(std::span<const float> values) noexcept;

  // As ssm::Stream::watch, of the first channel's stream. [audio-thread]
  void watch(std::span<ssm::LayerActivity> activity) noexcept { streams_[0].watch(activity); }

  // Since prepare(). [audio-thread]
  const InputFaults& input_faults() const noexcept { return faults_; }
  uint64_t restarts() const noexcept override;  // as ssm::Stream counts them

 private:
  // One channel's way to the model's rate and back. `queue` holds what has come back and was not given out yet.
  struct Bridge {
    PolyphaseResampler to_model, from_model;
    std::vector<float> model_frames, queue;
    int queued = 0;
  };

  void run(AudioBlock block) noexcept;  // at the streams' rate
  void run_resampled(AudioBlock block, int begin, int frames) noexcept;

  std::shared_ptr<const ssm::Model> model_;
  RateMode rate_mode_;
  std::vector<ssm::Stream> streams_;
  std::vector<float> controls_;     // as last set; given to the streams that prepare() makes
  std::vector<float> interleaved_;  // only for models of several channels
  std::vector<Bridge> bridges_;     // only when the rates differ
  std::vector<float*> model_channels_;
  int max_block_frames_ = 1;
  int bridge_latency_frames_ = 0;
  int latency_frames_ = 0;
  InputFaults faults_;
};

}  // namespace coil::dsp
