// K-weighting, the synthetic plucked strings, and the loudness of a model.
#include "dsp/loudness.h"

#include <algorithm>
#include <cmath>
#include <complex>
#include <map>
#include <mutex>
#include <numbers>
#include <random>
#include <string>
#include <tuple>

#include "dsp/model_processor.h"
#include "ssm/run/stream.h"

namespace coil::dsp {
namespace {

constexpr double kPi = std::numbers::pi;
constexpr double kNoteSeconds = 0.25;

double to_lufs(double mean_square) {
  return mean_square > 0 ? std::max(-200.0, -0.691 + 10 * std::log10(mean_square)) : -200;
}

}  // namespace

// BS.1770-4 gives the coefficients for 48 kHz only. These analogue prototypes give the same ones there, and suitable
// ones at every other rate (bilinear transform).
KWeighting::KWeighting(double sample_rate_hz) {
  {
    const double k = std::tan(kPi * 1681.974450955533 / sample_rate_hz), q = 0.7071752369554196;
    const double high = std::pow(10.0, 3.999843853973347 / 20), band = std::pow(high, 0.4996667741545416);
    const double a0 = 1 + k / q + k * k;
    stages_[0] = {(high + band * k / q + k * k) / a0, 2 * (k * k - high) / a0, (high - band * k / q + k * k) / a0,
                  2 * (k * k - 1) / a0, (1 - k / q + k * k) / a0};
  }
  const double k = std::tan(kPi * 38.13547087602444 / sample_rate_hz), q = 0.5003270373238773;
  const double a0 = 1 + k / q + k * k;
  stages_[1] = {1, -2, 1, 2 * (k * k - 1) / a0, (1 - k / q + k * k) / a0};
}

double KWeighting::Biquad::process(double sample) noexcept {
  const double out = b0 * sample + z1;
  z1 = b1 * sample - a1 * out + z2;
  z2 = b2 * sample - a2 * out;
  return out;
}

double KWeighting::process(double sample) noexcept { return stages_[1].process(stages_[0].process(sample)); }

namespace {

constexpr double kAbsoluteGateLufs = -70, kRelativeGateLu = -10, kLoudestLufs = 50, kBinsPerLu = 10;

double block_lufs(double power) { return -0.691 + 10 * std::log10(power); }

}  // namespace

LoudnessMeter::LoudnessMeter(double sample_rate_hz, int channels)
    : channels_(static_cast<size_t>(channels)),
      weightings_(channels_, KWeighting(sample_rate_hz)),
      step_frames_(std::max<int64_t>(std::llround(sample_rate_hz / 10), 1)),
      bins_(static_cast<size_t>((kLoudestLufs - kAbsoluteGateLufs) * kBinsPerLu)) {}

void LoudnessMeter::add(std::span<const float> frames) {
  for (size_t i = 0; i + channels_ <= frames.size(); i += channels_) {
    for (size_t c = 0; c < channels_; ++c) {
      const double weighted = weightings_[c].process(frames[i + c]);
      power_ += weighted * weighted;
    }
    if (++frames_ == step_frames_) end_step();
  }
}

void LoudnessMeter::end_step() {
  steps_[static_cast<size_t>(steps_ended_++) % steps_.size()] = power_;
  frames_ = 0;
  power_ = 0;
  if (steps_ended_ < static_cast<int64_t>(steps_.size())) return;
  double power = 0;
  for (const double step : steps_) power += step;
  power /= static_cast<double>(steps_.size()) * static_cast<double>(step_frames_);
  const double lufs = block_lufs(power);
  if (!(lufs > kAbsoluteGateLufs)) return;
  const double number = std::min((lufs - kAbsoluteGateLufs) * kBinsPerLu, static_cast<double>(bins_.size() - 1));
  Bin& bin = bins_[static_cast<size_t>(number)];
  bin.power += power;
  ++bin.blocks;
}

std::optional<double> LoudnessMeter::integrated_lufs() const {
  if (steps_ended_ < static_cast<int64_t>(steps_.size())) {
    double power = power_;
    for (int64_t i = 0; i < steps_ended_; ++i) power += steps_[static_cast<size_t>(i)];
    const double lufs =
        block_lufs(power / static_cast<double>(std::max<int64_t>(steps_ended_ * step_frames_ + frames_, 1)));
    return lufs > kAbsoluteGateLufs ? std::optional(lufs) : std::nullopt;
  }
  const auto mean_lufs = [&](double gate_lufs) {
    Bin sum;
    for (const Bin& bin : bins_) {
      if (bin.blocks == 0 || !(block_lufs(bin.power / static_cast<double>(bin.blocks)) > gate_lufs)) continue;
      sum.power += bin.power;
      sum.blocks += bin.blocks;
    }
    return sum.blocks > 0 ? std::optional(block_lufs(sum.power / static_cast<double>(sum.blocks))) : std::nullopt;
  };
  const std::optional<double> all = mean_lufs(kAbsoluteGateLufs);
  return all ? mean_lufs(*all + kRelativeGateLu) : all;
}

double loudness_lufs(std::span<const float> samples, double sample_rate_hz) {
  KWeighting weighting(sample_rate_hz);
  double sum = 0;
  for (const float sample : samples) {
    const double weighted = weighting.process(sample);
    sum += weighted * weighted;
  }
  return to_lufs(samples.empty() ? 0 : sum / static_cast<double>(samples.size()));
}

std::vector<float> plucked_strings(double sample_rate_hz) {
  constexpr double kStringsHz[][2] = {{82.41, 0},      {110, 164.81}, {146.83, 0}, {196, 0},
                                      {82.41, 123.47}, {246.94, 0},   {329.63, 0}, {98, 146.83}};
  constexpr double kHighestHz = 5000, kPluckedAt = 0.13, kPeak = 0.35;
  const size_t note_frames = static_cast<size_t>(std::lround(kNoteSeconds * sample_rate_hz));
  std::vector<float> sound(std::size(kStringsHz) * note_frames);
  std::mt19937 random(1);
  for (size_t note = 0; note < std::size(kStringsHz); ++note) {
    for (const double string_hz : kStringsHz[note]) {
      for (int partial = 1; string_hz > 0 && partial * string_hz < kHighestHz; ++partial) {
        const double hz = partial * string_hz, phase = 2 * kPi * static_cast<double>(random()) / 4294967296.0;
        if (hz > 0.45 * sample_rate_hz) continue;
        std::complex<double> swing = std::polar(std::sin(kPi * partial * kPluckedAt) / partial, phase);
        const std::complex<double> turn =
            std::polar(std::exp(-(2 + 0.8 * partial) / sample_rate_hz), 2 * kPi * hz / sample_rate_hz);
        for (size_t i = 0; i < note_frames; ++i) {
          sound[note * note_frames + i] += static_cast<float>(swing.imag());
          swing = {swing.real() * turn.real() - swing.imag() * turn.imag(),
                   swing.real() * turn.imag() + swing.imag() * turn.real()};
        }
      }
    }
    for (size_t i = 0; i < note_frames; ++i) {
      const double t = static_cast<double>(i) / sample_rate_hz;
      sound[note * note_frames + i] *=
          static_cast<float>(std::min({1.0, t / 0.002, (kNoteSeconds - t) / 0.005}));  // attack and release of a note
    }
  }
  float peak = 0;
  for (const float sample : sound) peak = std::max(peak, std::fabs(sample));
  for (float& sample : sound) sample *= static_cast<float>(kPeak) / peak;
  return sound;
}

namespace {

float measure_gain_db(const std::shared_ptr<const ssm::Model>& model) {
  const double stated_hz = sample_rate_hz(*model), rate_hz = stated_hz > 0 ? stated_hz : 48000;
  const size_t width = static_cast<size_t>(model->config().d_input);
  const std::vector<float> sound = plucked_strings(rate_hz);
  ssm::Stream stream(model);
  std::vector<KWeighting> weightings(width, KWeighting(rate_hz));
  const size_t run_in = static_cast<size_t>(kNoteSeconds * rate_hz);  // the first note is played but not measured
  constexpr size_t kBlock = 256;
  std::vector<float> block(kBlock * width);
  double sum = 0;
  for (size_t begin = 0; begin < sound.size(); begin += kBlock) {
    const size_t frames = std::min(kBlock, sound.size() - begin);
    for (size_t i = 0; i < frames * width; ++i) block[i] = sound[begin + i / width];
    stream.process({block.data(), frames * width}, {block.data(), frames * width});
    for (size_t i = 0; i < frames * width; ++i) {
      const double weighted = weightings[i % width].process(block[i]);
      if (begin + i / width >= run_in) sum += weighted * weighted;
    }
  }
  const double lufs = to_lufs(sum / static_cast<double>(width * (sound.size() - run_in)));
  if (!(lufs > kHardlyASoundLufs)) return 0;
  return std::clamp(static_cast<float>(kTargetLufs - lufs), -kMaxNormalisationDb, kMaxNormalisationDb);
}

}  // namespace

float normalisation_gain_db(const std::shared_ptr<const ssm::Model>& model) {
  static std::mutex mutex;
  static std::map<std::tuple<std::string, std::string, double>, float> measured;
  const std::tuple key{model->hash(), model->card().json, model->config().sample_rate_hz};
  {
    const std::lock_guard lock(mutex);
    if (const auto known = measured.find(key); known != measured.end()) return known->second;
  }
  const float db = measure_gain_db(model);
  const std::lock_guard lock(mutex);
  return measured.emplace(key, db).first->second;
}

}  // namespace coil::dsp
