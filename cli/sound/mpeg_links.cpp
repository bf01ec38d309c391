// A walk over the frames of MPEG audio. Sources: ISO/IEC 11172-3 and 13818-3 (headers, side information), the Xing,
// VBRI and LAME headers as encoders write them.
#include <algorithm>
#include <array>
#include <cctype>
#include <cmath>
#include <cstring>
#include <optional>
#include <string_view>

#include "cli/sound/byte_order.h"
#include "cli/sound/linked_reader.h"

namespace coil::cli {
namespace {

struct Frame {
  int version = 0, layer = 0, rate_hz = 0, channels = 0;  // version: 1, 2; 3 stands for 2.5
  uint64_t bytes = 0;
  int samples = 0;
  bool matches(const Frame& other) const {
    return version == other.version && layer == other.layer && rate_hz == other.rate_hz;
  }
};

constexpr int kKbits[5][15] = {{0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448},
                               {0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384},
                               {0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320},
                               {0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256},
                               {0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160}};
constexpr int kRatesHz[3] = {44100, 48000, 32000};

// Nullopt if it is not a header, or the bit rate is free, so that the frame's length is unknown.
std::optional<Frame> parse(std::span<const uint8_t> head) {
  if (head.size() < 4 || head[0] != 0xff || (head[1] & 0xe0) != 0xe0) return std::nullopt;
  const int version_bits = head[1] >> 3 & 3, layer_bits = head[1] >> 1 & 3, rate_bits = head[2] >> 2 & 3;
  const int kbits_bits = head[2] >> 4, padding = head[2] >> 1 & 1;
  if (version_bits == 1 || layer_bits == 0 || rate_bits == 3 || kbits_bits == 0 || kbits_bits == 15)
    return std::nullopt;
  Frame frame;
  frame.version = version_bits == 3 ? 1 : version_bits == 2 ? 2 : 3;
  frame.layer = 4 - layer_bits;
  frame.rate_hz = kRatesHz[rate_bits] >> (frame.version - 1);
  frame.channels = head[3] >> 6 == 3 ? 1 : 2;
  const int table = frame.version == 1 ? frame.layer - 1 : frame.layer == 1 ? 3 : 4;
  const int bits_per_s = 1000 * kKbits[table][kbits_bits];
  frame.samples = frame.layer == 1 ? 384 : frame.layer == 3 && frame.version > 1 ? 576 : 1152;
  frame.bytes = frame.layer == 1 ? 4ull * (12 * bits_per_s / frame.rate_hz + padding)
                                 : static_cast<uint64_t>(frame.samples / 8 * bits_per_s / frame.rate_hz + padding);
  return frame;
}

// The position of a layer III frame's data in the stream of all frames' data (the bit reservoir).
struct MainData {
  uint64_t before = 0, bytes = 0, room = 0;  // before: how far they start before the frame's own room
};

class BitReader {
 public:
  explicit BitReader(std::span<const uint8_t> bytes) : bytes_(bytes) {}
  uint64_t take(size_t count) {
    uint64_t value = 0;
    for (; count > 0; --count, ++at_) value = value << 1 | (bytes_[at_ / 8] >> (7 - at_ % 8) & 1);
    return value;
  }
  void skip(size_t count) { at_ += count; }

 private:
  std::span<const uint8_t> bytes_;
  size_t at_ = 0;
};

size_t side_info_bytes(const Frame& frame) {
  if (frame.version == 1) return frame.channels == 1 ? 17 : 32;
  return frame.channels == 1 ? 9 : 17;
}

// `head`: the start of the frame; nullopt if it is too short.
std::optional<MainData> main_data(const Frame& frame, std::span<const uint8_t> head) {
  constexpr size_t kHeader = 4, kChecksum = 2, kLengthBits = 12, kGranuleBits1 = 59, kGranuleBits2 = 63;
  const size_t side_at = kHeader + (head[1] & 1 ? 0 : kChecksum), side = side_info_bytes(frame);
  if (head.size() < side_at + side || frame.bytes < side_at + side) return std::nullopt;
  BitReader bits(head.subspan(side_at, side));
  const auto channels = static_cast<size_t>(frame.channels);
  const bool first_version = frame.version == 1;
  MainData data;
  data.before = bits.take(first_version ? 9 : 8);
  bits.skip(first_version ? (channels == 1 ? 5 : 3) + 4 * channels : channels);
  uint64_t length = 0;
  for (size_t i = 0; i < channels * (first_version ? 2 : 1); ++i) {
    length += bits.take(kLengthBits);
    bits.skip((first_version ? kGranuleBits1 : kGranuleBits2) - kLengthBits);
  }
  data.bytes = (length + 7) / 8;
  data.room = frame.bytes - side_at - side;
  return data;
}

// CRC-16 with the polynomial 0x8005, least significant bit first.
class Checksum {
 public:
  void add(std::span<const uint8_t> bytes) {
    static constexpr auto kTable = [] {
      std::array<uint16_t, 256> table = {};
      for (unsigned i = 0; i < table.size(); ++i) {
        unsigned value = i;
        for (int bit = 0; bit < 8; ++bit) value = value & 1 ? value >> 1 ^ 0xa001 : value >> 1;
        table[i] = static_cast<uint16_t>(value);
      }
      return table;
    }();
    for (const uint8_t byte : bytes) value_ = static_cast<uint16_t>(value_ >> 8 ^ kTable[(value_ ^ byte) & 0xff]);
  }
  uint16_t value() const { return value_; }

 private:
  uint16_t value_ = 0;
};

class Walk {
 public:
  // `seams`: positions of frames before which other frames are missing.
  explicit Walk(ByteSource& source, std::vector<uint64_t> seams = {})
      : source_(source), size_(source.size().value_or(0)), seams_(std::move(seams)) {}

  // Complete after links(). For files that lack frames: positions where the data of two frames overlap.
  const std::vector<uint64_t>& found_seams() const { return found_seams_; }

  std::vector<SoundLink> links() {
    uint64_t at = 0;
    while (const uint64_t tag = tag_bytes(at)) at += tag;
    if (!find_pair(at)) return {};
    begin_link(at, at);
    while (at < size_) {
      const std::optional<Frame> frame = frame_at(at);
      if (frame && frame->matches(format_)) {
        if (at + frame->bytes > size_) {
          links_.back().faults.truncated = true;
          at = size_;
          break;
        }
        if (std::find(seams_.begin(), seams_.end(), at) != seams_.end()) go_on_behind_seam(at);
        take(*frame, at);
        at += frame->bytes;
      } else if (const uint64_t tag = tag_bytes(at)) {
        tag_at_ = at;
        at += tag;
      } else if (!resume(at)) {
        break;
      }
    }
    end_file();
    end_link(std::min(at, size_));  // the rest is padding, or not sound
    return std::move(links_);
  }

 private:
  static constexpr size_t kHeadBytes = 64;  // bytes examined per frame

  std::vector<uint8_t> bytes_at(uint64_t at, size_t count) {
    std::vector<uint8_t> bytes(count);
    bytes.resize(source_.read_at(at, bytes));
    return bytes;
  }

  std::optional<Frame> frame_at(uint64_t at) { return parse(bytes_at(at, 4)); }

  // The size of data between files; 0: not a tag.
  uint64_t tag_bytes(uint64_t at) {
    const std::vector<uint8_t> head = bytes_at(at, 32);
    const std::string_view text(reinterpret_cast<const char*>(head.data()), head.size());
    if (text.starts_with("ID3") && head.size() >= 10) {
      return 10 + (uint64_t{head[6]} << 21 | head[7] << 14 | head[8] << 7 | head[9]) + (head[5] & 0x10 ? 10 : 0);
    }
    if (text.starts_with("TAG")) return 128;
    if (text.starts_with("APETAGEX") && head.size() == 32) {
      const bool is_header = head[23] & 0x20;
      return 32 + (is_header ? number_in(std::span(head).subspan(12, 4), false) : 0);
    }
    return 0;
  }

  // Moves `at` to a frame that is followed by another; false: none. Sets format_.
  bool find_pair(uint64_t& at, bool same_format = false) {
    for (; at + 4 <= size_;) {
      const std::vector<uint8_t> block = bytes_at(at, 1 << 16);
      for (size_t i = 0; i + 4 <= block.size(); ++i) {
        const std::optional<Frame> frame = parse(std::span(block).subspan(i));
        if (!frame || (same_format && !frame->matches(format_))) continue;
        const std::optional<Frame> next = frame_at(at + i + frame->bytes);
        if (!next || !next->matches(*frame)) continue;
        at += i;
        format_ = *frame;
        return true;
      }
      if (block.size() < 4) return false;
      at += block.size() - 3;
    }
    return false;
  }

  // `end_before`: the end of the previous link.
  void begin_link(uint64_t at, uint64_t end_before) {
    if (!links_.empty()) end_link(end_before);
    links_.push_back({.pieces = {{at, 0, {}}}, .faults = {}});
    link_has_count_ = false;
    link_frames_ = 0;
  }

  void end_link(uint64_t at) {
    links_.back().frames_found = link_frames_ * format_.samples;
    links_.back().says_length = link_has_count_;
    std::vector<SoundLink::Piece>& pieces = links_.back().pieces;
    pieces.back().size = at - pieces.back().at;
    if (link_has_count_ || link_frames_ == 0 || format_.layer != 3) return;
    pieces.front().size = first_frame_at_ - pieces.front().at;
    pieces.push_back({0, 0, counting_frame(first_frame_at_)});
    pieces.push_back({first_frame_at_, at - first_frame_at_, {}});
  }

  // A frame that states the number of frames, in the format of the frame at `at`. Without one, libsndfile guesses the
  // length of a variable bit rate link, and stops there.
  std::vector<uint8_t> counting_frame(uint64_t at) {
    constexpr uint8_t kNoChecksum = 1, kRoomyBitRate = 9 << 4, kRateBits = 0x0c, kHasCount = 1;
    std::vector<uint8_t> bytes = bytes_at(at, 4);
    bytes[1] |= kNoChecksum;
    bytes[2] = static_cast<uint8_t>((bytes[2] & kRateBits) | kRoomyBitRate);
    const Frame frame = *parse(bytes);
    bytes.resize(info_at(frame));
    put_text(bytes, "Xing");
    put_number(bytes, kHasCount, 4, true);
    put_number(bytes, static_cast<uint64_t>(link_frames_), 4, true);
    bytes.resize(frame.bytes);
    return bytes;
  }

  static size_t info_at(const Frame& frame) {
    if (frame.version == 1) return frame.channels == 1 ? 21 : 36;
    return frame.channels == 1 ? 13 : 21;
  }

  void end_file() {
    const int64_t missing = expected_ - found_;
    const auto damaged = std::span(links_).last(damaged_places_);
    // Some encoders include the frame with the count in the count; those that also state the number of bytes do not.
    const bool is_short = missing > 1 || (missing == 1 && sum_.bytes > 0 && bytes_ < sum_.bytes);
    if (is_short && damaged.empty()) {
      found_seams_.insert(found_seams_.end(), overlaps_.begin(), overlaps_.end());
    } else if (damaged.empty()) {
      SoundFaults& faults = links_.back().faults;
      faults.damaged_places += static_cast<int64_t>(overlaps_.size());
      faults.first_damage_frame = first_overlap_frame_;
      faults.checksum_differs = overlaps_.empty() && !faults.truncated && checksum_differs();
    }
    overlaps_.clear();
    int64_t guessed = 0;  // estimated from bytes
    for (const SoundLink& link : damaged) guessed += link.lost_before;
    const bool is_constant = shortest_ + 1 >= longest_;  // then the estimate is exact
    if (damaged.empty()) {
      links_.back().faults.truncated = links_.back().faults.truncated || is_short;
    } else if (!links_.back().faults.truncated && missing > 0 &&
               std::abs(missing - guessed) > (is_constant && seams_.empty() ? 1 : 0)) {
      for (SoundLink& link : damaged) link.lost_before = (link.lost_before * missing + guessed / 2) / guessed;
    }
    for (SoundLink& link : damaged) link.lost_before *= format_.samples;
    damaged_places_ = 0;
  }

  void take(const Frame& frame, uint64_t at) {
    const std::vector<uint8_t> head = bytes_at(at, kHeadBytes);
    const size_t place = info_at(frame);
    const auto is = [&](size_t from, std::string_view name) {
      return from + 18 <= head.size() && std::memcmp(&head[from], name.data(), name.size()) == 0;
    };
    const bool xing = frame.layer == 3 && (is(place, "Xing") || is(place, "Info")),
               vbri = frame.layer == 3 && is(36, "VBRI");
    if (!xing && !vbri && !tag_at_) {
      follow_data(frame, at, head);
      count(frame, at);
      return;
    }
    if (found_ > 0 || expected_ > 0) {
      end_file();
      begin_link(tag_at_.value_or(at), tag_at_.value_or(at));
    }
    tag_at_.reset();
    sum_ = xing ? sum_in(frame, at) : Sum();
    main_data_end_.reset();
    link_has_count_ = xing || vbri;
    found_ = expected_ = 0;
    bytes_ = longest_ = 0;
    shortest_ = UINT64_MAX;
    if (!link_has_count_) {
      follow_data(frame, at, head);
      count(frame, at);
    }
    if (xing && (head[place + 7] & 1))
      expected_ = static_cast<int64_t>(number_in(std::span(head).subspan(place + 8, 4), true));
    if (vbri) expected_ = static_cast<int64_t>(number_in(std::span(head).subspan(36 + 14, 4), true));
  }

  // The data of consecutive frames follow each other, possibly with a gap.
  void follow_data(const Frame& frame, uint64_t at, std::span<const uint8_t> head) {
    const std::optional<MainData> data = frame.layer == 3 ? main_data(frame, head) : std::nullopt;
    if (!data) return main_data_end_.reset();
    if (main_data_end_ && *main_data_end_ > data_room_ - static_cast<int64_t>(data->before)) {
      if (overlaps_.empty()) first_overlap_frame_ = found_ * format_.samples;
      overlaps_.push_back(at);
    }
    main_data_end_ = data_room_ + static_cast<int64_t>(data->bytes) - static_cast<int64_t>(data->before);
    data_room_ += static_cast<int64_t>(data->room);
  }

  // The checksum in LAME's header over all following bytes.
  struct Sum {
    uint64_t at = 0, bytes = 0;  // 0: not stated
    uint16_t checksum = 0;
  };

  Sum sum_in(const Frame& frame, uint64_t at) {
    constexpr size_t kFlagsAt = 4, kFieldsAt = 8, kBytesAt = 28, kChecksumAt = 32, kEnd = 34;
    constexpr std::array<size_t, 4> kFieldBytes = {4, 4, 100, 4};
    const std::vector<uint8_t> info = bytes_at(at + info_at(frame), kFieldsAt + 4 + 4 + 100 + 4 + kEnd);
    if (info.size() < kFieldsAt) return {};
    size_t lame_at = kFieldsAt;
    for (size_t i = 0; i < kFieldBytes.size(); ++i) lame_at += info[kFlagsAt + 3] >> i & 1 ? kFieldBytes[i] : 0;
    if (info.size() < lame_at + kEnd) return {};
    const std::span<const uint8_t> lame = std::span(info).subspan(lame_at, kEnd);
    if (std::memcmp(lame.data(), "LAME", 4) != 0 && std::memcmp(lame.data(), "Lav", 3) != 0) return {};
    const uint64_t bytes = number_in(lame.subspan(kBytesAt, 4), true);
    if (bytes <= frame.bytes) return {};
    return {at + frame.bytes, bytes - frame.bytes,
            static_cast<uint16_t>(number_in(lame.subspan(kChecksumAt, 2), true))};
  }

  bool checksum_differs() {
    if (sum_.bytes == 0 || sum_.at + sum_.bytes > size_ || was_levelled()) return false;
    Checksum checksum;
    for (uint64_t done = 0; done < sum_.bytes;) {
      const std::vector<uint8_t> block = bytes_at(sum_.at + done, std::min<uint64_t>(sum_.bytes - done, 1 << 16));
      if (block.empty()) return false;
      checksum.add(block);
      done += block.size();
    }
    return checksum.value() != sum_.checksum;
  }

  // Programs that change the level of a file's frames leave the checksum unchanged, and say so in a tag.
  bool was_levelled() {
    constexpr std::string_view kTag = "MP3GAIN";
    constexpr uint64_t kMostBytes = 1 << 16;
    for (const uint64_t at : {uint64_t{0}, size_ - std::min(size_, kMostBytes)}) {
      const std::vector<uint8_t> block = bytes_at(at, kMostBytes);
      const auto upper = [](uint8_t a, char b) { return std::toupper(a) == b; };
      if (std::search(block.begin(), block.end(), kTag.begin(), kTag.end(), upper) != block.end()) return true;
    }
    return false;
  }

  void count(const Frame& frame, uint64_t at) {
    ++found_;
    bytes_ += frame.bytes;
    shortest_ = std::min(shortest_, frame.bytes);
    longest_ = std::max(longest_, frame.bytes);
    last_frame_at_ = at;
    if (link_frames_++ == 0) first_frame_at_ = at;
  }

  void go_on_behind_seam(uint64_t at) {
    begin_link(at, at);
    links_.back().goes_on = true;
    links_.back().lost_before = 1;  // until the count is compared
    main_data_end_.reset();
    ++damaged_places_;
  }

  // After damage; false: nothing follows.
  bool resume(uint64_t& at) {
    uint64_t next = at + 1;
    if (!find_pair(next, true)) return false;
    // The end of the preceding frame is probably damaged, too.
    uint64_t end = at;
    if (link_frames_ > 1) {
      end = last_frame_at_;
      --found_;
      --link_frames_;
      bytes_ -= at - end;
    }
    const double mean_bytes =
        found_ > 0 ? static_cast<double>(bytes_) / static_cast<double>(found_) : static_cast<double>(format_.bytes);
    begin_link(next, end);
    SoundLink& link = links_.back();
    link.goes_on = true;
    link.lost_before = std::max<int64_t>(std::llround(static_cast<double>(next - end) / mean_bytes), 1);
    ++damaged_places_;
    main_data_end_.reset();
    at = next;
    return true;
  }

  ByteSource& source_;
  uint64_t size_;
  std::vector<SoundLink> links_;
  Frame format_;
  int64_t found_ = 0, expected_ = 0;  // frames found and expected in the current file; 0: unknown
  uint64_t bytes_ = 0, shortest_ = UINT64_MAX, longest_ = 0;  // of the frames found
  size_t damaged_places_ = 0;                                 // in the current file: the number of links that continue
                                                              // it
  bool link_has_count_ = false;
  int64_t link_frames_ = 0;
  uint64_t first_frame_at_ = 0, last_frame_at_ = 0;  // of the link
  std::optional<uint64_t> tag_at_;                   // a preceding tag
  Sum sum_;                                          // of the current file
  int64_t data_room_ = 0;                            // bytes available for data of earlier frames
  std::optional<int64_t> main_data_end_;             // where the previous frame's data end in it; nullopt: no previous
                                                     // frame
  std::vector<uint64_t> overlaps_;                   // frames of this file whose data start before that
  int64_t first_overlap_frame_ = 0;
  std::vector<uint64_t> seams_, found_seams_;
};

}  // namespace

std::vector<SoundLink> mpeg_links(ByteSource& source) {
  Walk walk(source);
  std::vector<SoundLink> links = walk.links();
  return walk.found_seams().empty() ? links : Walk(source, walk.found_seams()).links();
}

}  // namespace coil::cli
