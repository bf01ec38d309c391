// Sound from tokens, by the writers of sound files.
#include "cli/tokens/mu_law_output.h"

#include <sndfile.h>

#include <cmath>

#include "cli/failure.h"
#include "cli/sound/encoder_quality.h"
#include "cli/sound/sound_format.h"
#include "cli/sound/sound_reader.h"
#include "cli/text.h"

namespace coil::cli {
namespace {

constexpr size_t kBlock = 256;  // samples per write

// The writers copy metadata from an input, and a generated sound has none.
class NoInput : public SoundReader {
 public:
  explicit NoInput(const SoundInfo& info) { info_ = info; }
  int64_t read(std::span<float>) override { return 0; }
  SoundFaults faults() const override { return {}; }
};

}  // namespace

float mu_law_sample(int32_t token) {
  constexpr double kMu = kMuLawTokens - 1;
  const double companded = 2 * token / kMu - 1;
  return float(std::copysign(std::expm1(std::abs(companded) * std::log1p(kMu)) / kMu, companded));
}

MuLawOutput::MuLawOutput(const std::filesystem::path& path, int sample_rate_hz) {
  SoundInfo info;
  info.sample_rate_hz = sample_rate_hz;
  info.channels = 1;
  FormatRequest request;
  if (is_stream_output(path) && !is_sound_file_name(path)) request.container = "wav";
  const OutputForm form = choose_output(request, path, SF_FORMAT_WAV | SF_FORMAT_PCM_16, info.channels, sample_rate_hz);
  if (form.sample_rate_hz != sample_rate_hz)
    throw Failure(kUsage, in_quotes(path) + ": its format has no rate of " + std::to_string(sample_rate_hz) +
                              " Hz; a .wav or .flac has");
  info.format = form.format;
  NoInput none(info);
  writer_ = open_writer(path, info, false, choose_setting(request.quality, info, 0), none);
}

void MuLawOutput::write(int32_t token) {
  samples_.push_back(mu_law_sample(token));
  if (samples_.size() < kBlock) return;
  writer_->write(samples_);
  samples_.clear();
}

void MuLawOutput::finish(bool) {
  writer_->write(samples_);
  writer_->commit();
}

}  // namespace coil::cli
