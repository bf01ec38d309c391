// The interface of all real-time audio processors, and the block of audio that they process.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace coil::dsp {

// A view of some frames: one pointer per channel, all of equal length.
struct AudioBlock {
  float* const* channels = nullptr;
  int channel_count = 0;
  int frames = 0;

  std::span<float> channel(int index) const noexcept { return {channels[index], static_cast<size_t>(frames)}; }
};

struct ProcessSpec {
  double sample_rate_hz = 0;
  int max_block_frames = 0;
  int channels = 0;
};

// Calls `process` with one piece of the block after another, each of at most `max_frames`. 1 or 2 channels.
// [audio-thread]
void in_pieces(AudioBlock block, int max_frames, auto&& process) {
  std::array<float*, 2> channels{};
  for (int begin = 0; begin < block.frames; begin += max_frames) {
    for (int c = 0; c < block.channel_count; ++c) channels[static_cast<size_t>(c)] = block.channels[c] + begin;
    process(AudioBlock{channels.data(), block.channel_count, std::min(max_frames, block.frames - begin)});
  }
}

class AudioProcessor {
 public:
  virtual ~AudioProcessor() = default;

  // Allocates all memory that process() needs, and resets. Throws Error if the processor does not support the spec.
  // [main-thread]
  virtual void prepare(const ProcessSpec& spec) = 0;

  // Clears the signal memory, keeps the settings. [audio-thread]
  virtual void reset() noexcept = 0;

  // In place. Any number of frames, also 0 and more than announced; the announced number of channels. [audio-thread]
  virtual void process(AudioBlock block) noexcept = 0;

  // The delay of the output relative to the input; fixed by prepare(). [any thread]
  virtual int latency_frames() const noexcept = 0;

  // The delay of what process() plays now; differs from latency_frames() only while a change is on its way to the audio
  // thread. [audio-thread]
  virtual int current_latency_frames() const noexcept { return latency_frames(); }
  // What the latency may become without another prepare(). [any thread]
  virtual int max_latency_frames() const noexcept { return latency_frames(); }

  // Told before each block: what a sine at full scale is at the input, in dBu; empty: unknown. Returns the same for the
  // output. [audio-thread]
  virtual std::optional<float> follow_level(std::optional<float> full_scale_dbu) noexcept { return full_scale_dbu; }

  // How often models inside overflowed and were restarted since prepare(). [audio-thread]
  virtual uint64_t restarts() const noexcept { return 0; }
};

}  // namespace coil::dsp
