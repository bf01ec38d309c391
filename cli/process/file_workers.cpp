// The workers, and their counters.
#include "cli/process/file_workers.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <exception>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <thread>

#include "cli/process/done_marker.h"
#include "cli/failure.h"
#include "cli/process/file_report.h"
#include "cli/interrupt.h"
#include "cli/sound/sound_writer.h"
#include "cli/text.h"

namespace coil::cli {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds kFirstPause{500}, kLongestPause{10000}, kLook{50};

// Waits between retries; returns early if interrupted.
void pause(int tries) {
  const auto end = Clock::now() + std::min(kFirstPause * (1 << std::min(tries, 10)), kLongestPause);
  while (Clock::now() < end && !interrupted()) std::this_thread::sleep_for(kLook);
}

class Workers {
 public:
  Workers(const std::vector<FileJob>& files, const ProcessSettings& settings, const WorkOptions& options,
          Progress& progress)
      : files_(files), settings_(settings), options_(options), progress_(progress), report_(options.report) {}

  void run(size_t jobs) {
    std::vector<std::thread> threads;
    for (size_t i = 1; i < std::min(jobs, files_.size()); ++i) threads.emplace_back([this] { take_files(); });
    take_files();
    for (std::thread& thread : threads) thread.join();
    if (fault_) std::rethrow_exception(fault_);
    throw_if_interrupted();
  }

  int failed() const { return failed_; }

  std::string summary(const std::string& where) const {
    const double elapsed_s = std::chrono::duration<double>(Clock::now() - start_).count();
    std::string text =
        counted(static_cast<long long>(files_.size()), "file") + ": " + std::to_string(done_) + " processed";
    if (options_.resume) text += ", " + std::to_string(done_before_) + " done before";
    text += ", " + std::to_string(failed_) + " failed; " + duration(sound_seconds_) + " of sound in " +
            duration(elapsed_s) + " on " + where;
    if (done_ > 0) text += ", " + fixed(sound_seconds_ / std::max(elapsed_s, 1e-3), 1) + " x real time";
    return text;
  }

 private:
  void take_files() {
    try {
      for (size_t i = next_++; i < files_.size() && !interrupted(); i = next_++) work(files_[i]);
    } catch (const Interrupted&) {
    } catch (...) {  // the report cannot be written, so stop
      const std::lock_guard lock(mutex_);
      if (!fault_) fault_ = std::current_exception();
      next_ = files_.size();
    }
  }

  void work(const FileJob& job) {
    nlohmann::json line;
    for (int tries = 0; line.is_null(); ++tries) {
      std::string error;
      try {
        line = process(job);
        continue;
      } catch (const Interrupted&) {
        throw;
      } catch (const std::exception& exception) {
        error = exception.what();
      }
      if (tries < options_.retries) {
        if (!options_.quiet)
          progress_.print_error("coil: " + error + "; to be tried " + counted(options_.retries - tries, "more time"));
        pause(tries);
        throw_if_interrupted();
        continue;
      }
      progress_.print_error("coil: error: " + error);
      progress_.file_without_work(job.weight);
      const std::lock_guard lock(mutex_);
      ++failed_;
      line = failed_line(job, error);
    }
    report_.write(line, progress_);
  }

  // Returns the report's line.
  nlohmann::json process(const FileJob& job) {
    std::string key;
    const DoneMarker marker(job.out);
    if (options_.resume) {
      key = work_key(job, settings_);
      if (std::optional<nlohmann::json> line = marker.report_of(key)) {
        progress_.file_without_work(job.weight);
        (*line)["resumed"] = true;
        const std::lock_guard lock(mutex_);
        ++done_before_;
        return *line;
      }
    }
    FileReport report;
    process_file(job, settings_, progress_, report);
    const nlohmann::json line = done_line(job, report);
    if (options_.resume) marker.write(key, job.in, line);
    if (job.in != "-" && !is_stream_output(job.out)) note_source(job.out, job.in);
    if (!options_.quiet) {
      for (const std::string& warning : warnings(job, report, settings_.gain_db)) progress_.print_error(warning);
      progress_.print_error(job.in.string() + " -> " + job.out.string() + "  " + fixed(report.seconds, 2) + " s  " +
                            fixed(report.seconds / std::max(report.wall_seconds, 1e-9), 1) + " x real time");
    }
    progress_.file_done();
    const std::lock_guard lock(mutex_);
    ++done_;
    sound_seconds_ += report.seconds;
    return line;
  }

  const std::vector<FileJob>& files_;
  const ProcessSettings& settings_;
  const WorkOptions& options_;
  Progress& progress_;
  ReportFile report_;
  const Clock::time_point start_ = Clock::now();
  std::atomic<size_t> next_{0};
  std::mutex mutex_;
  std::exception_ptr fault_;
  int done_ = 0, done_before_ = 0, failed_ = 0;
  double sound_seconds_ = 0;
};

// "; left out: 3 files for their ending"; empty if nothing was left out.
std::string left_out(const FileList& list) {
  std::string text;
  const auto add = [&](int count, const std::string& noun, const char* why) {
    if (count > 0) text += (text.empty() ? "; left out: " : ", ") + counted(count, noun) + why;
  };
  add(list.other_endings, "file", " for the ending");
  add(list.earlier_outputs, "output", " of earlier runs");
  add(static_cast<int>(list.unreadable.size()), "folder", " that cannot be read");
  return text;
}

}  // namespace

int process_files(const FileList& list, const ProcessSettings& settings, const Execution& execution,
                  const WorkOptions& options, Progress& progress) {
  Workers workers(list.files, settings, options, progress);
  workers.run(execution.jobs);
  const std::string rest = left_out(list);
  if (!options.quiet && (list.files.size() != 1 || options.resume || !rest.empty()))
    progress.print_error(workers.summary(execution.where()) + rest);
  return workers.failed();
}

}  // namespace coil::cli
