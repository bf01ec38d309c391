// Progress: the bar, the plain lines, and the estimated time.
#include "cli/progress.h"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <numeric>

#include "cli/text.h"

namespace coil::cli {
namespace {

constexpr int kBarCells = 32;
constexpr std::chrono::milliseconds kRedraw{100};
constexpr std::chrono::seconds kPlainLine{30};
constexpr double kSurestFraction = 0.01,
                 kSurestSeconds = 1;  // before this time, the estimate is too uncertain to show

}  // namespace

Progress::Progress(const std::vector<double>& weights, bool visible)
    : files_(weights.size()),
      visible_(visible),
      terminal_(isatty(STDERR_FILENO)),
      shown_(start_),
      work_(std::accumulate(weights.begin(), weights.end(), 0.0)) {}

Progress::~Progress() { clear(); }

void Progress::advance(double file_fraction, double weight, double seconds) {
  const std::lock_guard lock(mutex_);
  work_done_ += file_fraction * weight;
  seconds_ += seconds;
  show();
}

void Progress::file_done() {
  const std::lock_guard lock(mutex_);
  ++files_done_;
}

void Progress::file_without_work(double weight) {
  const std::lock_guard lock(mutex_);
  ++files_done_;
  work_ -= weight;
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

void Progress::show() {
  const Clock::time_point now = Clock::now();
  if (!visible_ || now - shown_ < (terminal_ ? Clock::duration(kRedraw) : Clock::duration(kPlainLine))) return;
  shown_ = now;
  draw();
}

std::string Progress::left() const {
  const double elapsed_s = std::chrono::duration<double>(shown_ - start_).count();
  const double fraction = work_done_ / std::max(work_, 1e-9);
  if (elapsed_s < kSurestSeconds || fraction < kSurestFraction || fraction > 1) return "";
  return ", " + duration(elapsed_s / fraction - elapsed_s) + " left";
}

void Progress::draw() {
  const double elapsed_s = std::chrono::duration<double>(shown_ - start_).count();
  const double fraction = std::clamp(work_done_ / std::max(work_, 1e-9), 0.0, 1.0);
  const std::string files =
      files_ > 1 ? ", " + std::to_string(files_done_) + "/" + std::to_string(files_) + " files" : "";
  const std::string pace = fixed(seconds_ / std::max(elapsed_s, 1e-3), 1) + " x real time";
  const std::string numbers = fixed(100 * fraction, 0) + " %" + files + ", " + pace + left();
  if (!terminal_) {
    std::fprintf(stderr, "coil: %s\n", numbers.c_str());
    return;
  }
  const int eighths = static_cast<int>(std::lround(fraction * kBarCells * 8));
  static constexpr const char* kPartial[] = {" ", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
  std::string bar;
  for (int cell = 0; cell < kBarCells; ++cell)
    bar += eighths >= 8 * (cell + 1) ? "█" : kPartial[std::max(0, eighths - 8 * cell)];
  bar_drawn_ = true;
  std::fprintf(stderr, "\r\033[K▕%s▏ %s", bar.c_str(), numbers.c_str());
  std::fflush(stderr);
}

void Progress::clear() {
  if (bar_drawn_) std::fprintf(stderr, "\r\033[K");
  bar_drawn_ = false;
}

}  // namespace coil::cli
