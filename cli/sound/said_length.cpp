// Sources: the layouts as libsndfile 1.2 and sox write them, the Sphere header of NIST, IFF-85, the MAT-file formats 4
// and 5, the MIDI sample dump standard.
#include "cli/sound/said_length.h"

#include <sndfile.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <string>
#include <string_view>
#include <vector>

#include "cli/sound/byte_order.h"

namespace coil::cli {
namespace {

// The start of the file; reads 0 beyond its end.
class Head {
 public:
  explicit Head(ByteSource& source) : source_(source) {}

  uint64_t number(uint64_t at, size_t bytes, bool big_endian) const {
    std::array<uint8_t, 8> found = {};
    source_.read_at(at, std::span(found).first(bytes));
    return number_in(std::span(found).first(bytes), big_endian);
  }
  std::string text(uint64_t at, size_t bytes) const {
    std::string found(bytes, '\0');
    found.resize(source_.read_at(at, {reinterpret_cast<uint8_t*>(found.data()), bytes}));
    return found;
  }
  uint64_t size() const { return source_.size().value_or(0); }

 private:
  ByteSource& source_;
};

// Each function returns the smallest size in bytes that the file should have; 0: not stated.

constexpr uint64_t kVocBlockHeader = 4;  // kind, number of following bytes

// Where the last block starts, and its stated end.
struct VocBlock {
  uint64_t begin = 0, end = 0;
};
VocBlock last_voc_block(const Head& head) {
  constexpr uint64_t kFirstBlock = 20, kDoubtful = 16;
  VocBlock block;
  block.end = head.number(kFirstBlock, 2, false);
  // sox states 8 bytes too few for a block of 16 bits, so data that close to the end is not a block.
  while (block.end + kDoubtful <= head.size() && head.number(block.end, 1, false) != 0) {
    block.begin = block.end;
    block.end += kVocBlockHeader + head.number(block.begin + 1, 3, false);
  }
  return block;
}

uint64_t nist_bytes(const Head& head) {
  constexpr size_t kLongest = 1 << 14;
  const std::string text = head.text(0, kLongest);
  const auto number_of = [&](const std::string& name) {  // "name -i 8000", or as a text
    const size_t at = text.find("\n" + name + " -"),
                 space = at == std::string::npos ? at : text.find(' ', at + name.size() + 2);
    uint64_t value = 1;
    if (space != std::string::npos) std::from_chars(&text[space] + 1, text.data() + text.size(), value);
    return value;
  };
  const size_t second_line = text.find('\n') + 1,
               digits = std::min(text.find_first_not_of(' ', second_line), text.size());
  uint64_t header = 0;
  std::from_chars(text.data() + digits, text.data() + text.size(), header);
  return header + number_of("sample_count") * number_of("channel_count") * number_of("sample_n_bytes");
}

uint64_t avr_bytes(const Head& head) {
  constexpr uint64_t kHeader = 128, kStereo = 12, kBits = 14, kFrames = 26;
  const uint64_t channels = head.number(kStereo, 2, true) != 0 ? 2 : 1;
  return kHeader + channels * head.number(kFrames, 4, true) * head.number(kBits, 2, true) / 8;
}

uint64_t iff_bytes(const Head& head) {
  constexpr uint64_t kFirstChunk = 12, kChunkHeader = 8;
  for (uint64_t at = kFirstChunk; at + kChunkHeader <= head.size();) {
    const uint64_t size = head.number(at + 4, 4, true);
    if (head.text(at, 4) == "BODY") return at + kChunkHeader + size;
    at += kChunkHeader + size + size % 2;
  }
  return 0;
}

uint64_t mat4_bytes(const Head& head) {
  constexpr std::array<uint64_t, 6> kWidths = {8, 4, 4, 2, 2, 1};  // by the number type
  const bool big = head.number(0, 4, false) != 0 && head.number(0, 4, true) >= 1000;
  uint64_t at = 0;
  for (int matrix = 0; matrix < 2; ++matrix) {  // the sample rate, then the sound
    constexpr uint64_t kHeader = 20;
    const uint64_t kind = head.number(at, 4, big) / 10 % 10;
    if (kind >= kWidths.size()) return 0;
    at += kHeader + head.number(at + 16, 4, big) +
          head.number(at + 4, 4, big) * head.number(at + 8, 4, big) * kWidths[kind];
  }
  return at;
}

uint64_t mat5_bytes(const Head& head) {
  constexpr uint64_t kHeader = 128, kTag = 8;
  constexpr int kElementsBefore = 3;  // flags, dimensions, name
  const bool big = head.text(126, 2) == "MI";
  uint64_t at = kHeader + kTag + head.number(kHeader + 4, 4, big) + kTag;  // in the second matrix
  for (int i = 0; i < kElementsBefore; ++i) {
    const bool is_small = head.number(at, 4, big) >> 16 != 0;  // stored inside its tag
    at += kTag + (is_small ? 0 : (head.number(at + 4, 4, big) + 7) / 8 * 8);
  }
  return at + kTag + head.number(at + 4, 4, big);
}

uint64_t mpc_bytes(const Head& head) {
  constexpr uint64_t kHeader = 42, kStereo = 21, kFrames = 30;
  return kHeader + 2 * (head.number(kStereo, 1, false) != 0 ? 2 : 1) * head.number(kFrames, 4, false);
}

uint64_t xi_bytes(const Head& head) {
  constexpr uint64_t kSamples = 298, kSampleHeader = 40;
  const uint64_t count = head.number(kSamples - 2, 2, false);
  uint64_t bytes = kSamples + count * kSampleHeader;
  for (uint64_t i = 0; i < count; ++i) bytes += head.number(kSamples + i * kSampleHeader, 4, false);
  return bytes;
}

uint64_t sds_bytes(const Head& head) {
  constexpr uint64_t kHeader = 21, kPacket = 127, kPacketSamples = 120, kBits = 6, kLength = 10;
  const uint64_t samples = head.number(kLength, 1, false) | head.number(kLength + 1, 1, false) << 7 |
                           head.number(kLength + 2, 1, false) << 14;
  const uint64_t sample_bytes = (head.number(kBits, 1, false) + 6) / 7;
  if (sample_bytes == 0) return 0;
  const uint64_t in_packet = kPacketSamples / sample_bytes;
  return kHeader + (samples + in_packet - 1) / in_packet * kPacket;
}

// Rounded up to whole frames.
uint64_t whole_frames(const Head& head, const SoundInfo& info, uint64_t header) {
  constexpr uint64_t kPackedBytes = 32;  // of PAF's 24 bits: ten samples of a channel
  const int subtype = info.format & SF_FORMAT_SUBMASK;
  const bool is_packed = subtype == SF_FORMAT_PCM_24 && (info.format & SF_FORMAT_TYPEMASK) == SF_FORMAT_PAF;
  const uint64_t sample = subtype == SF_FORMAT_PCM_16                                 ? 2
                          : subtype == SF_FORMAT_PCM_24                               ? 3
                          : subtype == SF_FORMAT_PCM_32 || subtype == SF_FORMAT_FLOAT ? 4
                                                                                      : 1;
  const uint64_t frame = static_cast<uint64_t>(info.channels) * (is_packed ? kPackedBytes : sample);
  return header + (head.size() - std::min(head.size(), header) + frame - 1) / frame * frame;
}

}  // namespace

bool is_shorter_than_said(ByteSource& source, const SoundInfo& info) {
  constexpr uint64_t kPafHeader = 2048, kIrcamHeader = 1024;
  const Head head(source);
  uint64_t said = 0;
  switch (info.format & SF_FORMAT_TYPEMASK) {
    case SF_FORMAT_VOC:
      said = last_voc_block(head).end;
      break;
    case SF_FORMAT_NIST:
      said = nist_bytes(head);
      break;
    case SF_FORMAT_AVR:
      said = avr_bytes(head);
      break;
    case SF_FORMAT_SVX:
      said = iff_bytes(head);
      break;
    case SF_FORMAT_MAT4:
      said = mat4_bytes(head);
      break;
    case SF_FORMAT_MAT5:
      said = mat5_bytes(head);
      break;
    case SF_FORMAT_MPC2K:
      said = mpc_bytes(head);
      break;
    case SF_FORMAT_XI:
      said = xi_bytes(head);
      break;
    case SF_FORMAT_SDS:
      said = sds_bytes(head);
      break;
    case SF_FORMAT_PAF:
      said = whole_frames(head, info, kPafHeader);
      break;
    case SF_FORMAT_IRCAM:
      said = whole_frames(head, info, kIrcamHeader);
      break;
    default:
      break;
  }
  return said > head.size();
}

std::vector<SoundLink> cut_off_voc(ByteSource& source) {
  constexpr std::string_view kMark = "Creative Voice File\x1a";
  const Head head(source);
  if (head.text(0, kMark.size()) != kMark) return {};
  const VocBlock block = last_voc_block(head);
  const uint64_t content = block.begin + kVocBlockHeader;
  if (block.end <= head.size() || content > head.size()) return {};
  std::vector<uint8_t> size;
  put_number(size, head.size() - content, 3);
  SoundLink link = {
      .pieces = {{0, block.begin + 1, {}}, {0, 0, size}, {content, head.size() - content, {}}, {0, 0, {0}}},
      .faults = {}};
  link.faults.truncated = true;
  return {link};
}

}  // namespace coil::cli
