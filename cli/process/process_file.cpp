// Reads, processes and writes block by block, so that memory does not grow with the file. Reading and writing run on
// other threads, a few blocks apart.
#include "cli/process/process_file.h"

#include <algorithm>
#include <chrono>

#include "cli/failure.h"
#include "cli/sound/sound_ahead.h"
#include "cli/sound/sound_reader.h"
#include "cli/sound/sound_writer.h"
#include "cli/text.h"
#include "dsp/decibels.h"

namespace coil::cli {
namespace {

constexpr int kStreamFrames = 8192, kMinFileFrames = 32768;  // frames read at once

// A file's share of the progress; undone if the file fails.
class FileProgress {
 public:
  FileProgress(Progress& progress, double weight) : progress_(progress), weight_(weight) {}
  ~FileProgress() {
    if (fraction_ < 1) progress_.advance(-fraction_, weight_, -seconds_);
  }
  FileProgress(const FileProgress&) = delete;
  FileProgress& operator=(const FileProgress&) = delete;

  void reach(double fraction, double seconds) {
    progress_.advance(fraction - fraction_, weight_, seconds - seconds_);
    fraction_ = fraction;
    seconds_ = seconds;
  }

 private:
  Progress& progress_;
  double weight_, fraction_ = 0, seconds_ = 0;
};

constexpr double kAllButCommitted = 0.999;

// Throws Failure.
void make_folder_of(const std::filesystem::path& file) {
  if (!file.has_parent_path()) return;
  std::error_code error;
  std::filesystem::create_directories(file.parent_path(), error);
  if (error) throw Failure(kFailed, in_quotes(file) + ": its folder cannot be made: " + error.message());
}

// Throws Error.
std::unique_ptr<dsp::RecordingProcessor> make_processor(const ProcessSettings& settings, const SoundInfo& in,
                                                        const std::vector<float>& controls, int output_rate_hz) {
  if (settings.rig)
    return dsp::chain_over_recording(settings.rig->chain(), in.sample_rate_hz, in.channels, output_rate_hz);
  return std::make_unique<dsp::OfflineProcessor>(settings.model, in.sample_rate_hz, in.channels, settings.block_frames,
                                                 controls, settings.rate_mode, settings.executor, output_rate_hz);
}

}  // namespace

void process_file(const FileJob& job, const ProcessSettings& settings, Progress& progress, FileReport& report) {
  const auto start = std::chrono::steady_clock::now();
  std::unique_ptr<SoundReader> reader = open_reader(job.in);
  const bool is_stream = reader->is_stream() || is_stream_output(job.out);  // the other end of a stream needs each
                                                                            // block at once
  const int read_frames = is_stream ? kStreamFrames : std::max(kMinFileFrames, settings.block_frames);
  if (!is_stream) reader = read_ahead(std::move(reader), read_frames);
  const SoundInfo& in = reader->info();
  report.sample_rate_hz = in.sample_rate_hz;
  report.channels = in.channels;

  FormatRequest request = job.format;
  if (request.container.empty() && is_stream_output(job.out) && !is_sound_file_name(job.out)) request.container = "wav";
  SoundInfo out_info = in;
  const OutputForm form = choose_output(request, job.out, in.format, in.channels, in.sample_rate_hz);
  out_info.format = form.format;
  out_info.sample_rate_hz = form.sample_rate_hz;
  if (in.frames >= 0)
    out_info.frames = dsp::OfflineProcessor::output_frames(in.frames, in.sample_rate_hz, form.sample_rate_hz);
  report.output_rate_hz = form.sample_rate_hz;
  const int input_kbits = bit_rate_of(job.in, in.format);
  const EncoderSetting setting = choose_setting(request.quality, out_info, input_kbits);
  report.most_kbits = setting.most_kbits;
  report.wanted_kbits = request.quality ? static_cast<int>(request.quality->value) : input_kbits;
  out_info.format = format_with_mask(out_info.format, in.channels, in.channel_mask);
  report.layout_loss = layout_loss(out_info.format, in.channels, in.channel_mask);
  const std::unique_ptr<dsp::RecordingProcessor> processor =
      make_processor(settings, in, job.controls, form.sample_rate_hz);
  if (job.create_folder) make_folder_of(job.out);
  std::unique_ptr<SoundWriter> writer = open_writer(job.out, out_info, settings.dither, setting, *reader);
  // Three threads work on a file: the model's, one that measures, and one that encodes.
  if (!is_stream) writer = write_behind(std::move(writer));
  writer = metered(std::move(writer), out_info, report.levels);
  if (!is_stream) writer = write_behind(std::move(writer));

  std::vector<float> input(static_cast<size_t>(read_frames) * in.channels);
  std::vector<float> output;
  const float gain = dsp::db_to_gain(static_cast<float>(settings.gain_db));
  FileProgress file_progress(progress, job.weight);
  for (;;) {
    const int64_t frames = reader->read(input);
    output.clear();
    if (frames > 0) {
      processor->process({input.data(), static_cast<size_t>(frames) * in.channels}, output);
    } else {
      processor->finish(output);
    }
    for (float& sample : output) sample *= gain;
    report.output_frames += static_cast<int64_t>(output.size()) / in.channels;
    writer->write(output);
    if (frames <= 0) break;

    report.frames += frames;
    report.seconds = static_cast<double>(report.frames) / in.sample_rate_hz;
    const double fraction = in.frames > 0 ? static_cast<double>(report.frames) / in.frames : 0;
    file_progress.reach(std::min(fraction, kAllButCommitted), report.seconds);
  }
  writer->commit();
  report.format = writer->format();
  report.lost_metadata = writer->lost_metadata();

  file_progress.reach(1, report.seconds);
  report.wall_seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  report.faults = processor->input_faults();
  report.restarts = processor->restarts();
  report.source = reader->faults();
}

}  // namespace coil::cli
