// Band-limited interpolation with a table of Kaiser-windowed sincs.
#include "capture/recordings/interpolation.h"

#include <Eigen/Core>
#include <algorithm>
#include <cmath>
#include <numbers>

namespace coil::capture {
namespace {

constexpr int kTaps = 64, kPhases = 2048;
using Taps = Eigen::Map<const Eigen::Matrix<float, kTaps, 1>>;

double bessel_i0(double x) {
  double sum = 1, term = 1;
  for (int k = 1; term > 1e-12 * sum; ++k) {
    term *= (x / (2 * k)) * (x / (2 * k));
    sum += term;
  }
  return sum;
}

// Row p holds the taps for a position p / kPhases after a frame. One more row allows interpolation between neighbours.
std::vector<float> make_table() {
  constexpr double kBeta = 10;
  std::vector<float> table((kPhases + 1) * kTaps);
  for (int p = 0; p <= kPhases; ++p) {
    for (int t = 0; t < kTaps; ++t) {
      const double x = t - (kTaps / 2 - 1) - double(p) / kPhases;
      const double r = x / (kTaps / 2);
      const double sinc = x == 0 ? 1 : std::sin(std::numbers::pi * x) / (std::numbers::pi * x);
      const double window = std::abs(r) >= 1 ? 0 : bessel_i0(kBeta * std::sqrt(1 - r * r)) / bessel_i0(kBeta);
      table[p * kTaps + t] = static_cast<float>(sinc * window);
    }
  }
  return table;
}

}  // namespace

std::vector<float> read_between(std::span<const float> signal, double start, double step, size_t frames) {
  // Never freed: a detached learning thread may still read it while the program ends.
  static const auto& table = *new std::vector<float>(make_table());
  std::vector<float> out(frames);
  const auto size = static_cast<long>(signal.size());
  for (size_t i = 0; i < frames; ++i) {
    const double position = start + double(i) * step;
    const double whole = std::floor(position);
    const double phase = (position - whole) * kPhases;
    const int row = static_cast<int>(phase);
    const float share = static_cast<float>(phase - row);
    const Taps a(&table[row * kTaps]), b(&table[std::min(row + 1, kPhases) * kTaps]);
    const long first = static_cast<long>(whole) - (kTaps / 2 - 1);
    if (first >= 0 && first + kTaps <= size) {
      const Taps around(&signal[first]);
      out[i] = (1 - share) * around.dot(a) + share * around.dot(b);
      continue;
    }
    for (int t = 0; t < kTaps; ++t) {
      if (first + t >= 0 && first + t < size) out[i] += signal[first + t] * (a[t] + share * (b[t] - a[t]));
    }
  }
  return out;
}

}  // namespace coil::capture
