// A loudspeaker cabinet: what comes in is convolved with one or two measured impulse responses, blended.
#pragma once

#include <array>
#include <memory>
#include <vector>

#include "dsp/convolver.h"
#include "dsp/processor.h"

namespace coil::dsp {

// 1 or 2 channels, equally long.
struct ImpulseResponse {
  std::vector<std::vector<float>> channels;
  double sample_rate_hz = 0;
};

// One microphone of a cabinet.
struct Microphone {
  std::shared_ptr<const ImpulseResponse> response;
  float level_db = 0;
  float pan = 0;       // -1: left, 1: right; constant power, 0 dB in the middle; without effect in mono
  float delay_ms = 0;  // 0 to kMaxMicrophoneDelayMs, relative to the other's
  bool inverted = false;
};

inline constexpr float kMaxMicrophoneDelayMs = 20;
inline constexpr double kMaxResponseSeconds = 5;

struct CabinetSettings {
  std::vector<Microphone> microphones;  // one or two
  bool normalise = true;                // the blend to the power gain of 1 for white noise
};

// Adds no latency: what the recordings of the responses hold of delay stays, and is the same for both.
class Cabinet final : public AudioProcessor {
 public:
  // Throws Error for responses that are empty, not finite, or of more than two channels. Longer ones than
  // kMaxResponseSeconds are faded out there. [any thread but the audio thread]
  explicit Cabinet(CabinetSettings settings);

  // 1 or 2 channels. In two channels, a mono response serves both, a stereo one has one each.
  void prepare(const ProcessSpec& spec) override;
  void reset() noexcept override;
  void process(AudioBlock block) noexcept override;
  int latency_frames() const noexcept override { return 0; }

  // The blend at a sample rate, one row of taps a channel. [any thread but the audio thread]
  std::vector<std::vector<float>> taps(double sample_rate_hz, int channels) const;

 private:
  CabinetSettings settings_;
  std::vector<Convolver> convolvers_;  // a channel each
};

}  // namespace coil::dsp
