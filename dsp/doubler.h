// A doubler: adds a second voice, late and slowly drifting, as if the part had been played twice.
#pragma once

#include <vector>

#include "dsp/processor.h"

namespace coil::dsp {

struct DoublerSettings {
  float delay_ms = 20;  // of the second voice, kMinDoublerMs to kMaxDoublerMs
  float drift_ms = 1;   // how far its delay moves to either side; less than delay_ms by kMinDoublerMs
  float level_db = 0;   // of the second voice
  float spread = 1;     // 0: both voices in the middle; 1: the input on the left, the second voice on the right

  bool operator==(const DoublerSettings&) const = default;
};

inline constexpr float kMinDoublerMs = 1, kMaxDoublerMs = 50, kMaxDriftMs = 5;

// The second voice follows the last channel. In mono, both voices are heard together. No latency.
class Doubler final : public AudioProcessor {
 public:
  explicit Doubler(const DoublerSettings& settings);

  void prepare(const ProcessSpec& spec) override;
  void reset() noexcept override;
  void process(AudioBlock block) noexcept override;
  int latency_frames() const noexcept override { return 0; }

  static constexpr double kDriftHz = 0.4;

 private:
  float voice(float sample) noexcept;  // the second voice, given the next frame of the first

  DoublerSettings settings_;
  float own_right_ = 0, voice_left_ = 0, voice_right_ = 1;  // the mix, by spread and level
  std::vector<float> ring_;                                 // size is a power of two
  size_t position_ = 0;
  double delay_frames_ = 0, drift_frames_ = 0;
  double sine_ = 0, cosine_ = 1, turn_sine_ = 0, turn_cosine_ = 1;  // the drift's phase, and its turn in one frame
};

}  // namespace coil::dsp
