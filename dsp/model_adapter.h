// Runs a model on audio, live or over a recording. Handles channels, rate, latency, faults and denormals.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "dsp/front_end.h"
#include "dsp/processor.h"
#include "dsp/sample_faults.h"
#include "ssm/run/executor.h"
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

// The audio, and how to run the model on it.
struct AdapterSpec {
  double sample_rate_hz = 0;
  int channels = 0;                 // a model of one channel runs once per channel; a wider model needs its own number
  std::span<const float> controls;  // one per control, in the card's order and units; empty: the card's defaults
  RateMode rate_mode = RateMode::model_default;
};

// Audio passes through the front end to the model's streams and back. Faulty input samples count as silence, see
// dsp/sample_faults.h. Denormals are flushed during process().
class ModelAdapter {
 public:
  // For the audio thread: process() does not allocate or throw, and returns as many frames as it gets, delayed by
  // latency_frames(). Throws Error if the model does not support the spec. [any thread but the audio thread]
  static ModelAdapter live(const std::shared_ptr<const ssm::Model>& model, const AdapterSpec& spec, int max_frames);

  // For a whole recording: the output is aligned with the input, at `output_rate_hz`, and comes when it is ready.
  // `executor` runs the model, `block_frames` at a time, and may serve other adapters at the same time. Throws Error as
  // live() does. [any thread but the audio thread]
  static ModelAdapter recording(const std::shared_ptr<const ssm::Model>& model, const AdapterSpec& spec,
                                double output_rate_hz, std::shared_ptr<ssm::Executor> executor, int block_frames);

  // Takes at most max_frames() and may overwrite them. Returns the frames that are ready. They are valid until the next
  // call, and may lie in the memory of `audio`.
  AudioBlock process(AudioBlock audio);
  // process() for callers that have flushed denormals and dropped faults themselves.
  AudioBlock process_clean(AudioBlock audio);
  int max_frames() const noexcept { return front_end_->max_frames(); }

  // All below, for live(): [audio-thread]
  void reset() noexcept;
  void set_controls(std::span<const float> values) noexcept;  // one per control of the card
  // Watches the first channel's stream, see ssm::Stream::watch.
  void watch(std::span<ssm::LayerActivity> activity) noexcept { streams_[0].watch(activity); }

  int latency_frames() const noexcept { return latency_frames_; }
  // See FrontEnd.
  int period_frames() const noexcept { return front_end_->period_frames(); }

  // Counted since construction.
  const InputFaults& input_faults() const noexcept { return faults_; }
  uint64_t restarts() const noexcept;  // see ssm::Stream

 private:
  ModelAdapter(std::unique_ptr<FrontEnd> front_end, const std::shared_ptr<const ssm::Model>& model,
               const AdapterSpec& spec, std::shared_ptr<ssm::Executor> executor, int block_frames);

  void run(AudioBlock frames);          // at the model's rate, in place
  void run_streams(AudioBlock values);  // a channel of values for each stream, at most block_frames_ frames

  std::unique_ptr<FrontEnd> front_end_;
  std::vector<ssm::Stream> streams_;  // one for all channels of a wide model, else one per channel
  bool wide_;
  std::shared_ptr<ssm::Executor> executor_;  // none: live
  int block_frames_;
  int latency_frames_ = 0;
  std::vector<float> interleaved_;       // of a wide model
  std::vector<std::vector<float>> out_;  // an executor's, of each stream
  std::vector<ssm::Stretch> stretches_;
  std::vector<float*> pointers_;
  InputFaults faults_;
};

}  // namespace coil::dsp
