// The progress bar on standard error, and lines of text that do not tear it.
#pragma once

#include <chrono>
#include <mutex>
#include <string>

namespace coil::cli {

// All functions: [any thread].
class Progress {
 public:
  // `files`: how many there are to do. The bar is drawn only if `bar` and only on a terminal.
  Progress(int files, bool bar);
  ~Progress();  // takes the bar away

  // So much more was done: a part of one file (0 to 1), and seconds of sound.
  void advance(double file_fraction, double seconds);
  void file_done();

  void print_error(const std::string& line);   // to standard error
  void print_output(const std::string& line);  // to standard output

 private:
  void draw();
  void clear();

  using Clock = std::chrono::steady_clock;

  std::mutex mutex_;
  const int files_;
  const bool bar_;
  const Clock::time_point start_ = Clock::now();
  Clock::time_point drawn_ = {};
  int files_done_ = 0;
  double fraction_sum_ = 0, seconds_ = 0;
  bool is_visible_ = false;
};

}  // namespace coil::cli
