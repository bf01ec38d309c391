// A processor's own buffer of frames, and the block that views it.
#pragma once

#include <array>
#include <vector>

#include "dsp/processor.h"

namespace coil::dsp {

// 1 or 2 channels.
class AudioBuffer {
 public:
  AudioBuffer() = default;
  // [main-thread]
  AudioBuffer(int channels, int max_frames)
      : channels_(static_cast<size_t>(channels), std::vector<float>(static_cast<size_t>(max_frames))) {}

  // The first `frames` frames. Valid until the next call. [audio-thread]
  AudioBlock block(int frames) noexcept {
    for (size_t c = 0; c < channels_.size(); ++c) pointers_[c] = channels_[c].data();
    return {pointers_.data(), static_cast<int>(channels_.size()), frames};
  }

 private:
  std::vector<std::vector<float>> channels_;
  std::array<float*, 2> pointers_{};
};

}  // namespace coil::dsp
