// How far the work is, on standard error: a bar on a terminal, now and then a line elsewhere; and lines of text that do
// not tear the bar.
#pragma once

#include <chrono>
#include <mutex>
#include <string>
#include <vector>

namespace coil::cli {

// All functions: [any thread].
class Progress {
 public:
  // `weights`: how much work each file is, in any unit. Shown only if `visible`.
  Progress(const std::vector<double>& weights, bool visible);
  ~Progress();  // takes the bar away

  // So much more was done: a part of one file (0 to 1, of its weight), and seconds of sound.
  void advance(double file_fraction, double weight, double seconds);
  void file_done();
  // The file is over without work, done before or failed: it does not count where the pace is measured.
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
  double work_ = 0, work_done_ = 0;  // in the weights' unit
  double seconds_ = 0;
  bool bar_drawn_ = false;
};

}  // namespace coil::cli
