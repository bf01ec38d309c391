// Writes the tokens of a raw-audio model as sound: each is one sample in 8-bit mu-law.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <vector>

#include "cli/sound/sound_writer.h"
#include "cli/tokens/token_output.h"

namespace coil::cli {

inline constexpr int kMuLawTokens = 256;

// The sample of a token from 0 (-1) to 255 (+1). Source: van den Oord et al. 2016 (WaveNet), with mu = 255.
float mu_law_sample(int32_t token);

class MuLawOutput : public TokenOutput {
 public:
  // The file's extension gives the format; "-" is WAV on standard output. Throws Failure.
  MuLawOutput(const std::filesystem::path& path, int sample_rate_hz);

  void write(int32_t token) override;
  void finish(bool goes_on) override;

 private:
  std::unique_ptr<SoundWriter> writer_;
  std::vector<float> samples_;
};

}  // namespace coil::cli
