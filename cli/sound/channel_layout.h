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

inline constexpr int kFirstSurround = 3;  // the least number of channels of which a layout must be said

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

// ALAC has an order of its own, whatever is `said` by 'chan', unless that names other loudspeakers than ALAC has. Other
// formats: what is said.
ChannelLayout layout_of_alac(int format, int channels, const ChannelLayout& said);

// The content of such a chunk that says `mask`, of a file of this format.
std::vector<uint8_t> core_audio_layout(int format, int channels, uint32_t mask);

// Whether a FLAC file needs the tag WAVEFORMATEXTENSIBLE_CHANNEL_MASK, because FLAC means other loudspeakers by this
// number of channels.
bool needs_mask_tag(int format, int channels, ChannelMask mask);

// Of the channels of a file of this format, where each lies in WAV's order; empty: as they are.
std::vector<int> order_in_format(int format, int channels, ChannelMask mask);

// Whether a file of this format can say for which loudspeakers its channels are, where its container can. W64 of other
// samples than whole numbers could, but programs that go by libsndfile would read noise.
bool holds_mask(int format);

// What is lost: the format takes the channels for other loudspeakers. Empty: nothing.
std::string layout_loss(int format, int channels, ChannelMask mask);

// A WAV file of several channels says which loudspeakers they are for in its longer header.
int format_with_mask(int format, int channels, ChannelMask mask);

}  // namespace coil::cli
