// The way from audio to a model's frames and back: none, or a change of the sample rate.
#pragma once

#include <limits>
#include <memory>
#include <optional>
#include <vector>

#include "dsp/polyphase_resampler.h"
#include "dsp/processor.h"
#include "dsp/resampler.h"

namespace coil::dsp {

// Each to_model() is answered by one from_model() with the model's output for what it gave. Blocks that are returned
// may be written to, and are good until the next call. Channels are independent of each other. One thread at a time.
class FrontEnd {
 public:
  virtual ~FrontEnd() = default;

  // At most max_frames() of audio; returns the model's frames that are ready by then.
  virtual AudioBlock to_model(AudioBlock audio) = 0;
  // Returns the audio that is ready by then.
  virtual AudioBlock from_model(AudioBlock frames) = 0;
  virtual void reset() = 0;  // forgets the signal

  virtual int max_frames() const noexcept { return std::numeric_limits<int>::max(); }
  virtual int max_model_frames() const noexcept { return max_frames(); }  // of one to_model()
  // How many frames the audio that comes back lies behind the audio that went in, were the model's output its input.
  virtual int latency_frames() const noexcept { return 0; }
  // After so many frames the front end stands to the host's frames as before.
  virtual int period_frames() const noexcept { return 1; }
};

// The model's frames are the audio itself.
class NoFrontEnd final : public FrontEnd {
 public:
  AudioBlock to_model(AudioBlock audio) noexcept override { return audio; }
  AudioBlock from_model(AudioBlock frames) noexcept override { return frames; }
  void reset() noexcept override {}
};

// For the audio thread, on which it neither allocates nor throws: as many frames come back as went in, late by
// latency_frames().
class LiveResampling final : public FrontEnd {
 public:
  // Throws Error as PolyphaseResampler. [main-thread]
  LiveResampling(double host_hz, double model_hz, int max_frames, int channels);

  AudioBlock to_model(AudioBlock audio) noexcept override;
  AudioBlock from_model(AudioBlock frames) noexcept override;
  void reset() noexcept override;
  int max_frames() const noexcept override { return max_frames_; }
  int max_model_frames() const noexcept override { return channels_[0].to_model.max_frames_out(); }
  int latency_frames() const noexcept override { return latency_frames_; }
  int period_frames() const noexcept override { return channels_[0].to_model.down(); }

 private:
  // `queue` holds what has come back: first what was given out last, then what was not given out yet.
  struct Channel {
    PolyphaseResampler to_model, from_model;
    std::vector<float> model_frames, queue;
  };

  int max_frames_;
  int latency_frames_ = 0;
  int asked_ = 0;               // frames that the present to_model() took
  int given_ = 0, queued_ = 0;  // frames of each queue
  std::vector<Channel> channels_;
  std::vector<float*> model_pointers_, queue_pointers_;
};

// For whole recordings: frame k of what comes back belongs to the time of frame k of what went in, perhaps at another
// rate. Between unequal rates it comes some hundreds of frames later. Allocates as blocks need.
class RecordingFrontEnd final : public FrontEnd {
 public:
  // `latency_frames`: how late the model's output is; so many of its first frames are left out. Throws Error as
  // Resampler.
  RecordingFrontEnd(double host_hz, double model_hz, double output_hz, int channels, int latency_frames);

  AudioBlock to_model(AudioBlock audio) override { return convert(to_model_, audio); }
  AudioBlock from_model(AudioBlock frames) override { return convert(from_model_, without_latency(frames)); }
  void reset() override;

 private:
  AudioBlock without_latency(AudioBlock frames) noexcept;
  AudioBlock convert(std::optional<Resampler>& resampler, AudioBlock block);

  std::optional<Resampler> to_model_, from_model_;  // none: the rates are equal
  int model_latency_frames_;
  int early_frames_;  // of them are still to come
  std::vector<float> interleaved_, resampled_;
  std::vector<std::vector<float>> planes_;
  std::vector<float*> pointers_;
};

}  // namespace coil::dsp
