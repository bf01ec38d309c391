// Loudness as ITU-R BS.1770 weighs it, and the gain that brings every model to the same.
#pragma once

#include <array>
#include <memory>
#include <span>
#include <vector>

#include "ssm/model.h"

namespace coil::dsp {

// The K-weighting of one channel: a high shelf for the head, a high-pass that takes no account of rumble and constant offsets.
class KWeighting {
 public:
  explicit KWeighting(double sample_rate_hz);
  double process(double sample) noexcept;

 private:
  struct Biquad {
    double b0, b1, b2, a1, a2, z1 = 0, z2 = 0;
    double process(double sample) noexcept;
  };
  std::array<Biquad, 2> stages_{};
};

// Of one channel, without gates. Silence is -200.
double loudness_lufs(std::span<const float> samples, double sample_rate_hz);

// Plucked strings like a guitar's played straight into the model, peak at -9 dBFS; the same at each call, at every rate the same sound.
std::vector<float> plucked_strings(double sample_rate_hz);

// The gain that makes plucked_strings() come out of the model, at its default controls, as loud as kTargetLufs: about where a driven guitar
// sits in a mix, with peaks below full scale. Within kMaxNormalisationDb either way; 0 for a model that gives hardly a sound, whose noise
// would only be brought up. Runs the model for two seconds of sound, once in a process for each hash, card and rate. Models of frames with as
// many outputs as inputs.
// [any thread but the audio thread]
inline constexpr float kTargetLufs = -18, kMaxNormalisationDb = 24, kHardlyASoundLufs = -70;
float normalisation_gain_db(const std::shared_ptr<const ssm::Model>& model);

}  // namespace coil::dsp
