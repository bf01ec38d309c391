// A line is always shorter than the terminal's width: a wrapped line cannot be overwritten.
#include "cli/capture/capture_progress.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "cli/text.h"

namespace coil::cli {
namespace {

constexpr size_t kMostCurve = 40, kLeastCurve = 8, kUsualColumns = 80;

size_t terminal_columns() {
  winsize size{};
  return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : kUsualColumns;
}

}  // namespace

std::string esr_text(double esr) {
  return number(esr, 3) + " (" + fixed(10 * std::log10(std::max(esr, 1e-30)), 1) + " dB)";
}

std::string curve_in_blocks(const std::vector<capture::CurvePoint>& curve, size_t characters) {
  static constexpr const char* kHeights[] = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
  std::vector<double> best;
  for (const capture::CurvePoint& point : curve) {
    const double value = std::log10(std::max(point.held_out_esr, 1e-12));
    best.push_back(best.empty() ? value : std::min(value, best.back()));
  }
  if (best.empty() || characters == 0) return "";
  const double range = std::max(1e-9, best.front() - best.back());
  const size_t count = std::min(characters, best.size());
  std::string text;
  for (size_t i = 0; i < count; ++i) {
    const double value = best[(i + 1) * best.size() / count - 1];
    text += kHeights[size_t(std::lround(7 * (value - best.back()) / range))];
  }
  return text;
}

CaptureProgress::CaptureProgress(bool visible) : visible_(visible), terminal_(isatty(STDERR_FILENO)) {}

CaptureProgress::~CaptureProgress() {
  if (drawn_) std::fputc('\n', stderr);
}

void CaptureProgress::show(const capture::TrainingState& state, const std::vector<capture::CurvePoint>& curve) {
  if (!visible_) return;
  const std::string text = fixed(100 * state.progress, 0) + " %, held-out ESR " + esr_text(state.best_esr) + ", " +
                           duration(state.left_s) + " left";
  const std::string pace = ", " + fixed(state.frames / 1e6 / std::max(1e-3, state.elapsed_s), 1) + " million frames/s";
  if (!terminal_) {
    std::fprintf(stderr, "coil: %s%s\n", text.c_str(), pace.c_str());
    return;
  }
  const size_t columns = terminal_columns() - 1;
  const bool has_room_for_pace = text.size() + pace.size() + kLeastCurve < columns;
  const std::string words = text + (has_room_for_pace ? pace : "");
  const size_t room = columns > words.size() + 1 ? columns - words.size() - 1 : 0;
  std::fprintf(stderr, "\r\033[K%s %s", curve_in_blocks(curve, std::min(room, kMostCurve)).c_str(),
               words.substr(0, columns).c_str());
  std::fflush(stderr);
  drawn_ = true;
}

}  // namespace coil::cli
