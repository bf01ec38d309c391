// Parts of medium level are the most representative: neither silence nor the loudest moment.
#include "capture/trainer/held_out.h"

#include <algorithm>
#include <cmath>

namespace coil::capture {
namespace {

constexpr double kWindowSeconds = 8, kSpanSeconds = 0.5;
constexpr size_t kSpansPerWindow = 16;

double mean_square(const std::vector<float>& signal, size_t begin, size_t end) {
  double sum = 0;
  for (size_t t = begin; t < end; ++t) sum += double(signal[t]) * double(signal[t]);
  return sum / double(std::max<size_t>(1, end - begin));
}

}  // namespace

std::vector<Span> held_out_spans(const Take& take, double sample_rate_hz) {
  std::vector<Span> spans;
  const size_t frames = take.wet.size(), window = size_t(kWindowSeconds * sample_rate_hz);
  const size_t windows = std::max<size_t>(1, frames / window);
  for (size_t w = 0; w < windows; ++w) {
    const size_t begin = frames * w / windows, end = frames * (w + 1) / windows;
    const size_t length = std::min(size_t(kSpanSeconds * sample_rate_hz), (end - begin) / kSpansPerWindow);
    if (length == 0) continue;
    const double wanted = std::log(mean_square(take.wet, begin, end) + 1e-20);
    double nearest = HUGE_VAL;
    Span chosen{begin, begin + length};
    for (size_t at = begin; at + length <= end; at += length) {
      const double distance = std::abs(std::log(mean_square(take.wet, at, at + length) + 1e-20) - wanted);
      if (distance < nearest) nearest = distance, chosen = {at, at + length};
    }
    spans.push_back(chosen);
  }
  return spans;
}

}  // namespace coil::capture
