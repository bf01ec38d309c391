// Spectra on Eigen's FFT; minimum phase from the cepstrum.
#include "capture/recordings/spectrum.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <numbers>
#include <numeric>
#include <unsupported/Eigen/FFT>

namespace coil::capture {
namespace {

using Complex = std::complex<double>;

std::vector<double> hann(int frames) {
  std::vector<double> window(frames);
  for (int i = 0; i < frames; ++i) window[i] = 0.5 - 0.5 * std::cos(2 * std::numbers::pi * i / frames);
  return window;
}

// Phase of the minimum-phase response of this magnitude (Oppenheim and Schafer, Discrete-Time Signal Processing, 12.4).
std::vector<double> minimum_phase(const std::vector<double>& log_magnitude) {
  const int n = 2 * (static_cast<int>(log_magnitude.size()) - 1);
  Eigen::FFT<double> fft;
  std::vector<Complex> spectrum(n), cepstrum(n);
  for (int k = 0; k < n; ++k) spectrum[k] = log_magnitude[k <= n / 2 ? k : n - k];
  fft.inv(cepstrum, spectrum);
  for (int i = 1; i < n / 2; ++i) cepstrum[i] *= 2.0;
  for (int i = n / 2 + 1; i < n; ++i) cepstrum[i] = 0;
  fft.fwd(spectrum, cepstrum);
  std::vector<double> phase(log_magnitude.size());
  for (size_t k = 0; k < phase.size(); ++k) phase[k] = spectrum[k].imag();
  return phase;
}

// Beyond the last known bin, the response continues with the slope of the octave below. If it stopped there like a
// steep low-pass, the minimum phase would be too small and the rest would be taken for delay.
void extrapolate(std::vector<double>& log_magnitude, int last_known) {
  const int from = std::max(1, last_known / 2);
  double sum_x = 0, sum_y = 0, sum_xx = 0, sum_xy = 0;
  const int count = last_known - from + 1;
  for (int k = from; k <= last_known; ++k) {
    const double x = std::log(double(k));
    sum_x += x;
    sum_y += log_magnitude[k];
    sum_xx += x * x;
    sum_xy += x * log_magnitude[k];
  }
  const double spread = count * sum_xx - sum_x * sum_x;
  const double slope = spread > 0 ? std::clamp((count * sum_xy - sum_x * sum_y) / spread, -6.0, 0.0) : 0;
  const double at_end = (sum_y + slope * (count * std::log(double(last_known)) - sum_x)) / count;
  for (int k = last_known + 1; k < static_cast<int>(log_magnitude.size()); ++k) {
    log_magnitude[k] = at_end + slope * std::log(double(k) / last_known);
  }
}

// The log magnitude, linearly interpolated over bins where the response is not known.
std::vector<double> known_log_magnitude(const LinearResponse& response, const std::vector<double>& weight) {
  std::vector<double> log_magnitude(weight.size());
  int last_known = -1;
  for (int k = 0; k < static_cast<int>(weight.size()); ++k) {
    if (weight[k] <= 0) continue;
    log_magnitude[k] = std::log(std::abs(response.gain[k]) + 1e-12);
    for (int gap = last_known + 1; gap < k; ++gap) {
      const double share = last_known < 0 ? 1 : double(gap - last_known) / (k - last_known);
      const double from = last_known < 0 ? log_magnitude[k] : log_magnitude[last_known];
      log_magnitude[gap] = from + share * (log_magnitude[k] - from);
    }
    last_known = k;
  }
  extrapolate(log_magnitude, std::max(last_known, 1));
  return log_magnitude;
}

// The weight of a bin's phase: 0 where little is coherent, and limited where nearly all is.
std::vector<double> phase_weights(const LinearResponse& response) {
  std::vector<double> weight(response.gain.size());
  const size_t low = std::max<size_t>(2, weight.size() / 1000), high = weight.size() * 9 / 10;
  for (size_t k = low; k < high; ++k) {
    const double c = response.coherence[k];
    if (c > 0.2) weight[k] = std::min(c / (1 - c + 1e-3), 20.0);
  }
  return weight;
}

struct LineFit {
  double delay = 0;
  Complex sum;
  double total = 0;
};

// The delay whose compensation maximises the sum of `phasors`: a grid search, then a golden-section search around the
// maximum.
LineFit fit_delay(const std::vector<Complex>& phasors, int fft_frames, double search_frames) {
  const auto turned = [&](double delay) {
    Complex sum = 0;
    const Complex step = std::polar(1.0, 2 * std::numbers::pi * delay / fft_frames);
    Complex turn = 1;
    for (const Complex& p : phasors) {
      sum += p * turn;
      turn *= step;
    }
    return sum;
  };
  double best = 0, most = -1;
  for (double delay = -search_frames; delay <= search_frames; delay += 0.25) {
    const double size = std::abs(turned(delay));
    if (size > most) {
      most = size;
      best = delay;
    }
  }
  double low = best - 0.25, high = best + 0.25;
  constexpr double kGolden = 0.6180339887498949;
  for (int i = 0; i < 40; ++i) {
    const double a = high - kGolden * (high - low), b = low + kGolden * (high - low);
    (std::abs(turned(a)) > std::abs(turned(b)) ? high : low) = std::abs(turned(a)) > std::abs(turned(b)) ? b : a;
  }
  LineFit fit;
  fit.delay = (low + high) / 2;
  fit.sum = turned(fit.delay);
  for (const Complex& p : phasors) fit.total += std::abs(p);
  return fit;
}

}  // namespace

ResponseSum::ResponseSum(int fft_frames)
    : fft_frames_(fft_frames),
      cross_(size_t(fft_frames / 2 + 1)),
      power_dry_(cross_.size()),
      power_wet_(cross_.size()) {}

void ResponseSum::add(std::span<const float> dry, std::span<const float> wet) {
  const std::vector<double> window = hann(fft_frames_);
  std::vector<double> piece_dry(window.size()), piece_wet(window.size());
  std::vector<Complex> x, y;
  Eigen::FFT<double> fft;
  fft.SetFlag(Eigen::FFT<double>::HalfSpectrum);
  const size_t frames = std::min(dry.size(), wet.size());
  for (size_t at = 0; at + fft_frames_ <= std::max(frames, size_t(fft_frames_)); at += fft_frames_ / 2) {
    for (int i = 0; i < fft_frames_; ++i) {
      const bool inside = at + i < frames;
      piece_dry[i] = inside ? dry[at + i] * window[i] : 0;
      piece_wet[i] = inside ? wet[at + i] * window[i] : 0;
    }
    fft.fwd(x, piece_dry);
    fft.fwd(y, piece_wet);
    for (size_t k = 0; k < cross_.size(); ++k) {
      cross_[k] += std::conj(x[k]) * y[k];
      power_dry_[k] += std::norm(x[k]);
      power_wet_[k] += std::norm(y[k]);
    }
  }
}

void ResponseSum::add(const ResponseSum& other) {
  for (size_t k = 0; k < cross_.size(); ++k) {
    cross_[k] += other.cross_[k];
    power_dry_[k] += other.power_dry_[k];
    power_wet_[k] += other.power_wet_[k];
  }
}

LinearResponse ResponseSum::response() const {
  LinearResponse response;
  const double quietest = 1e-10 * *std::max_element(power_dry_.begin(), power_dry_.end()) + 1e-30;
  for (size_t k = 0; k < cross_.size(); ++k) {
    response.gain.push_back(cross_[k] / (power_dry_[k] + quietest));
    response.coherence.push_back(std::norm(cross_[k]) / ((power_dry_[k] + quietest) * power_wet_[k] + 1e-30));
  }
  return response;
}

LinearResponse linear_response(std::span<const float> dry, std::span<const float> wet) {
  ResponseSum sum;
  sum.add(dry, wet);
  return sum.response();
}

Match best_match(std::span<const float> part, std::span<const float> whole) {
  const int n = static_cast<int>(std::bit_ceil(part.size() + whole.size()));
  Eigen::FFT<float> fft;
  fft.SetFlag(Eigen::FFT<float>::HalfSpectrum);
  std::vector<float> padded(n);
  std::vector<std::complex<float>> x, y;
  std::copy(part.begin(), part.end(), padded.begin());
  fft.fwd(x, padded);
  std::fill(padded.begin(), padded.end(), 0.0f);
  std::copy(whole.begin(), whole.end(), padded.begin());
  fft.fwd(y, padded);
  double mean = 0;
  for (size_t k = 0; k < y.size(); ++k) {
    y[k] *= std::conj(x[k]);
    mean += std::abs(y[k]) / y.size();
  }
  // Whitening makes the peak narrow; bins without sound stay small.
  for (auto& value : y) value /= std::abs(value) + static_cast<float>(0.1 * mean + 1e-20);
  std::vector<float> correlation;
  fft.inv(correlation, y, n);
  int peak = 0;
  double power = 0;
  for (int i = 0; i < n; ++i) {
    power += double(correlation[i]) * correlation[i] / n;
    if (std::abs(correlation[i]) > std::abs(correlation[peak])) peak = i;
  }
  Match match;
  match.offset_frames = peak < static_cast<int>(whole.size()) ? peak : peak - n;
  match.peak_to_rms = std::abs(correlation[peak]) / std::sqrt(power + 1e-30);
  double both = 0, of_part = 0, of_whole = 0;
  for (int i = std::max(0, -match.offset_frames); i < static_cast<int>(part.size()); ++i) {
    const size_t at = static_cast<size_t>(i + match.offset_frames);
    if (at >= whole.size()) break;
    both += double(part[i]) * whole[at];
    of_part += double(part[i]) * part[i];
    of_whole += double(whole[at]) * whole[at];
  }
  match.correlation = both / std::sqrt(of_part * of_whole + 1e-30);
  return match;
}

ExcessDelay excess_delay(const LinearResponse& response, double search_frames) {
  const std::vector<double> weight = phase_weights(response);
  const std::vector<double> minimum = minimum_phase(known_log_magnitude(response, weight));
  std::vector<Complex> phasors(weight.size());
  for (size_t k = 0; k < weight.size(); ++k) {
    phasors[k] = weight[k] * std::polar(1.0, std::arg(response.gain[k]) - minimum[k]);
  }
  const LineFit fit = fit_delay(phasors, response.fft_frames(), search_frames);
  return {fit.delay, fit.sum.real() < 0, fit.total > 0 ? std::abs(fit.sum) / fit.total : 0};
}

RelativeDelay relative_delay(const LinearResponse& now, const LinearResponse& before, double search_frames) {
  const std::vector<double> weight_now = phase_weights(now), weight_before = phase_weights(before);
  std::vector<Complex> phasors(weight_now.size());
  for (size_t k = 0; k < phasors.size(); ++k) {
    phasors[k] = std::sqrt(weight_now[k] * weight_before[k]) *
                 std::polar(1.0, std::arg(now.gain[k] * std::conj(before.gain[k])));
  }
  const LineFit fit = fit_delay(phasors, now.fft_frames(), search_frames);
  const double all = fit.total + 1e-30;
  return {fit.delay, std::abs(fit.sum) / all,
          std::abs(std::accumulate(phasors.begin(), phasors.end(), Complex())) / all};
}

}  // namespace coil::capture
