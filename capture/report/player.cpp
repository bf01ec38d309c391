// Encodes sound as WAV, which every browser plays, in base64 (RFC 4648).
#include "capture/report/player.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string_view>

#include "dsp/loudness.h"
#include "dsp/resampler.h"

namespace coil::capture {
namespace {

constexpr double kHighestRateHz = 48000, kFadeSeconds = 0.005;
constexpr double kLoudnessLufs = -23, kHighestPeak = 0.7, kSilenceLufs = -100;

std::string base64(std::string_view bytes) {
  static constexpr char kLetters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  text.reserve((bytes.size() + 2) / 3 * 4);
  for (size_t i = 0; i < bytes.size(); i += 3) {
    uint32_t three = 0;
    for (size_t k = 0; k < 3; ++k)
      three = three << 8 | (i + k < bytes.size() ? static_cast<unsigned char>(bytes[i + k]) : 0u);
    for (size_t k = 0; k < 4; ++k) text += i + k > bytes.size() ? '=' : kLetters[three >> (18 - 6 * k) & 63];
  }
  return text;
}

void append(std::string& bytes, uint32_t value, int count) {
  for (int i = 0; i < count; ++i) bytes += static_cast<char>(value >> (8 * i) & 255);
}

std::vector<float> at_most_48_khz(std::span<const float> sound, double& sample_rate_hz) {
  if (sample_rate_hz <= kHighestRateHz) return {sound.begin(), sound.end()};
  dsp::Resampler resampler(sample_rate_hz, kHighestRateHz, 1);
  std::vector<float> out;
  resampler.process(sound, out);
  resampler.process(std::vector<float>(8192), out);
  out.resize(std::min(out.size(), size_t(double(sound.size()) * kHighestRateHz / sample_rate_hz)));
  sample_rate_hz = kHighestRateHz;
  return out;
}

}  // namespace

std::string sound_url(std::span<const float> sound, double sample_rate_hz, double gain) {
  const std::vector<float> samples = at_most_48_khz(sound, sample_rate_hz);
  const auto rate = uint32_t(std::lround(sample_rate_hz)), size = uint32_t(2 * samples.size());
  std::string wav = "RIFF";
  append(wav, 36 + size, 4), wav += "WAVEfmt ";
  append(wav, 16, 4), append(wav, 1, 2), append(wav, 1, 2), append(wav, rate, 4), append(wav, 2 * rate, 4);
  append(wav, 2, 2), append(wav, 16, 2), wav += "data", append(wav, size, 4);
  const double fade = kFadeSeconds * sample_rate_hz;
  for (size_t i = 0; i < samples.size(); ++i) {
    const double edge = std::min({1.0, double(i) / fade, double(samples.size() - 1 - i) / fade});
    const double value = std::clamp(gain * edge * double(samples[i]), -1.0, 1.0);
    append(wav, uint32_t(int32_t(std::lround(32767 * value))), 2);
  }
  return "data:audio/wav;base64," + base64(wav);
}

double safe_gain(std::span<const std::vector<float>> sounds, double sample_rate_hz) {
  double loudest = kSilenceLufs, peak = 1e-9;
  for (const std::vector<float>& sound : sounds) {
    loudest = std::max(loudest, double(dsp::loudness_lufs(sound, sample_rate_hz)));
    for (const float value : sound) peak = std::max(peak, std::abs(double(value)));
  }
  if (loudest <= kSilenceLufs) return 1;
  return std::min(std::pow(10, (kLoudnessLufs - loudest) / 20), kHighestPeak / peak);
}

}  // namespace coil::capture
