// A ModelProcessor that stops running while nothing changes: once silence has settled the model, its output is held.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>

#include "dsp/audio_buffer.h"
#include "dsp/model_processor.h"

namespace coil::dsp {

// The model falls asleep when its input has been exactly 0, and its output has stayed within kStill of one value, for
// kStillMs. By then it has reached its fixed point, up to an inaudible difference. A non-zero input frame or a change
// of a control wakes it. Between resamplers, it then gets as much silence as brings the resamplers into the right
// phase.
class SleepingModel {
 public:
  static constexpr int kStillMs = 500;
  static constexpr float kStill = 1e-7f;         // -140 dBFS; the rounding error of a settled output of 1 is smaller
  static constexpr int kMaxPeriodFrames = 1024;  // a model between resamplers with a longer period does not sleep

  // 1 or 2 channels; controls as in ModelProcessor (default: the card's). Throws Error. [main-thread]
  SleepingModel(std::shared_ptr<const ssm::Model> model, const ProcessSpec& spec, std::span<const float> controls,
                RateMode rate_mode = RateMode::model_default);

  int latency_frames() const noexcept { return processor_.latency_frames(); }

  // All functions below are [audio-thread]. The rack has flushed denormals and dropped faults.
  void reset() noexcept;
  void set_controls(std::span<const float> values) noexcept;
  void process(AudioBlock block) noexcept;
  void watch(std::span<ssm::LayerActivity> activity) noexcept {
    processor_.watch(activity);
  }  // nothing is written while asleep

  bool asleep() const noexcept { return asleep_; }
  uint64_t frames_run() const noexcept { return frames_run_; }  // frames run by the model since construction
  uint64_t restarts() const noexcept { return processor_.restarts(); }

 private:
  void run(AudioBlock block) noexcept;
  void wake() noexcept;

  ModelProcessor processor_;
  AudioBuffer missed_;  // one period of input
  int frames_to_sleep_;
  int still_frames_ = 0;  // frames without input and with the output within kStill of anchor_
  std::array<float, 2> anchor_{};
  std::array<float, 2> last_{};  // the last output frame, which is held while asleep
  bool asleep_ = false;
  int slept_frames_ = 0;  // modulo the period
  uint64_t frames_run_ = 0;
};

}  // namespace coil::dsp
