// Equaliser: computes coefficients from settings, and runs the filters.
#include "dsp/equaliser.h"

#include <algorithm>
#include <cmath>
#include <complex>
#include <numbers>

#include "base/error.h"
#include "dsp/finite.h"

namespace coil::dsp {
namespace {

constexpr float kButterworth = 1.41421356f;  // damping without a resonance peak

float tangent(float hz, double sample_rate_hz) {
  const double most = 0.49 * sample_rate_hz;
  return static_cast<float>(std::tan(std::numbers::pi * std::clamp<double>(hz, 1, most) / sample_rate_hz));
}

Equaliser::Coefficients band_coefficients(const EqualiserBand& band, double sample_rate_hz) {
  const float gain_db = std::clamp(finite_or(band.gain_db, 0), -kMaxBandDb, kMaxBandDb);
  const float a = std::pow(10.0f, gain_db / 40), root = std::sqrt(a);
  const float g = tangent(finite_or(band.hz, 1000), sample_rate_hz);
  const float k = 1 / std::clamp(finite_or(band.q, 1), 0.1f, 10.0f);
  switch (band.kind) {
    case EqualiserBand::Kind::low_shelf:
      return {g / root, k, 1, k * (a - 1), a * a - 1};
    case EqualiserBand::Kind::bell:
      return {g, k / a, 1, k / a * (a * a - 1), 0};
    case EqualiserBand::Kind::high_shelf:
      return {g * root, k, a * a, k * (1 - a) * a, 1 - a * a};
  }
  return {};
}

}  // namespace

Equaliser::Equaliser(const EqualiserSettings& settings) : settings_(settings) {}

std::array<Equaliser::Coefficients, Equaliser::kFilters> Equaliser::coefficients(const EqualiserSettings& settings,
                                                                                 double sample_rate_hz) noexcept {
  std::array<Coefficients, kFilters> all;
  for (int i = 0; i < kEqualiserBands; ++i) {
    const size_t at = static_cast<size_t>(i);
    all[at] = band_coefficients(settings.bands[at], sample_rate_hz);
  }
  Coefficients& low_cut = all[kEqualiserBands];
  Coefficients& high_cut = all[kEqualiserBands + 1];
  if (settings.low_cut_hz > 0)
    low_cut = {tangent(settings.low_cut_hz, sample_rate_hz), kButterworth, 1, -kButterworth, -1};
  if (settings.high_cut_hz > 0 && settings.high_cut_hz < 0.49 * sample_rate_hz)
    high_cut = {tangent(settings.high_cut_hz, sample_rate_hz), kButterworth, 0, 0, 1};
  return all;
}

double response_db(const EqualiserSettings& settings, double hz, double sample_rate_hz) {
  double db = 0;
  for (const auto& c : Equaliser::coefficients(settings, sample_rate_hz)) {
    // The analogue frequency of the bilinear transform, relative to the filter's frequency.
    const std::complex<double> s(0, std::tan(std::numbers::pi * hz / sample_rate_hz) / (c.g > 0 ? c.g : 1.0));
    const std::complex<double> below = s * s + static_cast<double>(c.k) * s + 1.0;
    const std::complex<double> gain =
        static_cast<double>(c.m0) + (static_cast<double>(c.m1) * s + static_cast<double>(c.m2)) / below;
    db += c.flat() ? 0 : 20 * std::log10(std::max(std::abs(gain), 1e-12));
  }
  return db;
}

void Equaliser::prepare(const ProcessSpec& spec) {
  if (!(spec.sample_rate_hz > 0)) throw Error("an equaliser needs a sample rate above 0");
  sample_rate_hz_ = spec.sample_rate_hz;
  memories_.assign(static_cast<size_t>(spec.channels), {});
  wanted_ = coefficients(settings_, sample_rate_hz_);
  for (auto& ways : ways_) ways.fill(Ramp(0, static_cast<int>(kMoveMs / 1000 * sample_rate_hz_)));
  reset();
}

void Equaliser::reset() noexcept {
  for (auto& memory : memories_) memory = {};
  now_ = wanted_;
  for (size_t i = 0; i < ways_.size(); ++i)
    for (size_t m = 0; m < kMembers.size(); ++m) ways_[i][m].jump(wanted_[i].*kMembers[m]);
  frames_to_move_ = 0;
}

void Equaliser::set(const EqualiserSettings& settings) noexcept {
  settings_ = settings;
  wanted_ = coefficients(settings, sample_rate_hz_);
  for (size_t i = 0; i < ways_.size(); ++i)
    for (size_t m = 0; m < kMembers.size(); ++m) ways_[i][m].aim(wanted_[i].*kMembers[m]);
  frames_to_move_ = std::max(1, static_cast<int>(kMoveMs / 1000 * sample_rate_hz_));
}

// Moves the coefficients by one frame towards their targets.
void Equaliser::move() noexcept {
  for (size_t i = 0; i < ways_.size(); ++i) {
    for (size_t m = 0; m < kMembers.size(); ++m) {
      now_[i].*kMembers[m] = ways_[i][m].at(0);
      ways_[i][m].advance(1);
    }
  }
  --frames_to_move_;
}

void Equaliser::filter(const Coefficients& c, Memory& memory, std::span<float> samples) noexcept {
  const float a1 = 1 / (1 + c.g * (c.g + c.k)), a2 = c.g * a1, a3 = c.g * a2;
  float band_state = memory.band, low_state = memory.low;
  for (float& sample : samples) {
    const float rest = sample - low_state;
    const float band = a1 * band_state + a2 * rest;
    const float low = low_state + a2 * band_state + a3 * rest;
    band_state = 2 * band - band_state;
    low_state = 2 * low - low_state;
    sample = c.m0 * sample + c.m1 * band + c.m2 * low;
  }
  memory = {band_state, low_state};
}

void Equaliser::process(AudioBlock block) noexcept {
  for (int begin = 0; begin < block.frames;) {
    const int left = block.frames - begin;
    // While coefficients move, update them every frame: larger steps would be audible.
    const int frames = frames_to_move_ > 0 ? 1 : left;
    if (frames_to_move_ > 0) move();
    for (int c = 0; c < block.channel_count; ++c) {
      const std::span<float> samples =
          block.channel(c).subspan(static_cast<size_t>(begin), static_cast<size_t>(frames));
      auto& memories = memories_[static_cast<size_t>(c)];
      for (size_t i = 0; i < now_.size(); ++i) {
        if (!now_[i].flat()) filter(now_[i], memories[i], samples);
      }
    }
    begin += frames;
  }
}

}  // namespace coil::dsp
