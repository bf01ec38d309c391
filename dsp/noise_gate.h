// A noise gate: measures one signal and computes the gain for another.
#pragma once

#include <span>

namespace coil::dsp {

inline constexpr float kGateOffDb = -100;

// Opens when the key signal reaches the threshold. Closes when it has stayed below the threshold by the hysteresis for
// the hold time. The gain moves between 0 and 1 in a smooth curve. All functions but prepare are [audio-thread].
class NoiseGate {
 public:
  static constexpr float kHysteresisDb = 6, kHoldMs = 40, kAttackMs = 1.5f, kReleaseMs = 120;
  static constexpr float kFallMs = 10;  // time constant of the level's decay: bridges the periods of low notes

  void prepare(double sample_rate_hz) noexcept;  // [main-thread]
  void reset() noexcept;                         // open
  // The threshold for the key's peaks, in dBFS. At or below kGateOffDb the gate opens and stays open.
  void set_threshold_db(float db) noexcept;

  // True if the gate is off and fully open: process() would give 1 for any key.
  bool idle() const noexcept { return off_ && openness_ == 1; }
  float gain() const noexcept { return openness_ * openness_ * (3 - 2 * openness_); }

  // In: the key's magnitudes, finite. Out: the gains of the same frames.
  void process(std::span<float> key_to_gain) noexcept;

 private:
  float threshold_db_ = kGateOffDb;
  float open_level_ = 0, close_level_ = 0;
  bool off_ = true, open_ = true;
  float fall_ = 0, attack_step_ = 1, release_step_ = 1;
  int hold_frames_ = 0;

  float level_ = 0, openness_ = 1;
  int below_frames_ = 0;  // frames for which the level has been below close_level_
};

}  // namespace coil::dsp
