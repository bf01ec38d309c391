// Loudness by ITU-R BS.1770, and the gain that brings every model to the same loudness.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "ssm/run/model.h"

namespace coil::dsp {

// The K-weighting of one channel: a high shelf that models the head, and a high-pass that removes rumble and constant
// offsets.
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

// The integrated loudness of BS.1770-4, with its gates, of interleaved sound in pieces. Memory use is constant. All
// channels have the same weight: the extra weight of the rear channels of surround sound is not applied. One thread at
// a time.
class LoudnessMeter {
 public:
  LoudnessMeter(double sample_rate_hz, int channels);
  void add(std::span<const float> frames);
  // Empty for silence. Sound shorter than one block of 400 ms counts as one block.
  std::optional<double> integrated_lufs() const;

 private:
  struct Bin {  // blocks of equal loudness, in steps of 0.1 LU
    double power = 0;
    int64_t blocks = 0;
  };
  void end_step();

  size_t channels_;
  std::vector<KWeighting> weightings_;
  int64_t step_frames_;            // 100 ms: blocks overlap by 75 %
  int64_t frames_ = 0;             // frames of the current step
  double power_ = 0;               // of the current step, summed over frames and channels
  std::array<double, 4> steps_{};  // the last four complete steps
  int64_t steps_ended_ = 0;
  std::vector<Bin> bins_;
};

// For one channel, without gates. Silence gives -200.
double loudness_lufs(std::span<const float> samples, double sample_rate_hz);

// Synthetic plucked strings, like a guitar connected directly, with a peak of -9 dBFS. Every call gives the same sound,
// at every rate.
std::vector<float> plucked_strings(double sample_rate_hz);

// The gain that brings the model's output for plucked_strings(), at its default controls, to kTargetLufs. That is about
// the level of a driven guitar in a mix, with peaks below full scale. The gain is within +-kMaxNormalisationDb. It is 0
// for a model that is almost silent, because a gain would only amplify its noise. Runs the model over two seconds of
// sound, once per process for each hash, card and rate. For frame models with equal numbers of inputs and outputs. [any
// thread but the audio thread]
inline constexpr float kTargetLufs = -18, kMaxNormalisationDb = 24, kHardlyASoundLufs = -70;
float normalisation_gain_db(const std::shared_ptr<const ssm::Model>& model);

}  // namespace coil::dsp
