// A chain of audio processors. Each can be bypassed and mixed with its input without a click. Latencies add up.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "dsp/audio_buffer.h"
#include "dsp/delay_line.h"
#include "dsp/processor.h"
#include "dsp/ramp.h"

namespace coil::dsp {

// One processor of a chain and its settings.
struct Stage {
  std::string name;  // for people
  std::unique_ptr<AudioProcessor> processor;
  float mix = 1;  // 0: only the input, delayed like the output; 1: only the output
  bool bypassed = false;
};

// For 1 or 2 channels. A bypassed stage keeps running, so that its memory is up to date when it is switched on again.
class Chain final : public AudioProcessor {
 public:
  explicit Chain(std::vector<Stage> stages);

  // Throws Error that names the stage. [main-thread]
  void prepare(const ProcessSpec& spec) override;
  void reset() noexcept override;
  void process(AudioBlock block) noexcept override;
  int latency_frames() const noexcept override { return latency_frames_; }
  uint64_t restarts() const noexcept override;

  size_t size() const noexcept { return stages_.size(); }
  AudioProcessor& processor(size_t stage) noexcept { return *stages_[stage].processor; }

  // Reaches the new value within kRampMs. [audio-thread]
  void set_mix(size_t stage, float mix) noexcept;
  void set_bypassed(size_t stage, bool bypassed) noexcept;

  static constexpr float kRampMs = 20;

 private:
  // The bypass and mix path around one stage.
  struct Around {
    Ramp dryness;                   // 1: only the input is heard
    std::vector<DelayLine> delays;  // one per channel, as long as the processor's latency
  };

  void aim(size_t stage) noexcept;

  std::vector<Stage> stages_;
  std::vector<Around> around_;
  AudioBuffer dry_;
  int max_block_frames_ = 1;
  int latency_frames_ = 0;
};

}  // namespace coil::dsp
