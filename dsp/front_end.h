// Converts audio to a model's frames and back: unchanged, or resampled.
#pragma once

#include <limits>
#include <memory>
#include <optional>
#include <vector>

#include "dsp/polyphase_resampler.h"
#include "dsp/processor.h"
#include "dsp/resampler.h"

namespace coil::dsp {

// Every to_model() is followed by one from_model(), which takes the model's output for the same frames. Returned blocks
// may be overwritten, and are valid until the next call. One thread at a time.
class FrontEnd {
 public:
  virtual ~FrontEnd() = default;

  // Takes at most max_frames(). Returns the model's frames that are ready.
  virtual AudioBlock to_model(AudioBlock audio) = 0;
  // Returns the audio that is ready.
  virtual AudioBlock from_model(AudioBlock frames) = 0;
  virtual void reset() = 0;  // clears the signal memory

  virtual int max_frames() const noexcept { return std::numeric_limits<int>::max(); }
  virtual int max_model_frames() const noexcept { return max_frames(); }  // the most that one to_model() returns
  // The delay of the returned audio relative to the audio taken, for a model without latency.
  virtual int latency_frames() const noexcept { return 0; }
  // The alignment of model frames and host frames repeats after this many host frames.
  virtual int period_frames() const noexcept { return 1; }
};

// The model's frames are the audio itself.
class NoFrontEnd final : public FrontEnd {
 public:
  AudioBlock to_model(AudioBlock audio) noexcept override { return audio; }
  AudioBlock from_model(AudioBlock frames) noexcept override { return frames; }
  void reset() noexcept override {}
};

// For the audio thread: does not allocate or throw there, and returns as many frames as it takes.
class LiveResampling final : public FrontEnd {
 public:
  // Throws Error as PolyphaseResampler does. [main-thread]
  LiveResampling(double host_hz, double model_hz, int max_frames, int channels);

  AudioBlock to_model(AudioBlock audio) noexcept override;
  AudioBlock from_model(AudioBlock frames) noexcept override;
  void reset() noexcept override;
  int max_frames() const noexcept override { return max_frames_; }
  int max_model_frames() const noexcept override { return channels_[0].to_model.max_frames_out(); }
  int latency_frames() const noexcept override { return latency_frames_; }
  int period_frames() const noexcept override { return channels_[0].to_model.down(); }

 private:
  // `queue` holds resampled output: the frames returned last, then those not returned yet.
  struct Channel {
    PolyphaseResampler to_model, from_model;
    std::vector<float> model_frames, queue;
  };

  int max_frames_;
  int latency_frames_ = 0;
  int asked_ = 0;               // frames that the last to_model() took
  int given_ = 0, queued_ = 0;  // frames in each queue: returned; all
  std::vector<Channel> channels_;
  std::vector<float*> model_pointers_, queue_pointers_;
};

// For whole recordings: output and input begin at the same time, so the output needs no alignment. It may have another
// rate. Resampled output comes some hundreds of frames later than its input. Not for the audio thread.
class RecordingFrontEnd final : public FrontEnd {
 public:
  // `latency_frames`: the model's; from_model() leaves out that many frames at the beginning. Throws Error as Resampler
  // does.
  RecordingFrontEnd(double host_hz, double model_hz, double output_hz, int channels, int latency_frames);

  AudioBlock to_model(AudioBlock audio) override { return convert(to_model_, audio); }
  AudioBlock from_model(AudioBlock frames) override { return convert(from_model_, without_latency(frames)); }
  void reset() override;

 private:
  AudioBlock without_latency(AudioBlock frames) noexcept;
  AudioBlock convert(std::optional<Resampler>& resampler, AudioBlock block);

  std::optional<Resampler> to_model_, from_model_;  // none: the rates are equal
  int model_latency_frames_;
  int early_frames_;  // still to be left out
  std::vector<float> interleaved_, resampled_;
  std::vector<std::vector<float>> planes_;
  std::vector<float*> pointers_;
};

}  // namespace coil::dsp
