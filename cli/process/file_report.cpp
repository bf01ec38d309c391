// Fields, sentences, and the file of lines.
#include "cli/process/file_report.h"

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>

#include "cli/failure.h"
#include "cli/text.h"

namespace coil::cli {
namespace {

std::string damage(const SoundFaults& faults, int sample_rate_hz) {
  if (faults.damaged_places == 0)
    return "damaged: the sound does not match the file's own checksum; all of it has been processed";
  const double first_s = static_cast<double>(faults.first_damage_frame) / sample_rate_hz;
  return "damaged in " + counted(faults.damaged_places, "place") + ", the first at " + fixed(first_s, 3) + " s; " +
         counted(faults.lost_frames, "frame") + " lost; the rest has been processed";
}

}  // namespace

nlohmann::json done_line(const FileJob& job, const FileReport& report) {
  nlohmann::json line = {{"status", "ok"}, {"in", job.in.string()}, {"out", job.out.string()}};
  line["frames"] = report.frames;
  line["rate"] = report.sample_rate_hz;
  line["output_frames"] = report.output_frames;
  line["output_rate"] = report.output_rate_hz;
  line["channels"] = report.channels;
  line["format"] = describe_format(report.format);
  line["seconds"] = report.seconds;
  line["wall_seconds"] = report.wall_seconds;
  line["x_realtime"] = report.seconds / std::max(report.wall_seconds, 1e-9);
  line["peak_db"] = report.levels.peak > 0 ? nlohmann::json(decibels(report.levels.peak)) : nlohmann::json();
  line["loudness_lufs"] = report.levels.loudness_lufs ? nlohmann::json(*report.levels.loudness_lufs) : nlohmann::json();
  line["clipped"] = report.levels.clipped;
  line["non_finite"] = report.faults.non_finite;
  line["too_loud"] = report.faults.too_loud;
  line["restarts"] = report.restarts;
  line["truncated"] = report.source.truncated;
  line["unfinalised"] = report.source.unfinalised;
  line["damaged"] = report.source.damaged();
  if (report.source.damaged_places > 0) {
    line["damaged_places"] = report.source.damaged_places;
    line["first_damage_s"] = static_cast<double>(report.source.first_damage_frame) / report.sample_rate_hz;
    line["lost_frames"] = report.source.lost_frames;
  }
  if (!report.lost_metadata.empty()) line["lost_metadata"] = report.lost_metadata;
  if (!report.layout_loss.empty()) line["layout_loss"] = report.layout_loss;
  if (!report.source.left_out.empty()) line["left_out"] = report.source.left_out;
  return line;
}

nlohmann::json failed_line(const FileJob& job, const std::string& error) {
  return {{"status", "failed"}, {"in", job.in.string()}, {"out", job.out.string()}, {"error", error}};
}

std::vector<std::string> warnings(const FileJob& job, const FileReport& report, double gain_db) {
  std::vector<std::string> lines;
  const std::string begin = "coil: warning: " + in_quotes(job.in) + ": ";
  if (job.format.sample_rate_hz == 0 && report.output_rate_hz != report.sample_rate_hz) {
    lines.push_back(begin + "the output's format has no " + std::to_string(report.sample_rate_hz) +
                    " Hz; it is resampled to " + std::to_string(report.output_rate_hz) + " Hz");
  }
  if (report.most_kbits > 0) {
    lines.push_back(begin + "the output's encoder has " + std::to_string(report.most_kbits) +
                    " kbit/s at most at this rate, and is set to that in place of " +
                    std::to_string(report.wanted_kbits));
  }
  if (report.source.truncated) lines.push_back(begin + "ends before it should; the existing part was processed");
  if (report.source.damaged()) lines.push_back(begin + damage(report.source, report.sample_rate_hz));
  if (report.source.unfinalised) {
    lines.push_back(begin +
                    "its header leaves open or understates how long it is (never finalised, or beyond 4 GiB); all " +
                    counted(report.frames, "frame") + " that are there have been processed");
  }
  if (!report.source.damaged_chunks.empty()) {
    lines.push_back(begin + "damaged, left out: " + joined(report.source.damaged_chunks));
  }
  if (!report.lost_metadata.empty()) {
    lines.push_back(begin + "metadata that the output cannot hold was left out: " + joined(report.lost_metadata));
  }
  if (!report.source.left_out.empty()) lines.push_back(begin + "not processed: " + report.source.left_out);
  if (!report.layout_loss.empty()) lines.push_back(begin + report.layout_loss);
  if (report.faults.non_finite > 0) {
    lines.push_back(begin + counted(report.faults.non_finite, "sample") + " not finite (NaN or infinity), taken as 0");
  }
  if (report.faults.too_loud > 0) {
    lines.push_back(begin + counted(report.faults.too_loud, "sample") + " beyond " + fixed(decibels(dsp::kLoudest), 0) +
                    " dBFS, taken as 0; full scale is 1");
  }
  if (report.restarts > 0) {
    lines.push_back(begin + "the model overflowed and started anew " + counted(report.restarts, "time"));
  }
  if (report.levels.clipped > 0) {
    const double safe_gain_db =
        std::floor(10 * (gain_db - decibels(report.levels.peak / largest_sample(report.format)))) / 10;
    lines.push_back(begin + "the output clips in " + counted(report.levels.clipped, "sample") + ": its peak is " +
                    fixed(decibels(report.levels.peak), 1) + " dBFS; --gain " + fixed(safe_gain_db, 1) +
                    (container_can_hold_float(report.format) ? " or --bits 32f avoids it" : " avoids it"));
  }
  return lines;
}

ReportFile::ReportFile(const std::string& path) : path_(path) {
  if (path.empty() || path == "-") return;
  file_ = std::fopen(path.c_str(), "we");
  if (file_ == nullptr) throw Failure(kUsage, "--report " + path + ": cannot be written: " + std::strerror(errno));
}

ReportFile::~ReportFile() {
  if (file_ != nullptr) std::fclose(file_);
}

void ReportFile::write(const nlohmann::json& line, Progress& progress) {
  if (path_.empty()) return;
  // File names need not be UTF-8, JSON must be.
  const std::string text = line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  if (path_ == "-") {
    progress.print_output(text);
    return;
  }
  const std::lock_guard lock(mutex_);
  if (std::fprintf(file_, "%s\n", text.c_str()) < 0 || std::fflush(file_) != 0) {
    throw Failure(kFailed, "--report " + path_ + ": writing failed: " + std::strerror(errno));
  }
}

}  // namespace coil::cli
