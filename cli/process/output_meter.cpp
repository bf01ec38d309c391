// A writer that measures the sound on its way to another writer.
#include "cli/process/output_meter.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "cli/sound/sound_format.h"
#include "dsp/decibels.h"
#include "dsp/loudness.h"

namespace coil::cli {
namespace {

class OutputMeter final : public SoundWriter {
 public:
  OutputMeter(std::unique_ptr<SoundWriter> writer, const SoundInfo& info, double gain_db, FileReport& report)
      : writer_(std::move(writer)),
        gain_(dsp::db_to_gain(static_cast<float>(gain_db))),
        largest_(largest_sample(writer_->format())),
        loudness_(info.sample_rate_hz, info.channels),
        report_(report) {
    format_ = writer_->format();
  }

  void write(std::span<const float> in) override {
    samples_.assign(in.begin(), in.end());
    float peak = 0;
    int64_t clipped = 0;
    for (float& sample : samples_) {
      sample *= gain_;
      const float magnitude = std::fabs(sample);
      peak = std::max(peak, magnitude);
      clipped += magnitude > largest_;
    }
    report_.peak = std::max<double>(report_.peak, peak);
    report_.clipped += clipped;
    loudness_.add(samples_);
    writer_->write(samples_);
  }

  void commit() override {
    writer_->commit();
    format_ = writer_->format();
    lost_metadata_ = writer_->lost_metadata();
    report_.loudness_lufs = loudness_.integrated_lufs();
  }

 private:
  std::unique_ptr<SoundWriter> writer_;
  const float gain_;
  const float largest_;
  dsp::LoudnessMeter loudness_;
  FileReport& report_;
  std::vector<float> samples_;
};

}  // namespace

std::unique_ptr<SoundWriter> metered(std::unique_ptr<SoundWriter> writer, const SoundInfo& info, double gain_db,
                                     FileReport& report) {
  return std::make_unique<OutputMeter>(std::move(writer), info, gain_db, report);
}

}  // namespace coil::cli
