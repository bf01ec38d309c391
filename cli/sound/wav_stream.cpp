// The WAV chunks that matter, little-endian. Source: Microsoft's and IBM's "Multimedia Programming Interface and Data
// Specifications 1.0", Microsoft's WAVEFORMATEXTENSIBLE, EBU Tech 3306 (RF64).
#include "cli/sound/wav_stream.h"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>

#include "cli/failure.h"
#include "cli/sound/byte_order.h"
#include "cli/sound/byte_source.h"

namespace coil::cli {
namespace {

constexpr int kTagPcm = 1, kTagFloat = 3, kTagExtensible = 0xfffe;
constexpr uint32_t kUnknownSize = 0xffffffff;
constexpr size_t kPipeBytes = 4096;  // poll() guarantees that a pipe accepts this many bytes without blocking

}  // namespace

WavStreamWriter::WavStreamWriter(int descriptor, std::string name, int integer_bits, int sample_rate_hz, int channels,
                                 uint32_t channel_mask, int64_t frames, bool dither,
                                 const std::vector<MetadataChunk>& chunks)
    : descriptor_(descriptor),
      name_(std::move(name)),
      is_float_(integer_bits == 0),
      sample_bytes_(is_float_ ? 4 : integer_bits / 8),
      quantiser_(is_float_ ? 32 : integer_bits, dither && integer_bits == 16) {
  const uint64_t data_size = frames < 0 ? kUnknownSize : static_cast<uint64_t>(frames) * sample_bytes_ * channels;
  const bool open = data_size > 0xffff0000;
  std::vector<uint8_t> header, carried;
  for (const MetadataChunk& chunk : chunks) {
    put_text(carried, chunk.id);
    put_number(carried, chunk.content.size(), 4);
    carried.insert(carried.end(), chunk.content.begin(), chunk.content.end());
    if (chunk.content.size() % 2 == 1) carried.push_back(0);
  }
  put_text(header, "RIFF");
  put_number(header, open ? kUnknownSize : 4 + 8 + 40 + carried.size() + 8 + data_size + data_size % 2, 4);
  put_text(header, "WAVE");
  put_text(header, "fmt ");
  put_number(header, 40, 4);
  put_number(header, kTagExtensible, 2);
  put_number(header, channels, 2);
  put_number(header, sample_rate_hz, 4);
  put_number(header, static_cast<uint64_t>(sample_rate_hz) * sample_bytes_ * channels, 4);
  put_number(header, static_cast<uint64_t>(sample_bytes_) * channels, 2);
  put_number(header, sample_bytes_ * 8, 2);
  put_number(header, 22, 2);
  put_number(header, sample_bytes_ * 8, 2);
  put_number(header, channel_mask, 4);
  put_number(header, is_float_ ? kTagFloat : kTagPcm, 2);
  for (int byte : {0x00, 0x00, 0x00, 0x00, 0x10, 0x00, 0x80, 0x00, 0x00, 0xaa, 0x00, 0x38, 0x9b, 0x71})
    put_number(header, byte, 1);
  header.insert(header.end(), carried.begin(), carried.end());
  put_text(header, "data");
  put_number(header, open ? kUnknownSize : data_size, 4);
  write_bytes(header.data(), header.size());
}

void WavStreamWriter::write(std::span<const float> interleaved) {
  bytes_.clear();
  if (is_float_) {
    for (float sample : interleaved) put_number(bytes_, std::bit_cast<uint32_t>(sample), 4);
  } else {
    integers_.resize(interleaved.size());
    quantiser_.process(interleaved, integers_);
    for (int32_t sample : integers_)
      put_number(bytes_, static_cast<uint32_t>(sample) >> (32 - 8 * sample_bytes_), sample_bytes_);
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
