// Builds the headers, and implements the callbacks that libsndfile reads through. Sources as in chunk_walk.cpp.
#include "cli/sound/sound_view.h"

#include <sndfile.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <utility>

#include "cli/failure.h"
#include "cli/sound/byte_order.h"

namespace coil::cli {
namespace {

constexpr uint64_t kEndless = uint64_t{1} << 61;  // bytes; the assumed size of a pipe
constexpr uint64_t kMostOfBlocks = 1 << 28;       // for a pipe, in encodings whose samples libsndfile counts in 32 bits
constexpr uint64_t kMost32 = 0xffff0000;          // bytes of sound up to which a 32-bit size is used
constexpr size_t kMostCopied = 1 << 14;           // of one chunk; libsndfile rejects long headers
constexpr size_t kMostFormat = 4096;

using Bytes = std::vector<uint8_t>;

void put_bytes(Bytes& to, const Bytes& from) { to.insert(to.end(), from.begin(), from.end()); }

void put_chunk(Bytes& to, const std::string& id, const Bytes& content, bool big_endian) {
  put_text(to, id);
  put_number(to, content.size(), 4, big_endian);
  put_bytes(to, content);
  if (content.size() % 2 == 1) to.push_back(0);
}

}  // namespace

struct SoundViewCallbacks {
  static SoundView& view(void* user) { return *static_cast<SoundView*>(user); }
  static sf_count_t length(void* user) { return static_cast<sf_count_t>(view(user).size_); }
  static sf_count_t tell(void* user) { return static_cast<sf_count_t>(view(user).at_); }
  static sf_count_t seek(sf_count_t offset, int whence, void* user) {
    SoundView& self = view(user);
    const sf_count_t base = whence == SEEK_CUR ? tell(user) : whence == SEEK_END ? length(user) : 0;
    self.at_ = static_cast<uint64_t>(std::clamp<sf_count_t>(base + offset, 0, length(user)));
    return tell(user);
  }
  static sf_count_t read(void* out, sf_count_t count, void* user) {
    return count <= 0
               ? 0
               : static_cast<sf_count_t>(view(user).read(static_cast<uint8_t*>(out), static_cast<uint64_t>(count)));
  }
  static sf_count_t write(const void*, sf_count_t, void*) { return 0; }
};

SoundView::SoundView(std::shared_ptr<ByteSource> source, const ChunkMap& map, const std::string& name)
    : source_(std::move(source)), map_(map), name_(name) {
  const bool may_lack_sound = map_.family == ChunkFamily::aiff;  // AIFF may lack the sound chunk if it is empty
  if (!map_.has_sound && !may_lack_sound) {
    throw Failure(kFailed, name_ + ": there is no sound in it: its header has no " +
                               (map_.family == ChunkFamily::au ? "room for one" : "'data' chunk"));
  }
  encoding_ = encoding_of(*source_, map_);
  sound_bytes_ = map_.sound_bytes;
  if (!source_->size() && encoding_.block_is_frame) sound_bytes_ = kEndless;
  if (!source_->size() && !encoding_.block_is_frame)
    sound_bytes_ = map_.sound_runs_to_end ? kMostOfBlocks : std::min(sound_bytes_, kMostOfBlocks);
  switch (map_.family) {
    case ChunkFamily::w64:
      build_w64();
      break;
    case ChunkFamily::aiff:
      build_aiff();
      break;
    case ChunkFamily::caf:
      build_caf();
      break;
    case ChunkFamily::au:
      build_au();
      break;
    default:
      build_riff();
  }
  for (const Segment& segment : segments_) size_ += segment.size;
}

sf_private_tag* SoundView::open(SF_INFO& info) {
  SF_VIRTUAL_IO io = {SoundViewCallbacks::length, SoundViewCallbacks::seek, SoundViewCallbacks::read,
                      SoundViewCallbacks::write, SoundViewCallbacks::tell};
  opening_ = true;
  SNDFILE* file = sf_open_virtual(&io, SFM_READ, &info, this);
  opening_ = false;
  rethrow();
  return file;
}

void SoundView::rethrow() {
  if (fault_) std::rethrow_exception(std::exchange(fault_, nullptr));
}

void SoundView::add(Bytes bytes) {
  const uint64_t size = bytes.size();
  segments_.push_back({std::move(bytes), 0, size});
}

void SoundView::add_sound() {
  segments_.push_back({{}, map_.sound_at, sound_bytes_, true});
  // libsndfile also reads a chunk's padding.
  add({0});
}

Bytes SoundView::need(const std::string& id, const char* what, size_t least) {
  const FoundChunk* chunk = map_.find(id);
  if (chunk == nullptr)
    throw Failure(kFailed, name_ + ": its header lacks the '" + what + "' chunk, which says how the sound is stored");
  Bytes content = content_of(*source_, *chunk, kMostFormat);
  if (content.size() < least || chunk->size > kMostFormat)
    throw Failure(kFailed, name_ + ": its header is damaged: the '" + what + "' chunk");
  return content;
}

// PCM with fewer bits than its bytes hold, such as 24 bits in 4 bytes, uses the upper ones. libsndfile only looks at
// the bits, and would read frames of the wrong size.
void widen_samples(Bytes& format, bool big_endian) {
  const uint64_t tag = number_in(std::span(format).first(2), big_endian),
                 channels = number_in(std::span(format).subspan(2, 2), big_endian);
  const uint64_t bytes = channels == 0 ? 0 : number_in(std::span(format).subspan(12, 2), big_endian) / channels;
  const bool is_pcm = tag == 1 || (tag == 0xfffe && format.size() >= 26 &&
                                   number_in(std::span(format).subspan(24, 2), big_endian) == 1);
  const uint64_t bits = number_in(std::span(format).subspan(14, 2), big_endian);
  if (!is_pcm || bytes > 4 || (bits + 7) / 8 >= bytes) return;
  format[big_endian ? 15 : 14] = static_cast<uint8_t>(8 * bytes);
}

// libsndfile takes W64's extended format chunk for an integer format, whatever it says.
void shorten_format(Bytes& format) {
  constexpr size_t kShort = 16, kSubformat = 24;
  if (format.size() < kSubformat + 2 || number_in(std::span(format).first(2), false) != 0xfffe) return;
  const uint64_t tag = number_in(std::span(format).subspan(kSubformat, 2), false);
  if (tag != 1 && tag != 3) return;
  std::copy_n(format.begin() + kSubformat, 2, format.begin());
  format.resize(kShort);
}

void SoundView::build_riff() {
  Bytes format = need("fmt ", "fmt ", 16);
  const bool big = map_.big_endian;
  widen_samples(format, big);
  // libsndfile's RF64 supports no others.
  const bool wide = sound_bytes_ > kMost32 && encoding_.block_is_frame && !big;
  if (!wide) sound_bytes_ = std::min(sound_bytes_, kMost32);

  Bytes head, copied;
  if (const FoundChunk* fact = map_.find("fact");
      fact && !encoding_.block_is_frame && !map_.truncated && !map_.unfinalised && source_->size()) {
    put_chunk(copied, "fact", content_of(*source_, *fact, 4), big);
  }
  Bytes body;
  put_chunk(body, "fmt ", format, big);
  put_bytes(body, copied);
  put_text(body, "data");
  put_number(body, wide ? UINT32_MAX : sound_bytes_, 4, big);
  if (wide) {
    constexpr int kSizesBytes = 28;
    put_text(head, "RF64");
    put_number(head, UINT32_MAX, 4);
    put_text(head, "WAVEds64");
    put_number(head, kSizesBytes, 4);
    put_number(head, 4 + 8 + kSizesBytes + body.size() + sound_bytes_ + sound_bytes_ % 2, 8);
    put_number(head, sound_bytes_, 8);
    put_number(head, sound_bytes_ / std::max<uint64_t>(encoding_.block_bytes, 1), 8);
    put_number(head, 0, 4);
  } else {
    put_text(head, big ? "RIFX" : "RIFF");
    put_number(head, std::min<uint64_t>(4 + body.size() + sound_bytes_ + sound_bytes_ % 2, UINT32_MAX), 4, big);
    put_text(head, "WAVE");
  }
  put_bytes(head, body);
  add(std::move(head));
  add_sound();
}

void SoundView::build_w64() {
  Bytes format = need(w64_guid("fmt "), "fmt ", 16);
  widen_samples(format, false);
  shorten_format(format);
  constexpr uint64_t kHeader = 24, kFormHeader = 40;
  Bytes head, body;
  put_text(body, w64_guid("fmt "));
  put_number(body, kHeader + format.size(), 8);
  put_bytes(body, format);
  body.resize((body.size() + 7) / 8 * 8);
  const FoundChunk* fact = map_.find(w64_guid("fact"));
  if (fact && fact->size == 8 && !map_.truncated && !map_.unfinalised && source_->size()) {
    put_text(body, w64_guid("fact"));
    put_number(body, kHeader + 8, 8);
    put_bytes(body, content_of(*source_, *fact, 8));
  }
  put_text(body, w64_guid("data"));
  put_number(body, kHeader + sound_bytes_, 8);
  put_text(head, w64_guid("riff"));
  put_number(head, kFormHeader + body.size() + sound_bytes_, 8);
  put_text(head, w64_guid("wave"));
  put_bytes(head, body);
  add(std::move(head));
  add_sound();
}

void SoundView::build_aiff() {
  Bytes common = need("COMM", "COMM", 18);
  const bool is_c = map_.form == "AIFC";
  const std::string encoding =
      is_c && common.size() >= 22 ? std::string(common.begin() + 18, common.begin() + 22) : "NONE";
  if (sound_bytes_ > kMost32) {
    const auto number = [&](size_t at) {
      return static_cast<uint16_t>(number_in(std::span(common).subspan(at, 2), true));
    };
    build_aiff_as_caf(number(0), number(6), Bytes(common.begin() + 8, common.begin() + 18), encoding);
    return;
  }
  if (encoding_.block_bytes > 0) {
    Bytes frames;
    put_number(frames, sound_bytes_ / encoding_.block_bytes, 4, true);
    std::copy(frames.begin(), frames.end(), common.begin() + 2);
  }
  Bytes head, body;
  put_text(body, is_c ? "AIFC" : "AIFF");
  if (is_c) put_chunk(body, "FVER", {0xa2, 0x80, 0x51, 0x40}, true);
  put_chunk(body, "COMM", common, true);
  put_text(body, "SSND");
  put_number(body, 8 + sound_bytes_, 4, true);
  put_number(body, 0, 8, true);
  put_text(head, "FORM");
  put_number(head, body.size() + sound_bytes_ + sound_bytes_ % 2, 4, true);
  put_bytes(head, body);
  add(std::move(head));
  add_sound();
}

// AIFF cannot state a size above 4 GiB; CAF can hold the same samples.
void SoundView::build_aiff_as_caf(uint16_t channels, uint16_t bits, const Bytes& rate, const std::string& encoding) {
  constexpr uint32_t kFloat = 1, kLittleEndian = 2;
  std::string name = "lpcm";
  uint32_t flags = 0, bytes = (bits + 7u) / 8;
  if (encoding == "sowt") flags = kLittleEndian;
  if (encoding == "ulaw" || encoding == "ULAW" || encoding == "alaw" || encoding == "ALAW") {
    name = encoding == "ulaw" || encoding == "ULAW" ? "ulaw" : "alaw";
    bytes = 1;
    bits = 8;
  } else if (encoding == "fl32" || encoding == "FL32" || encoding == "fl64" || encoding == "FL64") {
    flags = kFloat;
    bytes = encoding == "fl32" || encoding == "FL32" ? 4 : 8;
  } else if (encoding == "in24" || encoding == "in32" || encoding == "42n1" || encoding == "23n1") {
    bytes = encoding == "in24" || encoding == "42n1" ? 3 : 4;
    if (encoding == "42n1" || encoding == "23n1") flags = kLittleEndian;
  } else if (encoding != "NONE" && encoding != "twos" && encoding != "sowt") {
    throw Failure(kFailed, name_ + ": AIFF-C of encoding '" + encoding +
                               "' is read only where it says how long it is, below 4 GiB");
  }
  // 80-bit extended: sign and exponent, then the mantissa with its explicit leading one.
  const int exponent = static_cast<int>(number_in(std::span(rate).first(2), true) & 0x7fff) - 16383 - 63;
  const double rate_hz = std::ldexp(static_cast<double>(number_in(std::span(rate).subspan(2, 8), true)), exponent);
  uint64_t rate_bits;
  std::memcpy(&rate_bits, &rate_hz, sizeof rate_bits);

  Bytes head;
  put_text(head, "caff");
  put_number(head, 0x00010000, 4, true);
  put_text(head, "desc");
  put_number(head, 32, 8, true);
  put_number(head, rate_bits, 8, true);
  put_text(head, name);
  put_number(head, flags, 4, true);
  put_number(head, uint64_t{bytes} * channels, 4, true);
  put_number(head, 1, 4, true);
  put_number(head, channels, 4, true);
  put_number(head, name == "lpcm" ? 8 * bytes : bits, 4, true);
  put_text(head, "data");
  put_number(head, 4 + sound_bytes_, 8, true);
  put_number(head, 0, 4, true);
  add(std::move(head));
  add_sound();
}

// Some programs state the bits per sample only in ALAC's cookie; libsndfile needs it before that.
void set_alac_bits(Bytes& description, const Bytes& cookie) {
  constexpr size_t kFlags = 12, kAtom = 12, kBits = 5;
  const auto has = [](const Bytes& bytes, size_t at, const char* name) {
    return bytes.size() >= at + 4 && std::memcmp(&bytes[at], name, 4) == 0;
  };
  if (!has(description, 8, "alac") || number_in(std::span(description).subspan(kFlags, 4), true) != 0) return;
  size_t at = has(cookie, 4, "frma") ? kAtom : 0;
  if (has(cookie, at + 4, "alac")) at += kAtom;
  static constexpr uint8_t kBitsOfFlags[] = {16, 20, 24, 32};
  for (size_t i = 0; i < std::size(kBitsOfFlags) && at + kBits < cookie.size(); ++i) {
    if (cookie[at + kBits] == kBitsOfFlags[i]) description[kFlags + 3] = static_cast<uint8_t>(i + 1);
  }
}

// For ALAC: states only the packets that exist. libsndfile trusts any number, and allocates memory for it.
void SoundView::add_packet_table(const Bytes& description) {
  constexpr size_t kHeaderBytes = 24, kMostBytes = 1 << 26, kLongestSize = 5;
  const FoundChunk* chunk = map_.find("pakt");
  const Bytes table = chunk != nullptr ? content_of(*source_, *chunk, kMostBytes) : Bytes();
  const auto number = [&](size_t at, size_t bytes) { return number_in(std::span(table).subspan(at, bytes), true); };
  uint64_t packets = 0, sound = 0;
  size_t end = kHeaderBytes;
  while (table.size() > end && packets < number(0, 8)) {
    uint64_t size = 0;
    size_t at = end, last = std::min(table.size(), end + kLongestSize);
    while (at < last && table[at] & 0x80) size = size << 7 | (table[at++] & 0x7f);
    if (at == last) break;
    sound += size << 7 | table[at];
    if (sound > sound_bytes_) break;
    ++packets;
    end = at + 1;
  }
  if (packets == 0) {
    const char* why = source_->size()
                          ? " is missing or damaged"
                          : " is not before the sound or is damaged; a file can be read if it comes after the sound";
    throw Failure(kFailed, name_ + ": cannot be read: ALAC needs its table of packets, the 'pakt' chunk, which" + why);
  }
  packets_are_missing_ = packets < number(0, 8);
  const uint64_t room = packets * number_in(std::span(description).subspan(20, 4), true), skipped = number(16, 4);
  Bytes head;
  put_text(head, "pakt");
  put_number(head, end, 8, true);
  put_number(head, packets, 8, true);
  put_number(head, std::min(number(8, 8), room - std::min(room, skipped)), 8, true);
  head.insert(head.end(), table.begin() + 16, table.begin() + static_cast<std::ptrdiff_t>(end));
  add(std::move(head));
}

void SoundView::build_caf() {
  Bytes description = need("desc", "desc", 32);
  if (const FoundChunk* cookie = map_.find("kuki"))
    set_alac_bits(description, content_of(*source_, *cookie, kMostCopied));
  Bytes head;
  put_text(head, "caff");
  put_number(head, 0x00010000, 4, true);
  for (const FoundChunk& chunk : map_.chunks) {
    static constexpr std::string_view kCopied[] = {"desc", "chan", "kuki"};
    if (std::find(std::begin(kCopied), std::end(kCopied), chunk.id) == std::end(kCopied)) continue;
    if (chunk.size > kMostCopied) continue;
    put_text(head, chunk.id);
    put_number(head, chunk.size, 8, true);
    put_bytes(head, chunk.id == "desc" ? description : content_of(*source_, chunk, kMostCopied));
  }
  add(std::exchange(head, {}));
  if (std::memcmp(&description[8], "alac", 4) == 0) add_packet_table(description);
  put_text(head, "data");
  put_number(head, 4 + sound_bytes_, 8, true);
  put_number(head, 0, 4, true);
  add(std::move(head));
  add_sound();
}

void SoundView::build_au() {
  Bytes head(24);
  if (source_->read_at(0, head) < head.size()) throw Failure(kFailed, name_ + ": ends within its header");
  Bytes sizes;
  put_number(sizes, head.size(), 4, map_.big_endian);
  put_number(sizes, sound_bytes_ > kMost32 ? UINT32_MAX : sound_bytes_, 4, map_.big_endian);
  std::copy(sizes.begin(), sizes.end(), head.begin() + 4);
  add(std::move(head));
  segments_.push_back({{}, map_.sound_at, sound_bytes_, true});
}

size_t SoundView::read(uint8_t* out, uint64_t count) {
  size_t done = 0;
  uint64_t begin = 0;  // of the segment
  for (const Segment& segment : segments_) {
    while (done < count && at_ >= begin && at_ < begin + segment.size) {
      const uint64_t from = at_ - begin;
      const std::span<uint8_t> part(out + done, static_cast<size_t>(std::min(count - done, segment.size - from)));
      size_t got = part.size();
      if (!segment.bytes.empty()) {
        std::copy_n(segment.bytes.begin() + static_cast<std::ptrdiff_t>(from), part.size(), part.begin());
      } else {
        got = read_sound(segment, from, part);
      }
      at_ += got;
      done += got;
      if (got < part.size()) return done;
    }
    begin += segment.size;
  }
  return done;
}

size_t SoundView::read_sound(const Segment& segment, uint64_t from, std::span<uint8_t> out) {
  const size_t got = read_source(segment, from, out);
  if (segment.is_sound) {
    sound_read_until_ = std::max(sound_read_until_, from + got);
    sound_ended_ = sound_ended_ || (got < out.size() && !opening_);
  }
  return got;
}

size_t SoundView::read_source(const Segment& segment, uint64_t from, std::span<uint8_t> out) {
  if (fault_) return 0;
  // libsndfile counts skipped bytes in 32 bits, and would take sound of more than 2 GiB for chunks.
  if (opening_ && encoding_.block_is_frame && segment.is_sound) return 0;
  try {
    if (segment.is_sound && !source_->size() && !map_.sound_runs_to_end && !went_on_) {
      const uint64_t left = from < map_.sound_bytes ? map_.sound_bytes - from : 0;
      if (left < out.size()) {
        // Up to the stated end, and beyond it if the sound continues.
        const size_t got = source_->read_at(segment.at + from, out.first(static_cast<size_t>(left)));
        if (got < left || ended_ || sound_ends_at(*source_, map_, segment.at + map_.sound_bytes)) {
          ended_ = true;
          return got;
        }
        went_on_ = true;
        return got + source_->read_at(segment.at + from + got, out.subspan(got));
      }
    }
    return source_->read_at(segment.at + from, out);
  } catch (...) {
    fault_ = std::current_exception();
    return 0;
  }
}

}  // namespace coil::cli
