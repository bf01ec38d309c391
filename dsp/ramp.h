// A value that moves smoothly to its target in a fixed time, independently of block sizes; and operations with such
// values.
#pragma once

#include <algorithm>
#include <span>

#include "dsp/processor.h"

namespace coil::dsp {

// All functions but the constructor are [audio-thread]. Values must be finite.
class Ramp {
 public:
  explicit Ramp(float value = 0, int length_frames = 1) noexcept
      : target_(value), length_(std::max(1, length_frames)) {}

  void jump(float value) noexcept {
    target_ = value;
    left_ = 0;
  }

  // Starts to move to `target` after `wait_frames` frames. Does nothing if that is already the target. A value that is
  // moving keeps its speed at first, so that its curve has no corner.
  void aim(float target, int wait_frames = 0) noexcept {
    if (target == target_) return;
    const float from = at(-1), speed = wait_frames > 0 ? 0 : this->speed();
    way_ = from - target;
    speed_ = speed;
    target_ = target;
    left_ = length_ + wait_frames;
  }

  void set(float target, bool at_once) noexcept {
    if (at_once) {
      jump(target);
    } else {
      aim(target);
    }
  }

  float target() const noexcept { return target_; }
  int frames_left() const noexcept { return left_; }
  bool moving() const noexcept { return left_ > 0; }
  bool rests_at(float value) const noexcept { return left_ == 0 && target_ == value; }

  // The value at a future frame; -1 is the last frame processed. Computed backwards from the target, so that the target
  // is reached exactly.
  float at(int frame) const noexcept {
    if (left_ == 0) return target_;
    const float u = part_left(left_ - 1 - frame);
    return target_ + u * u * (way_ * (3 - 2 * u) + speed_ * (1 - u));
  }
  void advance(int frames) noexcept { left_ = std::max(0, left_ - frames); }

 private:
  float part_left(int frames) const noexcept {
    return static_cast<float>(std::clamp(frames, 0, length_)) / static_cast<float>(length_);
  }
  // At the last frame, times the length.
  float speed() const noexcept {
    if (left_ == 0 || left_ > length_) return 0;
    const float u = part_left(left_);
    return -u * (6 * way_ * (1 - u) + speed_ * (2 - 3 * u));
  }

  float target_, way_ = 0, speed_ = 0;  // a cubic Hermite curve from target_ + way_ to target_
  int length_, left_ = 0;
};

// samples *= ramp. Does not advance the ramp. [audio-thread]
inline void multiply(std::span<float> samples, const Ramp& ramp) noexcept {
  const int n = static_cast<int>(samples.size());
  if (ramp.moving()) {
    for (int i = 0; i < n; ++i) samples[i] *= ramp.at(i);
  } else if (const float gain = ramp.target(); gain != 1) {
    for (int i = 0; i < n; ++i) samples[i] *= gain;
  }
}

// Cross-fades from `samples` (ramp 0) to `other` (ramp 1), exact at both ends while the ramp is constant. Does not
// advance the ramp. [audio-thread]
inline void cross_fade(std::span<float> samples, std::span<const float> other, const Ramp& ramp) noexcept {
  const int n = static_cast<int>(samples.size());
  if (ramp.rests_at(0)) return;
  if (ramp.rests_at(1)) {
    std::copy(other.begin(), other.end(), samples.begin());
  } else {
    for (int i = 0; i < n; ++i) samples[i] += ramp.at(i) * (other[i] - samples[i]);
  }
}

}  // namespace coil::dsp
