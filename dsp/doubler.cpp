// Doubler: a ring that is read between its frames.
#include "dsp/doubler.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <numbers>

#include "base/error.h"
#include "dsp/decibels.h"

namespace coil::dsp {

Doubler::Doubler(const DoublerSettings& settings) : settings_(settings) {
  settings_.delay_ms = std::clamp(settings.delay_ms, kMinDoublerMs, kMaxDoublerMs);
  settings_.drift_ms = std::clamp(settings.drift_ms, 0.0f, std::min(kMaxDriftMs, settings_.delay_ms - kMinDoublerMs));
  const float spread = std::clamp(settings.spread, 0.0f, 1.0f), level = db_to_gain(settings.level_db);
  own_right_ = 1 - spread;
  voice_left_ = level * (1 - spread) / 2;
  voice_right_ = level * (1 + spread) / 2;
}

void Doubler::prepare(const ProcessSpec& spec) {
  if (!(spec.sample_rate_hz > 0)) throw Error("a doubler needs a sample rate above 0");
  if (spec.channels != 1 && spec.channels != 2)
    throw Error("a doubler supports 1 or 2 channels, not " + std::to_string(spec.channels));
  const double frames_per_ms = spec.sample_rate_hz / 1000;
  delay_frames_ = static_cast<double>(settings_.delay_ms) * frames_per_ms;
  drift_frames_ = static_cast<double>(settings_.drift_ms) * frames_per_ms;
  ring_.assign(std::bit_ceil(static_cast<size_t>(delay_frames_ + drift_frames_) + 4), 0.0f);
  const double turn = 2 * std::numbers::pi * kDriftHz / spec.sample_rate_hz;
  turn_sine_ = std::sin(turn);
  turn_cosine_ = std::cos(turn);
  reset();
}

void Doubler::reset() noexcept {
  std::fill(ring_.begin(), ring_.end(), 0.0f);
  position_ = 0;
  sine_ = 0;
  cosine_ = 1;
}

// A cubic through four frames (Catmull-Rom), so that the drift is heard as pitch and not as a loss of treble.
float Doubler::voice(float sample) noexcept {
  const size_t mask = ring_.size() - 1;
  ring_[position_] = sample;
  const double delay = delay_frames_ + drift_frames_ * sine_;
  const auto whole = static_cast<size_t>(delay);
  const float part = static_cast<float>(delay - static_cast<double>(whole));
  const auto at = [&](size_t late) { return ring_[(position_ - late) & mask]; };
  const float after = at(whole - 1), here = at(whole), before = at(whole + 1), last = at(whole + 2);
  const float slope = 0.5f * (before - after), next_slope = 0.5f * (last - here), step = before - here;
  position_ = (position_ + 1) & mask;
  const double sine = sine_ * turn_cosine_ + cosine_ * turn_sine_;
  cosine_ = cosine_ * turn_cosine_ - sine_ * turn_sine_;
  sine_ = sine;
  return here + part * (slope + part * (3 * step - 2 * slope - next_slope + part * (slope + next_slope - 2 * step)));
}

void Doubler::process(AudioBlock block) noexcept {
  float* const last = block.channels[block.channel_count - 1];
  if (block.channel_count == 1) {
    for (int i = 0; i < block.frames; ++i) last[i] += (voice_left_ + voice_right_) / 2 * voice(last[i]);
    return;
  }
  float* const left = block.channels[0];
  for (int i = 0; i < block.frames; ++i) {
    const float second = voice(last[i]);
    left[i] += voice_left_ * second;
    last[i] = own_right_ * last[i] + voice_right_ * second;
  }
}

}  // namespace coil::dsp
