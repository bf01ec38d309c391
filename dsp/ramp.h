// A value that moves to where it is aimed in a fixed time and without a bend, the same for any blocks; and what is done
// with such values.
#pragma once

#include <algorithm>
#include <span>

#include "dsp/processor.h"

namespace coil::dsp {

// All but the constructor: [audio-thread]. Values must be finite.
class Ramp {
 public:
  explicit Ramp(float value = 0, int length_frames = 1) noexcept
      : target_(value), length_(std::max(1, length_frames)) {}

  void jump(float value) noexcept {
    target_ = value;
    left_ = 0;
  }

  // Sets out from the present value in `wait_frames` frames. Does nothing when it is already aimed there. On the way
  // already, it leaves its course without a bend.
  void aim(float target, int wait_frames = 0) noexcept {
    if (target == target_) return;
    const float from = at(-1), speed = wait_frames > 0 ? 0 : this->speed();
    way_ = from - target;
    speed_ = speed;
    target_ = target;
    left_ = length_ + wait_frames;
  }

  float target() const noexcept { return target_; }
  int frames_left() const noexcept { return left_; }
  bool moving() const noexcept { return left_ > 0; }
  bool rests_at(float value) const noexcept { return left_ == 0 && target_ == value; }

  // The value for the frame-th frame from now; -1: the last one's. Counted back from the target, which is so met
  // exactly.
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
  // Of the last frame, times the length.
  float speed() const noexcept {
    if (left_ == 0 || left_ > length_) return 0;
    const float u = part_left(left_);
    return -u * (6 * way_ * (1 - u) + speed_ * (2 - 3 * u));
  }

  float target_, way_ = 0, speed_ = 0;  // a cubic (Hermite's) from target_ + way_ with speed_ to target_ with none
  int length_, left_ = 0;
};

// samples *= ramp; the ramp stays where it is. [audio-thread]
inline void multiply(std::span<float> samples, const Ramp& ramp) noexcept {
  const int n = static_cast<int>(samples.size());
  if (ramp.moving()) {
    for (int i = 0; i < n; ++i) samples[i] *= ramp.at(i);
  } else if (const float gain = ramp.target(); gain != 1) {
    for (int i = 0; i < n; ++i) samples[i] *= gain;
  }
}

// samples where the ramp is 0, `other` where it is 1, exactly so when it rests there; the ramp stays where it is.
// [audio-thread]
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
