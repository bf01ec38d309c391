// What a slot of the rack plays: a model, or none, brought to the rack's channels, loudness and latency.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "dsp/delay_line.h"
#include "dsp/ramp.h"
#include "dsp/sleeping_model.h"

namespace coil::dsp {

inline constexpr int kMaxRackControls = 16;
using RackControls = std::array<float, kMaxRackControls>;

inline constexpr float kRampMs = 20, kFadeMs = 25;  // of gains; from one model to another

// How the rack wants all its models to sound.
struct SlotSettings {
  bool normalise = true;
  bool joined = false;     // a model of one channel runs once, for both
  int latency_frames = 0;  // of the rack
};

// What a slot hears, equally long.
struct SlotInput {
  AudioBlock channels;
  std::span<const float> first;  // what a model of one channel hears first or, joined, for both channels
};

class SlotModel {
 public:
  static constexpr int kMaxLatencyMs = 250;

  // `model` null: passes the sound through. Controls as Rack::load. Throws Error if the model cannot serve the spec, is
  // later than kMaxLatencyMs, or has more than kMaxRackControls controls. [any thread but the audio thread]
  SlotModel(std::shared_ptr<const ssm::Model> model, const ProcessSpec& spec, const RackControls& controls,
            float normalisation_db, RateMode rate_mode = RateMode::model_default);

  int latency_frames() const noexcept { return latency_frames_; }
  // How long after start() the model sounds as if it had always run, but for what the model remembers for long: its
  // latency, filled, and a little for the step with which a signal sets in.
  int warm_up_frames(int rack_latency_frames) const noexcept { return rack_latency_frames + settle_frames_; }

  // All below: [audio-thread]
  void start(const SlotSettings& settings) noexcept;   // from rest, at once
  void follow(const SlotSettings& settings) noexcept;  // without a click
  void set_controls(const RackControls& controls) noexcept;
  void process(const SlotInput& in, AudioBlock out) noexcept;
  // As ssm::Stream::watch, of the first channel. Returns how many layers there are to watch, at most activity.size().
  size_t watch(std::span<ssm::LayerActivity> activity) noexcept;

  // Since they were last asked for.
  struct Counts {
    uint64_t frames_run = 0, restarts = 0;
    Counts& operator+=(const Counts& more) noexcept;
  };
  Counts take_counts() noexcept;

  SlotModel* given_back_before = nullptr;  // for Handover

 private:
  void run(size_t lane, float* samples, int frames) noexcept;

  std::shared_ptr<const ssm::Model> model_;
  std::vector<SleepingModel>
      lanes_;  // one for all channels of a wide model, else one per channel; none without a model
  bool wide_ = false;
  RackControls controls_;
  float normalisation_gain_ = 1;
  int latency_frames_ = 0, settle_frames_ = 0;
  Ramp gain_;
  Ramp joined_;                       // 1: the second channel is the first one's
  std::vector<DelayLine> alignment_;  // per channel, to the rack's latency
  Counts told_;
};

}  // namespace coil::dsp
