// Which loudspeaker each channel is for, and in which order each container has them.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace coil::cli {

// Masks have the bits of WAVEFORMATEXTENSIBLE's dwChannelMask; 0: the channels are for no loudspeaker in particular.
// Inside the program channels lie in WAV's order, that of the bits. [any thread]
using ChannelMask = std::optional<uint32_t>;  // none: not said

struct ChannelLayout {
  ChannelMask mask;
  std::vector<int> order;  // of each channel that comes out of reorder(), where it was; empty: nothing moves

  // Of interleaved frames.
  void reorder(std::span<float> frames) const;
};

// From a file's order to WAV's. Of a file that has no chunks: what Vorbis, Opus and FLAC mean by a number of channels.
// `format` is libsndfile's.
ChannelLayout layout_of_format(int format, int channels);

// Of 'CHAN' in AIFF and 'chan' in CAF; neither mask nor order where it says nothing that is understood.
ChannelLayout layout_of_core_audio(std::span<const uint8_t> chunk, int channels);

// The content of such a chunk that says `mask`.
std::vector<uint8_t> core_audio_layout(uint32_t mask);

// Of the channels of a file of this format, where each lies in WAV's order; empty: as they are.
std::vector<int> order_in_format(int format, int channels, ChannelMask mask);

// What is lost: the format takes the channels for other loudspeakers. Empty: nothing.
std::string layout_loss(int format, int channels, ChannelMask mask);

// A WAV file of several channels says which loudspeakers they are for in its longer header.
int format_with_mask(int format, int channels, ChannelMask mask);

}  // namespace coil::cli
