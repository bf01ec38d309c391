// The loudspeaker of each channel, and the channel order of each container.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace coil::cli {

// Masks have the bits of WAVEFORMATEXTENSIBLE's dwChannelMask; 0: the channels have no loudspeaker positions. Inside
// the program channels are in WAV's order, that of the bits. [any thread]
using ChannelMask = std::optional<uint32_t>;  // nullopt: unknown

inline constexpr int kFirstSurround = 3;  // from this number of channels on, the layout must be stated

struct ChannelLayout {
  ChannelMask mask;
  std::vector<int> order;  // for each channel after reorder(), its previous index; empty: unchanged

  // For interleaved frames.
  void reorder(std::span<float> frames) const;
};

// Converts from a file's order to WAV's. For files without chunks: the order that Vorbis, Opus and FLAC define for each
// number of channels. `format` is libsndfile's.
ChannelLayout layout_of_format(int format, int channels);

// For 'CHAN' in AIFF and 'chan' in CAF; neither mask nor order if the content is not understood.
ChannelLayout layout_of_core_audio(std::span<const uint8_t> chunk, int channels);

// ALAC has its own order, regardless of what 'chan' says (`said`), unless that names loudspeakers that ALAC does not
// have. For other formats, `said`.
ChannelLayout layout_of_alac(int format, int channels, const ChannelLayout& said);

// The content of such a chunk for `mask`, in a file of this format.
std::vector<uint8_t> core_audio_layout(int format, int channels, uint32_t mask);

// Whether a FLAC file needs the tag WAVEFORMATEXTENSIBLE_CHANNEL_MASK, because FLAC defines other loudspeakers for this
// number of channels.
bool needs_mask_tag(int format, int channels, ChannelMask mask);

// For each channel of a file of this format, its index in WAV's order; empty: the same order.
std::vector<int> order_in_format(int format, int channels, ChannelMask mask);

// Whether a file of this format can state the loudspeakers, if its container can. W64 could do so for non-integer
// samples too, but programs that use libsndfile would then read noise.
bool holds_mask(int format);

// What is lost because the format defines other loudspeakers. Empty: nothing.
std::string layout_loss(int format, int channels, ChannelMask mask);

// For several channels, a WAV file states the loudspeakers in its extended header.
int format_with_mask(int format, int channels, ChannelMask mask);

}  // namespace coil::cli
