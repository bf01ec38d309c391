// A model on audio, live or over a recording: channels, rate, latency, faults and denormals are handled here.
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

// What the audio is like, and how the model is to meet it.
struct AdapterSpec {
  double sample_rate_hz = 0;
  int channels = 0;                 // a model of one channel runs once per channel; else as many as the model has
  std::span<const float> controls;  // one per control of the card, in its order and units; none: the defaults
  RateMode rate_mode = RateMode::model_default;
};

// Each block in goes through the front end to the model's streams and back. Samples that are faults count as silence,
// see dsp/sample_faults.h; denormals are flushed meanwhile.
class ModelAdapter {
 public:
  // For the audio thread: process() neither allocates nor throws, and the same number of frames comes back, late by
  // latency_frames(). Throws Error when the model cannot take such audio. [any thread but the audio thread]
  static ModelAdapter live(const std::shared_ptr<const ssm::Model>& model, const AdapterSpec& spec, int max_frames);

  // For a whole recording: what comes back is aligned with what went in, at `output_rate_hz`, and comes when it is
  // ready. `executor` runs the model, `block_frames` at once, and may serve other adapters at the same time. Throws
  // Error as above. [any thread but the audio thread]
  static ModelAdapter recording(const std::shared_ptr<const ssm::Model>& model, const AdapterSpec& spec,
                                double output_rate_hz, std::shared_ptr<ssm::Executor> executor, int block_frames);

  // At most max_frames(); the samples may be changed. Returns what is ready, good until the next call, perhaps in the
  // memory of `audio` itself.
  AudioBlock process(AudioBlock audio);
  int max_frames() const noexcept { return front_end_->max_frames(); }

  // All below, of a live one: [audio-thread]
  void reset() noexcept;
  void set_controls(std::span<const float> values) noexcept;  // all of the card's
  // As ssm::Stream::watch, of the first channel's stream.
  void watch(std::span<ssm::LayerActivity> activity) noexcept { streams_[0].watch(activity); }

  int latency_frames() const noexcept { return latency_frames_; }
  // As FrontEnd's.
  int period_frames() const noexcept { return front_end_->period_frames(); }

  // Since construction.
  const InputFaults& input_faults() const noexcept { return faults_; }
  uint64_t restarts() const noexcept;  // as ssm::Stream counts them

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
