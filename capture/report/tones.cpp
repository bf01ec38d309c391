// Measures harmonics by single Fourier sums, and everything else by a spectrum whose bins match the harmonics.
#include "capture/report/tones.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <complex>
#include <numbers>

#include "capture/recordings/test_signal.h"
#include "dsp/stft.h"
#include "ssm/run/stream.h"

namespace coil::capture {
namespace {

constexpr double kTau = 2 * std::numbers::pi;
constexpr double kHighestShare = 0.45;               // of the sample rate: above it, resampling affects the result
constexpr double kSettleSeconds = 0.5;               // before a model is measured
constexpr double kBurstHead = 0.03, kPiece = 0.171;  // seconds: the steady part of a burst of the test signal
constexpr double kPeriodSeconds = 0.3;               // least time that the spectrum covers
constexpr size_t kLineBins = 12;                     // on either side of a harmonic belong to it

double gain_of(double db) { return std::pow(10, db / 20); }

// A Fourier sum with a Hann window; a sine of amplitude 1 gives 1.
double amplitude_at(std::span<const float> sound, double hz, double sample_rate_hz) {
  const double frames = double(sound.size());
  const std::complex<double> step = std::polar(1.0, -kTau * hz / sample_rate_hz);
  std::complex<double> turning = 1, sum = 0;
  for (size_t i = 0; i < sound.size(); ++i, turning *= step)
    sum += double(sound[i]) * (1 - std::cos(kTau * double(i) / frames)) * turning;
  return 2 * std::abs(sum) / frames;
}

std::vector<float> steady_answer(const std::shared_ptr<const ssm::Model>& model, std::span<const float> controls,
                                 double hz, double level_dbfs, size_t frames) {
  const double rate_hz = model->config().sample_rate_hz, gain = gain_of(level_dbfs);
  const auto settle = size_t(kSettleSeconds * rate_hz);
  std::vector<float> sound(settle + frames);
  for (size_t i = 0; i < sound.size(); ++i) sound[i] = float(gain * std::sin(kTau * hz * double(i) / rate_hz));
  ssm::Stream(model, controls).process(sound, sound);
  sound.erase(sound.begin(), sound.begin() + std::ptrdiff_t(settle));
  return sound;
}

}  // namespace

Harmonics harmonics_of(std::span<const float> sound, double hz, double sample_rate_hz) {
  Harmonics levels;
  const double first = amplitude_at(sound, hz, sample_rate_hz);
  for (size_t n = 1; n <= kHarmonics && double(n) * hz < kHighestShare * sample_rate_hz; ++n) {
    const double amplitude = amplitude_at(sound, double(n) * hz, sample_rate_hz);
    levels[n - 1] = 20 * std::log10(std::max(amplitude, 1e-12) / std::max(first, 1e-12));
  }
  return levels;
}

double thd_db(const Harmonics& harmonics) {
  double power = 0;
  for (size_t n = 1; n < kHarmonics; ++n)
    if (harmonics[n]) power += std::pow(10, *harmonics[n] / 10);
  return 10 * std::log10(power + 1e-20);
}

std::optional<double> off_harmonics_db(std::span<const float> sound, double hz, double sample_rate_hz) {
  const double bins = hz * double(sound.size()) / sample_rate_hz;  // from harmonic to harmonic
  const auto off_line = [&](double bin) { return std::abs(bin - bins * std::round(bin / bins)) > double(kLineBins); };
  if (!off_line(double(sound.size()))) return std::nullopt;
  dsp::Stft stft(static_cast<int>(sound.size()));
  // With the transform's own window that is the square of Hann's: a line that is no bin's frequency leaves less than
  // -90 dB off its bins.
  std::vector<float> windowed(sound.begin(), sound.end()), power(size_t(stft.bins()));
  for (size_t i = 0; i < sound.size(); ++i) windowed[i] *= float(1 - std::cos(kTau * double(i) / double(sound.size())));
  stft.analyse(windowed, power);
  double on = 1e-30, off = 1e-30;
  for (size_t bin = kLineBins + 1; bin < power.size(); ++bin) (off_line(double(bin)) ? off : on) += double(power[bin]);
  return 10 * std::log10(off / (on + off));
}

Tone model_tone(const std::shared_ptr<const ssm::Model>& model, std::span<const float> controls, double hz,
                double level_dbfs) {
  const double rate_hz = model->config().sample_rate_hz;
  const std::vector<float> answer = steady_answer(model, controls, hz, level_dbfs, size_t(kPiece * rate_hz));
  return {hz, level_dbfs, harmonics_of(answer, hz, rate_hz), {}, {}, {}};
}

ToneSpectrum tone_spectrum(const std::shared_ptr<const ssm::Model>& model, std::span<const float> controls, double hz,
                           double level_dbfs) {
  const double rate_hz = model->config().sample_rate_hz;
  size_t frames = 1024;
  while (double(frames) < kPeriodSeconds * rate_hz) frames *= 2;
  // An odd number of periods in a power of two of frames: then no folded harmonic coincides with a harmonic.
  const size_t periods = size_t(hz * double(frames) / rate_hz / 2) * 2 + 1;
  ToneSpectrum spectrum{double(periods) * rate_hz / double(frames), rate_hz / double(frames), {}, 0};
  const std::vector<float> answer = steady_answer(model, controls, spectrum.hz, level_dbfs, frames);
  dsp::Stft stft(static_cast<int>(frames));
  std::vector<float> power(size_t(stft.bins()));
  stft.analyse(answer, power);
  double on = 1e-30, off = 1e-30, most = 1e-30;
  for (size_t bin = 2; bin < power.size(); ++bin) {  // the window spreads a line, or a constant, over the neighbouring
                                                     // bins
    const bool beside_harmonic = (bin + 1) % periods <= 2;
    (beside_harmonic ? on : off) += double(power[bin]);
    most = std::max(most, double(power[bin]));
  }
  spectrum.off_harmonics_db = 10 * std::log10(off / (on + off));
  for (const float value : power) spectrum.level_db.push_back(float(10 * std::log10(double(value) / most + 1e-20)));
  return spectrum;
}

std::vector<Tone> recorded_tones(std::span<const float> dry, std::span<const float> wet, std::span<const float> model,
                                 double sample_rate_hz) {
  std::vector<Tone> tones;
  const std::optional<FoundSignal> found = find_test_signal(dry, sample_rate_hz);
  if (!found) return tones;
  const auto frames = size_t(kPiece * sample_rate_hz);
  for (const TestBurst& burst : test_signal_bursts()) {
    const long begin = found->start_frame + std::lround((burst.begin_s + kBurstHead) * sample_rate_hz);
    if (begin < 0 || size_t(begin) + frames > dry.size()) continue;
    const auto piece = [&](std::span<const float> sound) { return sound.subspan(size_t(begin), frames); };
    const auto off = [&](std::span<const float> sound) {
      return off_harmonics_db(piece(sound).first(std::bit_floor(frames)), burst.hz, sample_rate_hz);
    };
    const double level = amplitude_at(piece(dry), burst.hz, sample_rate_hz);
    tones.push_back({burst.hz, 20 * std::log10(std::max(level, 1e-12)),
                     harmonics_of(piece(model), burst.hz, sample_rate_hz),
                     harmonics_of(piece(wet), burst.hz, sample_rate_hz), off(model), off(wet)});
  }
  return tones;
}

}  // namespace coil::capture
