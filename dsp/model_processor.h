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

// The rate that the model was trained at. 0: the model states none and accepts any rate.
double sample_rate_hz(const ssm::Model& model);

// What to do if the host's rate differs from the model's. model_default: as the config's rate_scaling says. steps:
// rescale the model's steps to the host's rate. prefer_steps: the same if possible. resample: run the model at its own
// rate between two resamplers. model_default and prefer_steps resample if the steps cannot be rescaled.
enum class RateMode { model_default, steps, prefer_steps, resample };

// True if model_for_host() rescales the steps. [any thread]
bool rescales_steps(const ssm::Model& model, double host_hz, RateMode mode);

// The model to run at this host rate: rescaled to it, or unchanged. Throws Error if the mode is `steps` and the model
// or the rate does not allow it. [any thread but the audio thread]
std::shared_ptr<const ssm::Model> model_for_host(const std::shared_ptr<const ssm::Model>& model, double host_hz,
                                                 RateMode mode);

// Throws Error for token models, and for models with different numbers of input and output channels. [any thread]
void require_audio_model(const ssm::Model& model);

// The streams for `channels` channels of audio, in the settled state for these controls (default: the card's). A model
// of one channel gets one stream per channel. A model of several channels needs exactly that many, interleaved. Throws
// Error if the numbers do not fit. [any thread but the audio thread]
std::vector<ssm::Stream> channel_streams(const std::shared_ptr<const ssm::Model>& model, int channels,
                                         std::span<const float> controls);

// Runs a model on the streams of channel_streams(). Faulty input samples count as silence, see dsp/sample_faults.h.
class ModelProcessor final : public AudioProcessor {
 public:
  // Throws Error as require_audio_model does. [main-thread]
  explicit ModelProcessor(std::shared_ptr<const ssm::Model> model, RateMode rate_mode = RateMode::model_default);

  const ssm::Model& model() const noexcept { return *model_; }  // as passed to the constructor [any thread]

  void prepare(const ProcessSpec& spec) override;
  void reset() noexcept override;
  void process(AudioBlock block) noexcept override;
  int latency_frames() const noexcept override { return latency_frames_; }

  // The alignment of model frames and host frames repeats after this many host frames; 1 without resamplers. Fixed by
  // prepare(). [any thread]
  int period_frames() const noexcept { return bridges_.empty() ? 1 : bridges_[0].to_model.down(); }

  // One value per control of the card, in the card's order and units; values are clamped to the range. [audio-thread]
  void set_controls(std::span<const float> values) noexcept;

  // Watches the first channel's stream, see ssm::Stream::watch. [audio-thread]
  void watch(std::span<ssm::LayerActivity> activity) noexcept { streams_[0].watch(activity); }

  // Counted since prepare(). [audio-thread]
  const InputFaults& input_faults() const noexcept { return faults_; }
  uint64_t restarts() const noexcept override;  // see ssm::Stream

 private:
  // Resampling of one channel to the model's rate and back. `queue` holds resampled output that was not returned yet.
  struct Bridge {
    PolyphaseResampler to_model, from_model;
    std::vector<float> model_frames, queue;
    int queued = 0;
  };

  void run(AudioBlock block) noexcept;  // at the model's rate
  void run_resampled(AudioBlock block, int begin, int frames) noexcept;

  std::shared_ptr<const ssm::Model> model_;
  RateMode rate_mode_;
  std::vector<ssm::Stream> streams_;
  std::vector<float> controls_;     // the latest values; prepare() passes them to the streams
  std::vector<float> interleaved_;  // only for models of several channels
  std::vector<Bridge> bridges_;     // only when the rates differ
  std::vector<float*> model_channels_;
  int max_block_frames_ = 1;
  int bridge_latency_frames_ = 0;
  int latency_frames_ = 0;
  InputFaults faults_;
};

}  // namespace coil::dsp
