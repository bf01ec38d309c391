// Reads, processes and writes block by block, so that memory does not grow with the file.
#include "cli/process_file.h"

#include <algorithm>
#include <chrono>
#include <cmath>

#include "cli/sound_reader.h"
#include "cli/sound_writer.h"

namespace coil::cli {
namespace {

constexpr int kReadFrames = 8192;

void apply_gain(std::vector<float>& samples, float gain, bool clips, FileReport& report) {
  for (float& sample : samples) {
    sample *= gain;
    const float magnitude = std::fabs(sample);
    report.peak = std::max<double>(report.peak, magnitude);
    if (clips && magnitude > 1.0f) ++report.clipped;
  }
}

}  // namespace

void process_file(const FileJob& job, const ProcessSettings& settings, Progress& progress, FileReport& report) {
  const auto start = std::chrono::steady_clock::now();
  const std::unique_ptr<SoundReader> reader = open_reader(job.in);
  const SoundInfo& in = reader->info();
  report.sample_rate_hz = in.sample_rate_hz;
  report.channels = in.channels;

  FormatRequest request = settings.format;
  if (job.out == "-") request.container = "wav";
  SoundInfo out_info = in;
  out_info.format = choose_format(request, job.out, in.format, in.channels, in.sample_rate_hz);
  dsp::OfflineProcessor processor(settings.model, in.sample_rate_hz, in.channels, settings.block_frames, settings.controls,
                                  settings.rate_mode);
  if (job.create_folder) std::filesystem::create_directories(job.out.parent_path());
  const std::unique_ptr<SoundWriter> writer = open_writer(job.out, out_info, settings.dither, *reader);
  const float gain = static_cast<float>(std::pow(10.0, settings.gain_db / 20));
  const bool clips = integer_bits(writer->format()) > 0;

  std::vector<float> input(static_cast<size_t>(kReadFrames) * in.channels);
  std::vector<float> output;
  double fraction_done = 0;
  for (;;) {
    const int64_t frames = reader->read(input);
    output.clear();
    if (frames > 0) {
      processor.process({input.data(), static_cast<size_t>(frames) * in.channels}, output);
    } else {
      processor.finish(output);
    }
    apply_gain(output, gain, clips, report);
    writer->write(output);
    if (frames <= 0) break;

    report.frames += frames;
    const double fraction = in.frames > 0 ? std::min(1.0, static_cast<double>(report.frames) / in.frames) : 0;
    progress.advance(fraction - fraction_done, static_cast<double>(frames) / in.sample_rate_hz);
    fraction_done = fraction;
  }
  writer->commit();
  report.format = writer->format();

  progress.advance(1 - fraction_done, 0);
  report.seconds = static_cast<double>(report.frames) / in.sample_rate_hz;
  report.wall_seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  report.faults = processor.input_faults();
  report.restarts = processor.restarts();
  report.truncated = reader->truncated();
}

}  // namespace coil::cli
