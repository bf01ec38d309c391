// Cabinet: resamples the responses to the processor's rate and blends them into one row of taps per channel.
#include "dsp/cabinet.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <string>

#include "base/error.h"
#include "dsp/decibels.h"
#include "dsp/resampler.h"

namespace coil::dsp {
namespace {

constexpr double kFadeSeconds = 0.02;  // fade-out of a response that is too long

void check(const ImpulseResponse& response) {
  const auto& channels = response.channels;
  if (channels.empty() || channels.size() > 2)
    throw Error("an impulse response has 1 or 2 channels, not " + std::to_string(channels.size()));
  if (!(response.sample_rate_hz > 0)) throw Error("an impulse response needs a sample rate above 0");
  float loudest = 0;
  for (const std::vector<float>& taps : channels) {
    if (taps.empty()) throw Error("an impulse response without frames");
    for (const float tap : taps) {
      if (!std::isfinite(tap)) throw Error("an impulse response with samples that are not finite");
      loudest = std::max(loudest, std::fabs(tap));
    }
  }
  if (loudest == 0) throw Error("an impulse response that is silent");
}

// One channel at the wanted rate, cut to kMaxResponseSeconds. The taps sample a continuous response, so they are scaled
// by the sampling interval.
std::vector<float> at_rate(const std::vector<float>& taps, double from_hz, double to_hz) {
  std::vector<float> out;
  if (std::llround(from_hz) == std::llround(to_hz)) {
    out = taps;
  } else {
    Resampler resampler(from_hz, to_hz, 1);
    const size_t wanted = static_cast<size_t>(std::ceil(static_cast<double>(taps.size()) * to_hz / from_hz));
    resampler.process(taps, out);
    const std::vector<float> silence(1024, 0.0f);
    while (out.size() < wanted) resampler.process(silence, out);
    out.resize(wanted);
    for (float& tap : out) tap *= static_cast<float>(from_hz / to_hz);
  }
  const size_t most = static_cast<size_t>(kMaxResponseSeconds * to_hz);
  if (out.size() > most) {
    out.resize(most);
    const size_t fade = static_cast<size_t>(kFadeSeconds * to_hz);
    for (size_t i = 0; i < fade; ++i) {
      const double phase = std::numbers::pi * static_cast<double>(i + 1) / static_cast<double>(fade);
      out[most - fade + i] *= static_cast<float>(0.5 + 0.5 * std::cos(phase));
    }
  }
  return out;
}

float pan_gain(float pan, int channel, int channels) {
  if (channels == 1) return 1;
  const float angle = (std::clamp(pan, -1.0f, 1.0f) + 1) * std::numbers::pi_v<float> / 4;
  return std::numbers::sqrt2_v<float> * (channel == 0 ? std::cos(angle) : std::sin(angle));
}

}  // namespace

Cabinet::Cabinet(CabinetSettings settings) : settings_(std::move(settings)) {
  if (settings_.microphones.empty() || settings_.microphones.size() > 2)
    throw Error("a cabinet has one or two microphones, not " + std::to_string(settings_.microphones.size()));
  for (const Microphone& microphone : settings_.microphones) check(*microphone.response);
}

std::vector<std::vector<float>> Cabinet::taps(double sample_rate_hz, int channels) const {
  std::vector<std::vector<float>> rows(static_cast<size_t>(channels));
  for (const Microphone& microphone : settings_.microphones) {
    const ImpulseResponse& response = *microphone.response;
    const double delay = std::clamp(microphone.delay_ms, 0.0f, kMaxMicrophoneDelayMs) / 1000.0 * sample_rate_hz;
    const size_t late = static_cast<size_t>(std::llround(delay));
    const float level = db_to_gain(microphone.level_db) * (microphone.inverted ? -1.0f : 1.0f);
    for (int c = 0; c < channels; ++c) {
      std::vector<float>& row = rows[static_cast<size_t>(c)];
      // In mono, both channels of a stereo response are used.
      const size_t first = channels == 1 ? 0 : std::min<size_t>(static_cast<size_t>(c), response.channels.size() - 1);
      const size_t last = channels == 1 ? response.channels.size() - 1 : first;
      const float gain = level * pan_gain(microphone.pan, c, channels) / static_cast<float>(last - first + 1);
      for (size_t from = first; from <= last; ++from) {
        const std::vector<float> own = at_rate(response.channels[from], response.sample_rate_hz, sample_rate_hz);
        if (row.size() < own.size() + late) row.resize(own.size() + late, 0.0f);
        for (size_t i = 0; i < own.size(); ++i) row[late + i] += gain * own[i];
      }
    }
  }
  if (!settings_.normalise) return rows;
  double power = 0;
  for (const std::vector<float>& row : rows)
    for (const float tap : row) power += static_cast<double>(tap) * tap / channels;
  if (power > 0)
    for (std::vector<float>& row : rows)
      for (float& tap : row) tap *= static_cast<float>(1 / std::sqrt(power));
  return rows;
}

void Cabinet::prepare(const ProcessSpec& spec) {
  if (spec.channels != 1 && spec.channels != 2)
    throw Error("a cabinet supports 1 or 2 channels, not " + std::to_string(spec.channels));
  std::vector<Convolver> convolvers;
  for (const std::vector<float>& row : taps(spec.sample_rate_hz, spec.channels)) convolvers.emplace_back(row);
  convolvers_ = std::move(convolvers);
}

void Cabinet::reset() noexcept {
  for (Convolver& convolver : convolvers_) convolver.reset();
}

void Cabinet::process(AudioBlock block) noexcept {
  for (int c = 0; c < block.channel_count; ++c) convolvers_[static_cast<size_t>(c)].process(block.channel(c));
}

}  // namespace coil::dsp
