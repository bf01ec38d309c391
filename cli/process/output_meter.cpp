// A writer that measures the sound on its way to another writer.
#include "cli/process/output_meter.h"

#include <algorithm>
#include <cmath>

#include "cli/sound/sound_format.h"
#include "dsp/loudness.h"

namespace coil::cli {
namespace {

class OutputMeter final : public SoundWriter {
 public:
  OutputMeter(std::unique_ptr<SoundWriter> writer, const SoundInfo& info, OutputLevels& levels)
      : writer_(std::move(writer)),
        largest_(largest_sample(writer_->format())),
        loudness_(info.sample_rate_hz, info.channels),
        levels_(levels) {
    format_ = writer_->format();
  }

  void write(std::span<const float> in) override {
    float peak = 0;
    int64_t clipped = 0;
    for (const float sample : in) {
      const float magnitude = std::fabs(sample);
      peak = std::max(peak, magnitude);
      clipped += magnitude > largest_;
    }
    levels_.peak = std::max<double>(levels_.peak, peak);
    levels_.clipped += clipped;
    loudness_.add(in);
    writer_->write(in);
  }

  void commit() override {
    writer_->commit();
    format_ = writer_->format();
    lost_metadata_ = writer_->lost_metadata();
    levels_.loudness_lufs = loudness_.integrated_lufs();
  }

 private:
  std::unique_ptr<SoundWriter> writer_;
  const float largest_;
  dsp::LoudnessMeter loudness_;
  OutputLevels& levels_;
};

}  // namespace

std::unique_ptr<SoundWriter> metered(std::unique_ptr<SoundWriter> writer, const SoundInfo& info, OutputLevels& levels) {
  return std::make_unique<OutputMeter>(std::move(writer), info, levels);
}

}  // namespace coil::cli
