// A loudspeaker cabinet: convolves the input with one or two measured impulse responses and blends the results.
#pragma once

#include <array>
#include <memory>
#include <vector>

#include "dsp/convolver.h"
#include "dsp/processor.h"

namespace coil::dsp {

// 1 or 2 channels of equal length.
struct ImpulseResponse {
  std::vector<std::vector<float>> channels;
  double sample_rate_hz = 0;
};

// One microphone of a cabinet.
struct Microphone {
  std::shared_ptr<const ImpulseResponse> response;
  float level_db = 0;
  float pan = 0;       // -1: left, 1: right; constant power, 0 dB in the middle; no effect in mono
  float delay_ms = 0;  // 0 to kMaxMicrophoneDelayMs, relative to the other microphone
  bool inverted = false;
};

inline constexpr float kMaxMicrophoneDelayMs = 20;
inline constexpr double kMaxResponseSeconds = 5;

struct CabinetSettings {
  std::vector<Microphone> microphones;  // one or two
  bool normalise = true;                // scales the blend to unit power gain for white noise
};

// Adds no latency. The delay that the recorded responses contain stays, and is the same for both channels.
class Cabinet final : public AudioProcessor {
 public:
  // Throws Error if a response is empty, not finite, or has more than two channels. A response longer than
  // kMaxResponseSeconds is faded out there. [any thread but the audio thread]
  explicit Cabinet(CabinetSettings settings);

  // 1 or 2 channels. With two channels, a mono response is used for both, and a stereo response has one channel for
  // each.
  void prepare(const ProcessSpec& spec) override;
  void reset() noexcept override;
  void process(AudioBlock block) noexcept override;
  int latency_frames() const noexcept override { return 0; }

  // The blended response at a sample rate, one row of taps per channel. [any thread but the audio thread]
  std::vector<std::vector<float>> taps(double sample_rate_hz, int channels) const;

 private:
  CabinetSettings settings_;
  std::vector<Convolver> convolvers_;  // one per channel
};

}  // namespace coil::dsp
