// Tuner: similarity by lag, its peaks, and their refinement.
#include "dsp/tuner.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "dsp/decibels.h"

namespace coil::dsp {
namespace {

constexpr double kCoarseRateHz = 12000;
constexpr double kLikeEnough = 0.8;    // below this similarity a sound has no pitch
constexpr double kAlmostBest = 0.9;    // the first peak above this share of the best one is the period; later peaks are
                                       // its multiples
constexpr double kMinOverlap = 0.045;  // the least length to compare, in seconds, also for the longest lags
constexpr int kTapsPerSide = 4;        // of the low-pass filter, times the factor

// The similarity of a sound to itself `lag` frames later, from -1 to 1.
double likeness(std::span<const double> sound, size_t lag) {
  double both = 0, early = 0, late = 0;
  const size_t n = sound.size() - lag;
  for (size_t i = 0; i < n; ++i) {
    both += sound[i] * sound[i + lag];
    early += sound[i] * sound[i];
    late += sound[i + lag] * sound[i + lag];
  }
  const double power = std::sqrt(early * late);
  return power > 0 ? both / power : 0;
}

// The maximum of the parabola through three neighbours, from -0.5 to 0.5 relative to the middle one.
double top_of(double before, double middle, double after) {
  const double bend = before - 2 * middle + after;
  return bend < 0 ? std::clamp(0.5 * (before - after) / bend, -0.5, 0.5) : 0;
}

}  // namespace

TunedNote note_of(double hz, double a4_hz) {
  const double note = 69 + 12 * std::log2(hz / a4_hz), nearest = std::round(note);
  return {static_cast<int>(nearest), 100 * (note - nearest)};
}

Tuner::Tuner(double sample_rate_hz)
    : sample_rate_hz_(sample_rate_hz),
      piece_frames_(static_cast<size_t>(kPieceSeconds * sample_rate_hz)),
      factor_(std::max<size_t>(1, static_cast<size_t>(sample_rate_hz / kCoarseRateHz))) {
  const int side = factor_ > 1 ? kTapsPerSide * static_cast<int>(factor_) : 0;
  double sum = 0;
  for (int i = -side; i <= side; ++i) {
    const double x = std::numbers::pi * i / static_cast<double>(2 * factor_);
    const double window = 0.5 + 0.5 * std::cos(std::numbers::pi * i / (side + 1));
    low_pass_.push_back((i == 0 ? 1 : std::sin(x) / x) * window);
    sum += low_pass_.back();
  }
  for (double& tap : low_pass_) tap /= sum;
}

Pitch Tuner::find(std::span<const float> sound) {
  sound = sound.last(std::min(sound.size(), piece_frames_));
  double mean = 0, power = 0;
  for (const float sample : sound) mean += static_cast<double>(sample) / static_cast<double>(sound.size());
  piece_.assign(sound.begin(), sound.end());
  for (double& sample : piece_) {
    sample -= mean;
    power += sample * sample / static_cast<double>(piece_.size());
  }
  const double floor = db_to_gain(kSilentDb);
  if (!std::isfinite(power) || !(power > floor * floor)) return {};
  const double coarse = coarse_lag();
  if (coarse == 0) return {};
  const double lag = fine_lag(coarse);
  const double hz = sample_rate_hz_ / lag;
  if (hz < kLowestHz * 0.97 || hz > kHighestHz) return {};
  return {hz, likeness(piece_, static_cast<size_t>(std::lround(lag)))};
}

// The shortest period, in frames of the full rate. 0: there is none.
double Tuner::coarse_lag() {
  thin_.clear();
  for (size_t at = 0; at + low_pass_.size() <= piece_.size(); at += factor_) {
    double sum = 0;
    for (size_t i = 0; i < low_pass_.size(); ++i) sum += low_pass_[i] * piece_[at + i];
    thin_.push_back(sum);
  }
  const double rate_hz = sample_rate_hz_ / static_cast<double>(factor_);
  const size_t overlap = static_cast<size_t>(kMinOverlap * rate_hz);
  if (thin_.size() < 2 * overlap) return 0;
  const size_t longest = std::min(thin_.size() - overlap, static_cast<size_t>(rate_hz / (kLowestHz * 0.95)));
  likeness_.assign(longest + 1, 0);
  for (size_t lag = 0; lag <= longest; ++lag) likeness_[lag] = likeness(thin_, lag);

  struct Peak {
    double lag, height;
  };
  std::vector<Peak> peaks;
  double best = 0;
  size_t lag = 1;
  while (lag < longest && likeness_[lag] > 0) ++lag;  // the peak at lag 0
  for (; lag < longest; ++lag) {
    const double before = likeness_[lag - 1], middle = likeness_[lag], after = likeness_[lag + 1];
    if (middle <= 0 || middle < before || middle <= after) continue;
    const double top = top_of(before, middle, after), height = middle + 0.25 * (after - before) * top;
    peaks.push_back({static_cast<double>(lag) + top, height});
    best = std::max(best, height);
  }
  if (best < kLikeEnough) return 0;
  for (const Peak& peak : peaks)
    if (peak.height >= kAlmostBest * best) return peak.lag * static_cast<double>(factor_);
  return 0;
}

// Refines the period over more and more periods, as many as the piece holds.
double Tuner::fine_lag(double period) const {
  const double longest = static_cast<double>(piece_.size()) -
                         std::max(kMinOverlap * sample_rate_hz_, std::min(period, 0.5 * piece_.size()));
  // half a frame of the coarse rate on either side at first, then the remaining error
  int around = static_cast<int>(factor_) + 1;
  for (double count = 1;;) {
    const auto middle = static_cast<long>(std::lround(count * period));
    long best = middle;
    double highest = -1;
    std::vector<double> seen;
    for (long lag = middle - around - 1; lag <= middle + around + 1; ++lag) {
      const bool inside = lag > 0 && lag < static_cast<long>(piece_.size());
      seen.push_back(inside ? likeness(piece_, static_cast<size_t>(lag)) : -1);
      const bool at_edge = lag == middle - around - 1 || lag == middle + around + 1;
      if (!at_edge && seen.back() > highest) highest = seen.back(), best = lag;
    }
    const size_t at = static_cast<size_t>(best - (middle - around - 1));
    period = (static_cast<double>(best) + top_of(seen[at - 1], seen[at], seen[at + 1])) / count;
    around = 2;
    const double next = std::min(2 * count, std::floor(longest / period));
    if (next <= count) return period;
    count = next;
  }
}

}  // namespace coil::dsp
