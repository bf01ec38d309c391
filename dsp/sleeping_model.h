// A ModelProcessor that does not run while nothing changes: after silence has brought the model to rest, its output is
// held.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>

#include "dsp/audio_buffer.h"
#include "dsp/model_processor.h"

namespace coil::dsp {

// The model falls asleep when its input has been exactly 0, and its output has kept within kStill of one value, for
// kStillMs: by then it is at its fixed point, or so close that no one hears what is left. The first frame that is not
// 0, or a control that moves, wakes it; between resamplers it then hears as much of the silence as brings them to where
// they would be.
class SleepingModel {
 public:
  static constexpr int kStillMs = 500;
  static constexpr float kStill = 1e-7f;         // -140 dBFS; rounding moves a resting output of 1 by less
  static constexpr int kMaxPeriodFrames = 1024;  // a model between resamplers of a longer period does not sleep

  // Of 1 or 2 channels; as ModelProcessor, with controls (none: the card's defaults). Throws Error. [main-thread]
  SleepingModel(std::shared_ptr<const ssm::Model> model, const ProcessSpec& spec, std::span<const float> controls,
                RateMode rate_mode = RateMode::model_default);

  int latency_frames() const noexcept { return processor_.latency_frames(); }

  // All below: [audio-thread]
  void reset() noexcept;
  void set_controls(std::span<const float> values) noexcept;
  void process(AudioBlock block) noexcept;
  void watch(std::span<ssm::LayerActivity> activity) noexcept {
    processor_.watch(activity);
  }  // asleep, nothing is written

  bool asleep() const noexcept { return asleep_; }
  uint64_t frames_run() const noexcept { return frames_run_; }  // by the model, since construction
  uint64_t restarts() const noexcept { return processor_.restarts(); }

 private:
  void run(AudioBlock block) noexcept;
  void wake() noexcept;

  ModelProcessor processor_;
  AudioBuffer missed_;  // of one period
  int frames_to_sleep_;
  int still_frames_ = 0;  // without input, output within kStill of anchor_
  std::array<float, 2> anchor_{};
  std::array<float, 2> last_{};  // the output's last frame, which is held in sleep
  bool asleep_ = false;
  int slept_frames_ = 0;  // within a period
  uint64_t frames_run_ = 0;
};

}  // namespace coil::dsp
