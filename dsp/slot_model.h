// What a slot of the rack plays: a model (or none), adapted to the rack's channels, loudness and latency.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "dsp/delay_line.h"
#include "dsp/ramp.h"
#include "dsp/sleeping_model.h"

namespace coil::dsp {

inline constexpr int kMaxRackControls = 16;
using RackControls = std::array<float, kMaxRackControls>;

inline constexpr float kRampMs = 20, kFadeMs = 25;  // for gains; for changes of model

// Settings that are common to all models of the rack.
struct SlotSettings {
  bool normalise = true;
  bool joined = false;                  // a one-channel model runs once, for both channels
  int latency_frames = 0;               // the rack's latency
  std::optional<float> full_scale_dbu;  // at the models' input: gives a model the level that its card states
};

// The input of a slot; all of equal length.
struct SlotInput {
  AudioBlock channels;
  std::span<const float> first;  // the input of a one-channel model: the first channel's or, if joined, both channels'
};

class SlotModel {
 public:
  static constexpr int kMaxLatencyMs = 250;

  // `model` null: the sound passes unchanged. Controls as in Rack::load. Throws Error if the model does not support the
  // spec, has more latency than kMaxLatencyMs, or more than kMaxRackControls controls. [any thread but the audio
  // thread]
  SlotModel(std::shared_ptr<const ssm::Model> model, const ProcessSpec& spec, const RackControls& controls,
            float normalisation_db, RateMode rate_mode = RateMode::model_default);

  int latency_frames() const noexcept { return latency_frames_; }
  // How many frames after start() the model sounds as if it had always run, apart from its long-term memory: the
  // latency, and a little more for the onset of the signal.
  int warm_up_frames(int rack_latency_frames) const noexcept { return rack_latency_frames + settle_frames_; }

  // All functions below are [audio-thread].
  // What full scale is at the output, if it is `full_scale_dbu` at the input. Empty: unknown.
  std::optional<float> output_full_scale_dbu(float full_scale_dbu, bool normalised) const noexcept;
  void start(const SlotSettings& settings) noexcept;   // from the settled state, at once
  void follow(const SlotSettings& settings) noexcept;  // without a click
  void set_controls(const RackControls& controls) noexcept;
  void process(const SlotInput& in, AudioBlock out) noexcept;
  // Watches the first channel, see ssm::Stream::watch. Returns the number of layers to watch, at most activity.size().
  size_t watch(std::span<ssm::LayerActivity> activity) noexcept;

  // Counted since the last call.
  struct Counts {
    uint64_t frames_run = 0, restarts = 0;
    Counts& operator+=(const Counts& more) noexcept;
  };
  Counts take_counts() noexcept;

  SlotModel* given_back_before = nullptr;  // for Handover

 private:
  float input_gain(const SlotSettings& settings) const noexcept;
  void run(size_t lane, float* samples, int frames) noexcept;

  std::shared_ptr<const ssm::Model> model_;
  std::vector<SleepingModel>
      lanes_;  // one for all channels of a wide model, else one per channel; empty without a model
  bool wide_ = false;
  RackControls controls_;
  float normalisation_gain_ = 1;
  std::optional<float> full_scale_dbu_, out_full_scale_dbu_;  // at the model's input and output, as its card states
  int latency_frames_ = 0, settle_frames_ = 0;
  Ramp gain_, input_gain_;
  Ramp joined_;                       // 1: the second channel equals the first
  std::vector<DelayLine> alignment_;  // one per channel, fills up to the rack's latency
  Counts told_;
};

}  // namespace coil::dsp
