// Progress on a terminal.
#include "cli/progress.h"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "cli/text.h"

namespace coil::cli {
namespace {

constexpr int kBarCells = 32;
constexpr std::chrono::milliseconds kRedraw{100};

}  // namespace

Progress::Progress(int files, bool bar) : files_(files), bar_(bar && isatty(STDERR_FILENO)) {}

Progress::~Progress() { clear(); }

void Progress::advance(double file_fraction, double seconds) {
  const std::lock_guard lock(mutex_);
  fraction_sum_ += file_fraction;
  seconds_ += seconds;
  if (bar_ && Clock::now() - drawn_ > kRedraw) draw();
}

void Progress::file_done() {
  const std::lock_guard lock(mutex_);
  ++files_done_;
}

void Progress::print_error(const std::string& line) {
  const std::lock_guard lock(mutex_);
  clear();
  std::fprintf(stderr, "%s\n", line.c_str());
}

void Progress::print_output(const std::string& line) {
  const std::lock_guard lock(mutex_);
  clear();
  std::fprintf(stdout, "%s\n", line.c_str());
  std::fflush(stdout);
}

void Progress::draw() {
  drawn_ = Clock::now();
  is_visible_ = true;
  const double elapsed_s = std::chrono::duration<double>(drawn_ - start_).count();
  const double fraction = std::clamp(fraction_sum_ / std::max(files_, 1), 0.0, 1.0);
  const int eighths = static_cast<int>(std::lround(fraction * kBarCells * 8));
  static constexpr const char* kPartial[] = {" ", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
  std::string bar;
  for (int cell = 0; cell < kBarCells; ++cell) bar += eighths >= 8 * (cell + 1) ? "█" : kPartial[std::max(0, eighths - 8 * cell)];
  const std::string files = files_ > 1 ? "  " + std::to_string(files_done_) + "/" + std::to_string(files_) + " files" : "";
  std::fprintf(stderr, "\r\033[K▕%s▏ %3.0f %%%s  %.1f x real time", bar.c_str(), 100 * fraction, files.c_str(),
               seconds_ / std::max(elapsed_s, 1e-3));
  std::fflush(stderr);
}

void Progress::clear() {
  if (is_visible_) std::fprintf(stderr, "\r\033[K");
  is_visible_ = false;
}

}  // namespace coil::cli
