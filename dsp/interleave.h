// Conversion between interleaved frames (files, models) and separate channels (audio processors).
#pragma once

#include <cstddef>

#include "dsp/processor.h"

namespace coil::dsp {

// `frames`: (block.frames, block.channel_count). [audio-thread]
inline void interleave(AudioBlock block, float* frames) noexcept {
  const size_t width = static_cast<size_t>(block.channel_count);
  for (size_t c = 0; c < width; ++c)
    for (int i = 0; i < block.frames; ++i) frames[static_cast<size_t>(i) * width + c] = block.channels[c][i];
}
inline void separate(const float* frames, AudioBlock block) noexcept {
  const size_t width = static_cast<size_t>(block.channel_count);
  for (size_t c = 0; c < width; ++c)
    for (int i = 0; i < block.frames; ++i) block.channels[c][i] = frames[static_cast<size_t>(i) * width + c];
}

}  // namespace coil::dsp
