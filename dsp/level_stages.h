// Gain and noise gate as stages of a chain.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "dsp/decibels.h"
#include "dsp/noise_gate.h"
#include "dsp/processor.h"

namespace coil::dsp {

class GainStage final : public AudioProcessor {
 public:
  explicit GainStage(float db) : gain_(db_to_gain(db)) {}

  void prepare(const ProcessSpec&) override {}
  void reset() noexcept override {}
  void process(AudioBlock block) noexcept override {
    for (int c = 0; c < block.channel_count; ++c)
      for (float& sample : block.channel(c)) sample *= gain_;
  }
  int latency_frames() const noexcept override { return 0; }

 private:
  float gain_;
};

// Measures the louder channel and attenuates all channels equally.
class GateStage final : public AudioProcessor {
 public:
  explicit GateStage(float threshold_db) : threshold_db_(threshold_db) {}

  void prepare(const ProcessSpec& spec) override {
    gate_.prepare(spec.sample_rate_hz);
    gate_.set_threshold_db(threshold_db_);
    gains_.assign(static_cast<size_t>(std::max(1, spec.max_block_frames)), 0.0f);
    reset();
  }
  void reset() noexcept override { gate_.reset(); }
  void process(AudioBlock block) noexcept override {
    const int most = static_cast<int>(gains_.size());
    for (int begin = 0; begin < block.frames; begin += most) {
      const int frames = std::min(most, block.frames - begin);
      const std::span<float> gains(gains_.data(), static_cast<size_t>(frames));
      std::fill(gains.begin(), gains.end(), 0.0f);
      for (int c = 0; c < block.channel_count; ++c)
        for (int i = 0; i < frames; ++i) gains[i] = std::max(gains[i], std::fabs(block.channels[c][begin + i]));
      gate_.process(gains);
      for (int c = 0; c < block.channel_count; ++c)
        for (int i = 0; i < frames; ++i) block.channels[c][begin + i] *= gains[i];
    }
  }
  int latency_frames() const noexcept override { return 0; }

 private:
  float threshold_db_;
  NoiseGate gate_;
  std::vector<float> gains_;
};

}  // namespace coil::dsp
