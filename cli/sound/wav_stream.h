// WAV into pipes, which cannot seek and of which nobody knows how long they will be; libsndfile needs files.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "cli/sound/metadata.h"
#include "cli/sound/quantiser.h"

namespace coil::cli {

// Writes a WAV stream; a length that is not known is written as 0xFFFFFFFF, which readers take as "until the end". [one
// thread at a time]
class WavStreamWriter {
 public:
  // `integer_bits`: 16, 24 or 32; 0: float of 32 bits. `channel_mask`: 0 when not known. `frames`: -1 when not known.
  // Writes the header, with the chunks in it; throws Failure.
  WavStreamWriter(int descriptor, std::string name, int integer_bits, int sample_rate_hz, int channels,
                  uint32_t channel_mask, int64_t frames, bool dither, const std::vector<MetadataChunk>& chunks);

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
