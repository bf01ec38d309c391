// Writes WAV to pipes, which are not seekable and whose final length is unknown; libsndfile needs files.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "cli/sound/metadata.h"
#include "cli/sound/quantiser.h"

namespace coil::cli {

// An unknown length is written as 0xFFFFFFFF, which readers take as "until the end". One thread at a time.
class WavStreamWriter {
 public:
  // `integer_bits`: 16, 24 or 32; 0: 32-bit float. `channel_mask`: 0 if unknown. `frames`: -1 if unknown. Writes the
  // header with these chunks; throws Failure.
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
  bool odd_ = false;  // whether an odd number of sample bytes was written
  Quantiser quantiser_;
  std::vector<int32_t> integers_;
  std::vector<uint8_t> bytes_;
};

}  // namespace coil::cli
