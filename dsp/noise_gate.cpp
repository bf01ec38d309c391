// NoiseGate: a peak follower, two thresholds, and a smooth gain.
#include "dsp/noise_gate.h"

#include <algorithm>
#include <cmath>

#include "dsp/decibels.h"
#include "dsp/sample_faults.h"

namespace coil::dsp {

void NoiseGate::prepare(double sample_rate_hz) noexcept {
  const auto frames = [&](float ms) { return static_cast<float>(ms * sample_rate_hz / 1000); };
  fall_ = std::exp(-1 / frames(kFallMs));
  attack_step_ = 1 / frames(kAttackMs);
  release_step_ = 1 / frames(kReleaseMs);
  hold_frames_ = static_cast<int>(frames(kHoldMs));
  reset();
}

void NoiseGate::reset() noexcept {
  level_ = 0;
  openness_ = 1;
  open_ = true;
  below_frames_ = 0;
}

void NoiseGate::set_threshold_db(float db) noexcept {
  if (db == threshold_db_) return;
  threshold_db_ = db;
  off_ = db <= kGateOffDb;
  open_level_ = off_ ? 0 : db_to_gain(db);
  close_level_ = off_ ? 0 : db_to_gain(db - kHysteresisDb);
}

void NoiseGate::process(std::span<float> key_to_gain) noexcept {
  if (!open_ && openness_ == 0 && level_ == 0 && silent(key_to_gain))
    return;  // the state after a second of silence; 0 stays 0
  float level = level_, openness = openness_;
  int below = below_frames_;
  bool open = open_;
  for (float& sample : key_to_gain) {
    level = std::max(sample, level * fall_);
    below = level < close_level_ ? std::min(below + 1, hold_frames_) : 0;
    open = open ? below < hold_frames_ : level >= open_level_;
    openness = open ? std::min(1.0f, openness + attack_step_) : std::max(0.0f, openness - release_step_);
    sample = openness * openness * (3 - 2 * openness);
  }
  level_ = level, openness_ = openness, below_frames_ = below, open_ = open;
}

}  // namespace coil::dsp
