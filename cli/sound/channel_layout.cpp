// Tables of orders. Sources: Microsoft's WAVEFORMATEXTENSIBLE; Vorbis I specification 4.3.9; RFC 7845 5.1.1.2 (Opus, as
// Vorbis); RFC 9639 9.1.3 (FLAC); Apple's
// "ALACMagicCookieDescription"; Apple's CoreAudioTypes (AudioChannelLayoutTag, AudioChannelLabel).
#include "cli/sound/channel_layout.h"

#include <sndfile.h>

#include <algorithm>
#include <bit>

namespace coil::cli {
namespace {

enum Speaker : int { kFl, kFr, kFc, kLfe, kBl, kBr, kFlc, kFrc, kBc, kSl, kSr };
constexpr int kSpeakers = 18;

using Speakers = std::vector<int>;

constexpr int kLastSurround = 8;

const Speakers kVorbis[] = {{kFl, kFc, kFr},
                            {kFl, kFr, kBl, kBr},
                            {kFl, kFc, kFr, kBl, kBr},
                            {kFl, kFc, kFr, kBl, kBr, kLfe},
                            {kFl, kFc, kFr, kSl, kSr, kBc, kLfe},
                            {kFl, kFc, kFr, kSl, kSr, kBl, kBr, kLfe}};

const Speakers kFlac[] = {{kFl, kFr, kFc},
                          {kFl, kFr, kBl, kBr},
                          {kFl, kFr, kFc, kBl, kBr},
                          {kFl, kFr, kFc, kLfe, kBl, kBr},
                          {kFl, kFr, kFc, kLfe, kBc, kSl, kSr},
                          {kFl, kFr, kFc, kLfe, kBl, kBr, kSl, kSr}};

const Speakers kAlac[] = {{kFc, kFl, kFr},
                          {kFc, kFl, kFr, kBc},
                          {kFc, kFl, kFr, kBl, kBr},
                          {kFc, kFl, kFr, kBl, kBr, kLfe},
                          {kFc, kFl, kFr, kBl, kBr, kBc, kLfe},
                          {kFc, kFlc, kFrc, kFl, kFr, kBl, kBr, kLfe}};

bool is_alac(int format) {
  const int subtype = format & SF_FORMAT_SUBMASK;
  return subtype == SF_FORMAT_ALAC_16 || subtype == SF_FORMAT_ALAC_20 || subtype == SF_FORMAT_ALAC_24 ||
         subtype == SF_FORMAT_ALAC_32;
}

// Null: the format defines no loudspeaker positions.
const Speakers* speakers_of_format(int format, int channels) {
  if (channels < kFirstSurround || channels > kLastSurround) return nullptr;
  const int at = channels - kFirstSurround, subtype = format & SF_FORMAT_SUBMASK;
  const int container = format & SF_FORMAT_TYPEMASK;
  if (subtype == SF_FORMAT_VORBIS || subtype == SF_FORMAT_OPUS) return &kVorbis[at];
  if (is_alac(format)) return &kAlac[at];
  return container == SF_FORMAT_FLAC || container == SF_FORMAT_OGG ? &kFlac[at] : nullptr;
}

uint32_t mask_of(const Speakers& speakers) {
  uint32_t mask = 0;
  for (int speaker : speakers) mask |= uint32_t{1} << speaker;
  return mask;
}

Speakers speakers_of(uint32_t mask) {
  Speakers speakers;
  for (int speaker = 0; speaker < 32; ++speaker) {
    if (mask >> speaker & 1) speakers.push_back(speaker);
  }
  return speakers;
}

// With a single pair of surround speakers, side and rear positions mean the same.
Speakers with_pair_behind(Speakers speakers) {
  const auto has = [&](int speaker) { return std::find(speakers.begin(), speakers.end(), speaker) != speakers.end(); };
  if (has(kBl) || has(kBr)) return speakers;
  for (int& speaker : speakers) {
    if (speaker == kSl) speaker = kBl;
    if (speaker == kSr) speaker = kBr;
  }
  return speakers;
}

// For each loudspeaker of `to`, its index in `from`; empty if they are not the same loudspeakers.
std::vector<int> places(const Speakers& to, const Speakers& from) {
  const Speakers wanted = with_pair_behind(to), given = with_pair_behind(from);
  std::vector<int> order;
  for (int speaker : wanted) {
    const auto found = std::find(given.begin(), given.end(), speaker);
    if (found == given.end() || wanted.size() != given.size()) return {};
    order.push_back(static_cast<int>(found - given.begin()));
  }
  return order;
}

// The loudspeakers of channels in WAV's order; without a mask, the usual ones for this number of channels.
Speakers wav_speakers(int channels, ChannelMask mask) {
  return speakers_of(mask.value_or(0) != 0 ? *mask : mask_of(kFlac[channels - kFirstSurround]));
}

ChannelLayout layout_of(const Speakers& in_file) {
  ChannelLayout layout;
  layout.mask = mask_of(in_file);
  if (std::popcount(*layout.mask) != static_cast<int>(in_file.size())) return {};
  if (!std::is_sorted(in_file.begin(), in_file.end())) {
    for (int speaker : speakers_of(*layout.mask)) {
      layout.order.push_back(static_cast<int>(std::find(in_file.begin(), in_file.end(), speaker) - in_file.begin()));
    }
  }
  return layout;
}

constexpr uint32_t kTagOfDescriptions = 0, kTagOfBitmap = 1 << 16;
constexpr int kRearSurroundLeft = 33, kRearSurroundRight = 34;

// AudioChannelLabels for an AudioChannelLayoutTag; the lower half of the tag, the number of channels, is masked out.
const std::vector<int>* labels_of_tag(uint32_t tag) {
  static const std::vector<std::pair<uint32_t, std::vector<int>>> table = {{108, {1, 2, 5, 6}},
                                                                           {109, {1, 2, 5, 6, 3}},
                                                                           {113, {1, 2, 3}},
                                                                           {114, {3, 1, 2}},
                                                                           {115, {1, 2, 3, 9}},
                                                                           {116, {3, 1, 2, 9}},
                                                                           {117, {1, 2, 3, 5, 6}},
                                                                           {118, {1, 2, 5, 6, 3}},
                                                                           {119, {1, 3, 2, 5, 6}},
                                                                           {120, {3, 1, 2, 5, 6}},
                                                                           {121, {1, 2, 3, 4, 5, 6}},
                                                                           {122, {1, 2, 5, 6, 3, 4}},
                                                                           {123, {1, 3, 2, 5, 6, 4}},
                                                                           {124, {3, 1, 2, 5, 6, 4}},
                                                                           {125, {1, 2, 3, 4, 5, 6, 9}},
                                                                           {126, {1, 2, 3, 4, 5, 6, 7, 8}},
                                                                           {127, {3, 7, 8, 1, 2, 5, 6, 4}},
                                                                           {128, {1, 2, 3, 4, 5, 6, 33, 34}},
                                                                           {129, {1, 2, 5, 6, 3, 4, 7, 8}},
                                                                           {131, {1, 2, 9}},
                                                                           {132, {1, 2, 5, 6}},
                                                                           {133, {1, 2, 4}},
                                                                           {134, {1, 2, 4, 9}},
                                                                           {135, {1, 2, 4, 5, 6}},
                                                                           {136, {1, 2, 3, 4}},
                                                                           {137, {1, 2, 3, 4, 9}},
                                                                           {138, {1, 2, 5, 6, 4}},
                                                                           {139, {1, 2, 5, 6, 3, 9}},
                                                                           {141, {3, 1, 2, 5, 6, 9}},
                                                                           {142, {3, 1, 2, 5, 6, 9, 4}}};
  for (const auto& [number, labels] : table) {
    if (tag == (number << 16 | labels.size())) return &labels;
  }
  return nullptr;
}

// Labels up to 18 are WAV's loudspeakers, counted from 1. Beside rear surrounds, the other surrounds are at the sides.
ChannelLayout layout_of_labels(const std::vector<int>& labels) {
  const bool rear = std::find(labels.begin(), labels.end(), kRearSurroundLeft) != labels.end();
  Speakers speakers;
  for (int label : labels) {
    if (label == kRearSurroundLeft || label == kRearSurroundRight) {
      speakers.push_back(label == kRearSurroundLeft ? kBl : kBr);
    } else if (label < 1 || label > kSpeakers) {
      return {};
    } else {
      const int speaker = label - 1;
      speakers.push_back(rear && speaker == kBl ? kSl : rear && speaker == kBr ? kSr : speaker);
    }
  }
  return layout_of(speakers);
}

int label_of(int speaker) { return speaker + 1; }

uint32_t big_endian_at(std::span<const uint8_t> bytes, size_t at) {
  return uint32_t{bytes[at]} << 24 | uint32_t{bytes[at + 1]} << 16 | uint32_t{bytes[at + 2]} << 8 | bytes[at + 3];
}

}  // namespace

void ChannelLayout::reorder(std::span<float> frames) const {
  if (order.empty()) return;
  std::vector<float> frame(order.size());
  for (size_t at = 0; at + order.size() <= frames.size(); at += order.size()) {
    for (size_t c = 0; c < order.size(); ++c) frame[c] = frames[at + static_cast<size_t>(order[c])];
    std::copy(frame.begin(), frame.end(), frames.begin() + static_cast<std::ptrdiff_t>(at));
  }
}

ChannelLayout layout_of_format(int format, int channels) {
  const Speakers* speakers = speakers_of_format(format, channels);
  return speakers == nullptr ? ChannelLayout() : layout_of(*speakers);
}

ChannelLayout layout_of_core_audio(std::span<const uint8_t> chunk, int channels) {
  constexpr size_t kHeadBytes = 12, kDescriptionBytes = 20;
  if (chunk.size() < kHeadBytes) return {};
  const uint32_t tag = big_endian_at(chunk, 0), bitmap = big_endian_at(chunk, 4), count = big_endian_at(chunk, 8);
  std::vector<int> labels;
  if (tag == kTagOfBitmap) {
    for (int speaker : speakers_of(bitmap)) labels.push_back(label_of(speaker));
  } else if (tag == kTagOfDescriptions) {
    for (uint32_t i = 0; i < count && kHeadBytes + (i + 1) * kDescriptionBytes <= chunk.size(); ++i) {
      labels.push_back(
          static_cast<int>(std::min<uint32_t>(big_endian_at(chunk, kHeadBytes + i * kDescriptionBytes), INT16_MAX)));
    }
  } else if (const std::vector<int>* known = labels_of_tag(tag)) {
    labels = *known;
  }
  return static_cast<int>(labels.size()) == channels ? layout_of_labels(labels) : ChannelLayout();
}

ChannelLayout layout_of_alac(int format, int channels, const ChannelLayout& said) {
  const Speakers* speakers = speakers_of_format(format, channels);
  if (speakers == nullptr || !is_alac(format)) return said;
  if (!said.mask) return layout_of(*speakers);
  const std::vector<int> in_file = order_in_format(format, channels, said.mask);
  if (in_file.empty()) return said;
  ChannelLayout layout = {said.mask, std::vector<int>(in_file.size())};
  for (size_t i = 0; i < in_file.size(); ++i) layout.order[static_cast<size_t>(in_file[i])] = static_cast<int>(i);
  return layout;
}

std::vector<uint8_t> core_audio_layout(int format, int channels, uint32_t mask) {
  std::vector<uint8_t> chunk;
  const auto put = [&](uint32_t value) {
    for (int shift = 24; shift >= 0; shift -= 8) chunk.push_back(static_cast<uint8_t>(value >> shift));
  };
  const std::vector<int> order = is_alac(format) ? order_in_format(format, channels, mask) : std::vector<int>();
  put(order.empty() ? kTagOfBitmap : kTagOfDescriptions);
  put(order.empty() ? mask : 0);
  put(static_cast<uint32_t>(order.size()));
  const Speakers speakers = speakers_of(mask);
  for (int place : order) {
    put(static_cast<uint32_t>(label_of(speakers[static_cast<size_t>(place)])));
    for (int unused = 0; unused < 4; ++unused) put(0);  // coordinates and their flags
  }
  return chunk;
}

bool needs_mask_tag(int format, int channels, ChannelMask mask) {
  constexpr uint32_t kMono = 1 << kFc, kStereo = 1 << kFl | 1 << kFr;
  if ((format & SF_FORMAT_TYPEMASK) != SF_FORMAT_FLAC || !mask) return false;
  const Speakers* usual = speakers_of_format(format, channels);
  return *mask != (channels == 1 ? kMono : channels == 2 ? kStereo : usual != nullptr ? mask_of(*usual) : 0);
}

std::vector<int> order_in_format(int format, int channels, ChannelMask mask) {
  const Speakers* speakers = speakers_of_format(format, channels);
  if (needs_mask_tag(format, channels, mask)) return {};  // the tag says that they are in WAV's order
  return speakers == nullptr ? std::vector<int>() : places(*speakers, wav_speakers(channels, mask));
}

bool holds_mask(int format) {
  const int subtype = format & SF_FORMAT_SUBMASK;
  return (format & SF_FORMAT_TYPEMASK) != SF_FORMAT_W64 || subtype == SF_FORMAT_PCM_U8 || subtype == SF_FORMAT_PCM_16 ||
         subtype == SF_FORMAT_PCM_24 || subtype == SF_FORMAT_PCM_32;
}

std::string layout_loss(int format, int channels, ChannelMask mask) {
  if (!holds_mask(format) && channels >= kFirstSurround && mask.value_or(0) != 0) {
    return "the output cannot say for which loudspeakers its channels are; they stay in their order (W64 of whole "
           "numbers "
           "can say it)";
  }
  if (speakers_of_format(format, channels) == nullptr || mask.value_or(0) == 0 ||
      needs_mask_tag(format, channels, mask) || !order_in_format(format, channels, mask).empty())
    return "";
  return "the output's format has no layout for the input's loudspeakers; its channels stay in their order, and "
         "players take them for others";
}

int format_with_mask(int format, int channels, ChannelMask mask) {
  const bool is_wav = (format & SF_FORMAT_TYPEMASK) == SF_FORMAT_WAV;
  if (!is_wav || !mask || channels < kFirstSurround) return format;
  const int longer = SF_FORMAT_WAVEX | (format & SF_FORMAT_SUBMASK);
  SF_INFO info = {};
  info.format = longer;
  info.channels = channels;
  info.samplerate = 48000;
  return sf_format_check(&info) ? longer : format;
}

}  // namespace coil::cli
