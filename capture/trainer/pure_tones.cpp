// Tones are evenly distributed over the octaves. Eigen's FFT does the projection.
#include "capture/trainer/pure_tones.h"

#include <algorithm>
#include <cmath>
#include <complex>
#include <numbers>
#include <unsupported/Eigen/FFT>
#include <vector>

namespace coil::capture {
namespace {

constexpr double kLowestHz = 300, kHighestHz = 6500;
constexpr double kQuietestDb = -18;  // relative to the loudest tone
constexpr double kUnscoredSeconds = 0.17, kScoredSeconds = 0.34;
// Aliasing of low tones is weaker but more audible, so low tones have a larger weight.
constexpr double kWeightOneHz = 5000, kMostWeight = 60, kSteepness = 2.5;

}  // namespace

PureTone draw_pure_tone(Random& random, size_t takes, float peak, size_t segment_frames, double sample_rate_hz) {
  const double segment_s = double(segment_frames) / sample_rate_hz;
  const double hz = kLowestHz * std::pow(kHighestHz / kLowestHz, random.uniform());
  const double db = kQuietestDb * random.uniform();
  PureTone tone;
  tone.take = random.below(takes);
  tone.periods = size_t(hz * segment_s) | 1;
  tone.level = peak * float(std::pow(10, db / 20));
  tone.unscored = size_t(std::ceil(kUnscoredSeconds / segment_s));
  tone.left = tone.unscored + size_t(std::ceil(kScoredSeconds / segment_s));
  const double lower = kWeightOneHz * segment_s / double(tone.periods);
  tone.weight = std::min(kMostWeight, std::pow(lower, kSteepness));
  return tone;
}

float tone_sample(const PureTone& tone, size_t frame, size_t segment_frames) {
  const double turn = double(tone.periods * frame % segment_frames) / double(segment_frames);
  return tone.level * float(std::sin(2 * std::numbers::pi * turn));
}

struct ToneSplitter::Fft {
  Eigen::FFT<float> transform;
  std::vector<std::complex<float>> spectrum;
  std::vector<float> signal;
};

ToneSplitter::ToneSplitter(size_t segment_frames) : fft_(std::make_unique<Fft>()) {
  fft_->signal.resize(segment_frames);
  fft_->transform.SetFlag(Eigen::FFT<float>::HalfSpectrum);
}

ToneSplitter::ToneSplitter(ToneSplitter&&) noexcept = default;
ToneSplitter& ToneSplitter::operator=(ToneSplitter&&) noexcept = default;
ToneSplitter::~ToneSplitter() = default;

ToneEnergy ToneSplitter::leave_off_harmonics(std::span<float> output, size_t periods) {
  ToneEnergy energy;
  std::copy(output.begin(), output.end(), fft_->signal.begin());
  for (const float value : output) energy.all += double(value) * double(value);
  fft_->transform.fwd(fft_->spectrum, fft_->signal);
  for (size_t bin = 0; bin < fft_->spectrum.size(); bin += periods) fft_->spectrum[bin] = 0;
  fft_->transform.inv(fft_->signal, fft_->spectrum, Eigen::Index(output.size()));
  std::copy(fft_->signal.begin(), fft_->signal.end(), output.begin());
  for (const float value : output) energy.off_harmonics += double(value) * double(value);
  return energy;
}

}  // namespace coil::capture
