// WAV through pipes, which cannot seek and of which nobody knows how long they will be; libsndfile needs files.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "cli/sound/quantiser.h"

namespace coil::cli {

// Reads a RIFF or RF64 stream of PCM (8, 16, 24, 32 bit) or IEEE float (32, 64 bit). [one thread at a time]
class WavStreamReader {
 public:
  // `descriptor` stays the caller's. Reads the header; throws Failure.
  WavStreamReader(int descriptor, std::string name);

  int sample_rate_hz() const { return sample_rate_hz_; }
  int channels() const { return channels_; }
  int format() const { return format_; }    // as libsndfile has it
  int64_t frames() const { return frames_; }  // as the header says; -1: it does not say

  // Interleaved; returns how many frames were there, fewer than asked for only at the end. Throws Failure and Interrupted.
  int64_t read(std::span<float> out);

 private:
  size_t read_bytes(void* out, size_t size);  // fewer only at the end of the stream
  void need_bytes(void* out, size_t size);
  void skip_bytes(uint64_t size);
  void read_header();
  void read_format(uint32_t chunk_size);

  int descriptor_;
  std::string name_;
  int sample_rate_hz_ = 0, channels_ = 0, format_ = 0, sample_bytes_ = 0;
  int64_t frames_ = -1, frames_read_ = 0;
  std::vector<uint8_t> bytes_;
};

// Writes a WAV stream; a length that is not known is written as 0xFFFFFFFF, which readers take as "until the end". [one thread at a time]
class WavStreamWriter {
 public:
  // `integer_bits`: 16, 24 or 32; 0: float of 32 bits. `frames`: -1 when not known. Writes the header; throws Failure.
  WavStreamWriter(int descriptor, std::string name, int integer_bits, int sample_rate_hz, int channels, int64_t frames, bool dither);

  // Throws Failure and Interrupted.
  void write(std::span<const float> interleaved);
  void finish();

 private:
  void write_bytes(const void* data, size_t size);

  int descriptor_;
  std::string name_;
  bool is_float_;
  int sample_bytes_;
  bool odd_ = false;  // whether the bytes of all samples so far are odd in number
  Quantiser quantiser_;
  std::vector<int32_t> integers_;
  std::vector<uint8_t> bytes_;
};

}  // namespace coil::cli
