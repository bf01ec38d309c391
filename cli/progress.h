// Progress on standard error: a bar on a terminal, otherwise a line from time to time; and messages that do not disturb
// the bar.
#pragma once

#include <chrono>
#include <mutex>
#include <string>
#include <vector>

namespace coil::cli {

// All functions: [any thread].
class Progress {
 public:
  // `weights`: the work of each file, in any unit. Shown only if `visible`.
  Progress(const std::vector<double>& weights, bool visible);
  ~Progress();  // removes the bar

  // Adds progress: a part of one file (0 to 1, of its weight), and seconds of sound.
  void advance(double file_fraction, double weight, double seconds);
  void file_done();
  // A file needed no work, because it was done before or failed. It does not count for the speed estimate.
  void file_without_work(double weight);

  void print_error(const std::string& line);   // to standard error
  void print_output(const std::string& line);  // to standard output

 private:
  void show();
  void draw();
  void clear();
  std::string left() const;  // ", 3 min left"

  using Clock = std::chrono::steady_clock;

  std::mutex mutex_;
  const size_t files_;
  const bool visible_, terminal_;
  const Clock::time_point start_ = Clock::now();
  Clock::time_point shown_;
  size_t files_done_ = 0;
  double work_ = 0, work_done_ = 0;  // in the unit of the weights
  double seconds_ = 0;
  bool bar_drawn_ = false;
};

}  // namespace coil::cli
