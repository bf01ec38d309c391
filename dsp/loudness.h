// Loudness as ITU-R BS.1770 weighs it, and the gain that brings every model to the same.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "ssm/run/model.h"

namespace coil::dsp {

// The K-weighting of one channel: a high shelf for the head, a high-pass that takes no account of rumble and constant
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

// The integrated loudness of BS.1770-4, with its gates, of interleaved sound that comes piece by piece; memory does not
// grow with it. All channels weigh alike: the standard's extra for the rear ones of a surround recording is not given.
// One thread at a time.
class LoudnessMeter {
 public:
  LoudnessMeter(double sample_rate_hz, int channels);
  void add(std::span<const float> frames);
  // None: silence. Sound shorter than one block of 400 ms counts as one.
  std::optional<double> integrated_lufs() const;

 private:
  struct Bin {  // of blocks as loud as each other to a tenth of a unit
    double power = 0;
    int64_t blocks = 0;
  };
  void end_step();

  size_t channels_;
  std::vector<KWeighting> weightings_;
  int64_t step_frames_;            // 100 ms: blocks overlap by three quarters
  int64_t frames_ = 0;             // of the step that runs
  double power_ = 0;               // of that step, summed over frames and channels
  std::array<double, 4> steps_{};  // the last ones that ended
  int64_t steps_ended_ = 0;
  std::vector<Bin> bins_;
};

// Of one channel, without gates. Silence is -200.
double loudness_lufs(std::span<const float> samples, double sample_rate_hz);

// Plucked strings like a guitar's played straight into the model, peak at -9 dBFS; the same at each call, at every rate
// the same sound.
std::vector<float> plucked_strings(double sample_rate_hz);

// The gain that makes plucked_strings() come out of the model, at its default controls, as loud as kTargetLufs: about
// where a driven guitar sits in a mix, with peaks below full scale. Within kMaxNormalisationDb either way; 0 for a
// model that gives hardly a sound, whose noise would only be brought up. Runs the model for two seconds of sound, once
// in a process for each hash, card and rate. Models of frames with as many outputs as inputs. [any thread but the audio
// thread]
inline constexpr float kTargetLufs = -18, kMaxNormalisationDb = 24, kHardlyASoundLufs = -70;
float normalisation_gain_db(const std::shared_ptr<const ssm::Model>& model);

}  // namespace coil::dsp
