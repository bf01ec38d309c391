// PolyphaseResampler: filter design and the polyphase loop.
#include "dsp/polyphase_resampler.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <numeric>
#include <string>

#include "base/error.h"

namespace coil::dsp {
namespace {

constexpr double kPassHz = 20000, kPassPart = 0.4535;  // 0.4535 x 44100 Hz is 20 kHz
constexpr double kStopDb = 100;
constexpr int kMaxUp = 8192;  // phases; 44,056 Hz to 48 kHz needs 6,000
constexpr int kLanes = 8;     // the number of independent sums over the taps

// Modified Bessel function of the first kind, order 0, by its power series.
double bessel_i0(double x) {
  double sum = 1, term = 1;
  for (int k = 1; term > 1e-17 * sum; ++k) {
    term *= (x / (2 * k)) * (x / (2 * k));
    sum += term;
  }
  return sum;
}

}  // namespace

PolyphaseResampler::PolyphaseResampler(double from_hz, double to_hz, int max_frames_in)
    : max_frames_in_(max_frames_in) {
  const int64_t from = std::llround(from_hz), to = std::llround(to_hz);
  if (from < 1 || to < 1)
    throw Error("cannot resample from " + std::to_string(from_hz) + " Hz to " + std::to_string(to_hz) + " Hz");
  const int64_t divisor = std::gcd(from, to);
  if (to / divisor > kMaxUp) {
    throw Error("cannot resample from " + std::to_string(from) + " Hz to " + std::to_string(to) +
                " Hz on the audio thread: the ratio has no small whole numbers");
  }
  up_ = static_cast<int>(to / divisor);
  down_ = static_cast<int>(from / divisor);

  // Kaiser's design: Oppenheim and Schafer, "Discrete-Time Signal Processing", 7.6 (beta and length from ripple and
  // width).
  const double lower_hz = static_cast<double>(std::min(from, to));
  const double pass_hz = std::min(kPassHz, kPassPart * lower_hz);
  const double width = 2 * std::numbers::pi * (lower_hz - 2 * pass_hz) / static_cast<double>(from);
  const double beta = 0.1102 * (kStopDb - 8.7);
  const int length = static_cast<int>(std::ceil((kStopDb - 8) / (2.285 * width))) + 1;
  taps_ = (length + 2 * kLanes - 1) / (2 * kLanes) * (2 * kLanes);
  const double cutoff = lower_hz / static_cast<double>(from);  // as a share of half the input's rate

  coefficients_.resize(static_cast<size_t>(up_) * taps_);
  const double half = taps_ / 2.0;
  for (int phase = 0; phase < up_; ++phase) {
    float* taps = &coefficients_[static_cast<size_t>(phase) * taps_];
    std::vector<double> exact(taps_);
    double sum = 0;
    for (int tap = 0; tap < taps_; ++tap) {
      const double x = tap - (half - 1) - static_cast<double>(phase) / up_;  // distance from the output's time, in
                                                                             // frames
      const double y = std::numbers::pi * cutoff * x;
      const double sinc = x == 0 ? 1 : std::sin(y) / y;
      exact[tap] =
          cutoff * sinc * bessel_i0(beta * std::sqrt(std::max(0.0, 1 - (x / half) * (x / half)))) / bessel_i0(beta);
      sum += exact[tap];
    }
    // Normalise each phase to pass DC exactly, so that a constant does not turn into a tone.
    for (int tap = 0; tap < taps_; ++tap) taps[tap] = static_cast<float>(exact[tap] / sum);
  }
  history_.resize(static_cast<size_t>(taps_) + max_frames_in);
  reset();
}

void PolyphaseResampler::reset() noexcept {
  // Silence before the first frame: as much as the first output's filter needs.
  kept_ = taps_ / 2 - 1;
  std::fill_n(history_.begin(), kept_, 0.0f);
  first_ = 0;
  phase_ = 0;
}

int64_t PolyphaseResampler::frames_out(int64_t frames_in) const noexcept {
  // Output k needs the frames up to floor(k down / up) + taps / 2.
  const int64_t usable = frames_in - taps_ / 2;
  return usable <= 0 ? 0 : (usable * up_ + down_ - 1) / down_;
}

int PolyphaseResampler::max_frames_out() const noexcept {
  return static_cast<int>((static_cast<int64_t>(max_frames_in_) * up_ + down_ - 1) / down_) + 1;
}

int PolyphaseResampler::process(std::span<const float> in, float* out) noexcept {
  std::copy(in.begin(), in.end(), history_.begin() + kept_);
  kept_ += static_cast<int>(in.size());
  int made = 0;
  while (first_ + taps_ <= kept_) {
    const float* frames = history_.data() + first_;
    const float* taps = coefficients_.data() + static_cast<size_t>(phase_) * taps_;
    float sums[kLanes] = {};
    for (int tap = 0; tap < taps_; tap += kLanes) {
      for (int lane = 0; lane < kLanes; ++lane) sums[lane] += taps[tap + lane] * frames[tap + lane];
    }
    out[made++] = ((sums[0] + sums[1]) + (sums[2] + sums[3])) + ((sums[4] + sums[5]) + (sums[6] + sums[7]));
    phase_ += down_;
    first_ += phase_ / up_;
    phase_ %= up_;
  }
  // Keep the frames that the next output needs. With a high decimation factor its first frame may not have arrived yet.
  const int dropped = static_cast<int>(std::min<int64_t>(first_, kept_));
  std::copy(history_.begin() + dropped, history_.begin() + kept_, history_.begin());
  kept_ -= dropped;
  first_ -= dropped;
  return made;
}

}  // namespace coil::dsp
