// The WAV chunks that matter, little-endian. Source: Microsoft's and IBM's "Multimedia Programming Interface and Data Specifications 1.0",
// Microsoft's WAVEFORMATEXTENSIBLE, EBU Tech 3306 (RF64).
#include "cli/sound/wav_stream.h"

#include <poll.h>
#include <sndfile.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>

#include "cli/failure.h"
#include "cli/interrupt.h"

namespace coil::cli {
namespace {

constexpr int kTagPcm = 1, kTagFloat = 3, kTagExtensible = 0xfffe;
constexpr int kMaxChannels = 1024;                // as libsndfile
constexpr uint32_t kUnknownSize = 0xffffffff;
constexpr size_t kPipeBytes = 4096;               // what poll() promises that a pipe will take without blocking

uint32_t little_endian(const uint8_t* bytes, int count) {
  uint32_t value = 0;
  for (int i = count - 1; i >= 0; --i) value = value << 8 | bytes[i];
  return value;
}

void put(std::vector<uint8_t>& bytes, uint64_t value, int count) {
  for (int i = 0; i < count; ++i) bytes.push_back(static_cast<uint8_t>(value >> (8 * i)));
}

void put(std::vector<uint8_t>& bytes, const char* id) { bytes.insert(bytes.end(), id, id + 4); }

// Programs that write to a pipe leave the size open in several ways.
bool is_open_size(uint32_t size) { return size == 0 || size >= 0xfffff000 || (size >= 0x7ffff000 && size <= 0x7fffffff); }

void wait_for(int descriptor, short events) {
  pollfd waiting = {descriptor, events, 0};
  for (;;) {
    throw_if_interrupted();
    // With a time limit, because the signal may come between the check and the call.
    const int ready = poll(&waiting, 1, 200);
    if (ready > 0 || (ready < 0 && errno != EINTR)) return;
  }
}

}  // namespace

WavStreamReader::WavStreamReader(int descriptor, std::string name) : descriptor_(descriptor), name_(std::move(name)) {
  read_header();
}

size_t WavStreamReader::read_bytes(void* out, size_t size) {
  size_t done = 0;
  while (done < size) {
    wait_for(descriptor_, POLLIN);
    const ssize_t n = ::read(descriptor_, static_cast<char*>(out) + done, size - done);
    if (n == 0) break;
    if (n > 0) {
      done += static_cast<size_t>(n);
    } else if (errno != EINTR && errno != EAGAIN) {
      throw Failure(kFailed, name_ + ": reading failed: " + std::strerror(errno));
    }
  }
  return done;
}

void WavStreamReader::need_bytes(void* out, size_t size) {
  if (read_bytes(out, size) < size) throw Failure(kFailed, name_ + ": the stream ends within its WAV header");
}

void WavStreamReader::skip_bytes(uint64_t size) {
  uint8_t scratch[4096];
  while (size > 0) {
    const size_t n = static_cast<size_t>(std::min<uint64_t>(size, sizeof scratch));
    need_bytes(scratch, n);
    size -= n;
  }
}

void WavStreamReader::read_format(uint32_t chunk_size) {
  if (chunk_size < 16 || chunk_size > 4096) throw Failure(kFailed, name_ + ": damaged WAV header ('fmt ' chunk)");
  std::vector<uint8_t> chunk(chunk_size + chunk_size % 2);
  need_bytes(chunk.data(), chunk.size());
  int tag = static_cast<int>(little_endian(&chunk[0], 2));
  channels_ = static_cast<int>(little_endian(&chunk[2], 2));
  const uint32_t rate = little_endian(&chunk[4], 4);
  const int bits = static_cast<int>(little_endian(&chunk[14], 2));
  if (tag == kTagExtensible && chunk_size >= 40) tag = static_cast<int>(little_endian(&chunk[24], 2));
  if (channels_ < 1 || channels_ > kMaxChannels || rate < 1 || rate > 100'000'000) {
    throw Failure(kFailed, name_ + ": damaged WAV header: " + std::to_string(channels_) + " channels at " +
                               std::to_string(rate) + " Hz");
  }
  sample_rate_hz_ = static_cast<int>(rate);
  sample_bytes_ = bits / 8;
  if (tag == kTagPcm) {
    if (bits == 8) format_ = SF_FORMAT_PCM_U8;
    if (bits == 16) format_ = SF_FORMAT_PCM_16;
    if (bits == 24) format_ = SF_FORMAT_PCM_24;
    if (bits == 32) format_ = SF_FORMAT_PCM_32;
  } else if (tag == kTagFloat) {
    if (bits == 32) format_ = SF_FORMAT_FLOAT;
    if (bits == 64) format_ = SF_FORMAT_DOUBLE;
  }
  if (format_ == 0) {
    throw Failure(kFailed, name_ + ": a WAV stream with encoding " + std::to_string(tag) + " of " + std::to_string(bits) +
                               " bits; streams may hold PCM of 8, 16, 24 or 32 bits or float of 32 or 64 bits");
  }
  format_ |= SF_FORMAT_WAV;
}

void WavStreamReader::read_header() {
  uint8_t head[12];
  const size_t got = read_bytes(head, sizeof head);
  const bool rf64 = got == sizeof head && std::memcmp(head, "RF64", 4) == 0;
  if (got < sizeof head || (!rf64 && std::memcmp(head, "RIFF", 4) != 0) || std::memcmp(head + 8, "WAVE", 4) != 0) {
    throw Failure(kFailed, name_ + (got == 0 ? ": the stream is empty; expected WAV"
                                             : ": not a WAV stream; other formats can be read from files only"));
  }
  uint64_t data_size_64 = 0;
  for (;;) {
    uint8_t chunk[8];
    need_bytes(chunk, sizeof chunk);
    const uint32_t size = little_endian(chunk + 4, 4);
    if (std::memcmp(chunk, "fmt ", 4) == 0) {
      read_format(size);
    } else if (rf64 && std::memcmp(chunk, "ds64", 4) == 0 && size >= 16) {
      uint8_t sizes[16];
      need_bytes(sizes, sizeof sizes);
      data_size_64 = little_endian(sizes + 8, 4) | static_cast<uint64_t>(little_endian(sizes + 12, 4)) << 32;
      skip_bytes(size - sizeof sizes + size % 2);
    } else if (std::memcmp(chunk, "data", 4) == 0) {
      if (format_ == 0) throw Failure(kFailed, name_ + ": damaged WAV header: no 'fmt ' chunk before 'data'");
      const uint64_t frame_bytes = static_cast<uint64_t>(sample_bytes_) * channels_;
      if (rf64 && size == kUnknownSize && data_size_64 > 0 && data_size_64 < uint64_t{1} << 62) {
        frames_ = static_cast<int64_t>(data_size_64 / frame_bytes);
      } else if (!is_open_size(size)) {
        frames_ = static_cast<int64_t>(size / frame_bytes);
      }
      return;
    } else {
      skip_bytes(static_cast<uint64_t>(size) + size % 2);
    }
  }
}

int64_t WavStreamReader::read(std::span<float> out) {
  const size_t frame_bytes = static_cast<size_t>(sample_bytes_) * channels_;
  size_t wanted = out.size() / channels_;
  if (frames_ >= 0) wanted = static_cast<size_t>(std::min<int64_t>(wanted, frames_ - frames_read_));
  bytes_.resize(wanted * frame_bytes);
  const size_t frames = read_bytes(bytes_.data(), bytes_.size()) / frame_bytes;
  frames_read_ += static_cast<int64_t>(frames);

  const uint8_t* bytes = bytes_.data();
  for (size_t i = 0; i < frames * channels_; ++i, bytes += sample_bytes_) {
    switch (format_ & SF_FORMAT_SUBMASK) {
      case SF_FORMAT_PCM_U8:
        out[i] = static_cast<float>(bytes[0] - 128) * 0x1p-7f;
        break;
      case SF_FORMAT_FLOAT:
        out[i] = std::bit_cast<float>(little_endian(bytes, 4));
        break;
      case SF_FORMAT_DOUBLE:
        out[i] = static_cast<float>(
            std::bit_cast<double>(little_endian(bytes, 4) | static_cast<uint64_t>(little_endian(bytes + 4, 4)) << 32));
        break;
      default: {
        const uint32_t aligned = little_endian(bytes, sample_bytes_) << (32 - 8 * sample_bytes_);
        out[i] = static_cast<float>(static_cast<int32_t>(aligned)) * 0x1p-31f;
      }
    }
  }

  if (frames == 0 && frames_read_ == frames_) {
    // What follows the samples is read too: the program that writes it should not meet a closed pipe.
    uint8_t rest[4096];
    while (read_bytes(rest, sizeof rest) == sizeof rest) {}
  }
  return static_cast<int64_t>(frames);
}

WavStreamWriter::WavStreamWriter(int descriptor, std::string name, int integer_bits, int sample_rate_hz, int channels,
                                 int64_t frames, bool dither)
    : descriptor_(descriptor),
      name_(std::move(name)),
      is_float_(integer_bits == 0),
      sample_bytes_(is_float_ ? 4 : integer_bits / 8),
      quantiser_(is_float_ ? 32 : integer_bits, dither && integer_bits == 16) {
  const uint64_t data_size = frames < 0 ? kUnknownSize : static_cast<uint64_t>(frames) * sample_bytes_ * channels;
  const bool open = data_size > 0xffff0000;
  std::vector<uint8_t> header;
  put(header, "RIFF");
  put(header, open ? kUnknownSize : 4 + 8 + 40 + 8 + data_size + data_size % 2, 4);
  put(header, "WAVE");
  put(header, "fmt ");
  put(header, 40, 4);
  put(header, kTagExtensible, 2);
  put(header, channels, 2);
  put(header, sample_rate_hz, 4);
  put(header, static_cast<uint64_t>(sample_rate_hz) * sample_bytes_ * channels, 4);
  put(header, static_cast<uint64_t>(sample_bytes_) * channels, 2);
  put(header, sample_bytes_ * 8, 2);
  put(header, 22, 2);
  put(header, sample_bytes_ * 8, 2);
  put(header, 0, 4);  // which loudspeakers the channels are for is not known
  put(header, is_float_ ? kTagFloat : kTagPcm, 2);
  for (int byte : {0x00, 0x00, 0x00, 0x00, 0x10, 0x00, 0x80, 0x00, 0x00, 0xaa, 0x00, 0x38, 0x9b, 0x71}) put(header, byte, 1);
  put(header, "data");
  put(header, open ? kUnknownSize : data_size, 4);
  write_bytes(header.data(), header.size());
}

void WavStreamWriter::write(std::span<const float> interleaved) {
  bytes_.clear();
  if (is_float_) {
    for (float sample : interleaved) put(bytes_, std::bit_cast<uint32_t>(sample), 4);
  } else {
    integers_.resize(interleaved.size());
    quantiser_.process(interleaved, integers_);
    for (int32_t sample : integers_) put(bytes_, static_cast<uint32_t>(sample) >> (32 - 8 * sample_bytes_), sample_bytes_);
  }
  write_bytes(bytes_.data(), bytes_.size());
  odd_ = odd_ != (bytes_.size() % 2 == 1);
}

void WavStreamWriter::finish() {
  const uint8_t padding = 0;
  if (odd_) write_bytes(&padding, 1);
}

void WavStreamWriter::write_bytes(const void* data, size_t size) {
  size_t done = 0;
  while (done < size) {
    wait_for(descriptor_, POLLOUT);
    const ssize_t n = ::write(descriptor_, static_cast<const char*>(data) + done, std::min(size - done, kPipeBytes));
    if (n >= 0) {
      done += static_cast<size_t>(n);
    } else if (errno != EINTR && errno != EAGAIN) {
      throw Failure(kFailed, name_ + ": writing failed: " + std::strerror(errno));
    }
  }
}

}  // namespace coil::cli
