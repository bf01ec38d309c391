// What may be set and read while the plugin's rack plays.
#pragma once

#include <array>
#include <atomic>

#include "dsp/chain_stage.h"
#include "dsp/channel_mode.h"
#include "dsp/equaliser.h"
#include "dsp/slot_model.h"

namespace coil::dsp {

inline constexpr int kSlots = 2;
// Stages that a rack may have besides its models, its tail and its equaliser.
inline constexpr int kFurtherStages = 8;

// The equaliser; flat unless it is on. As EqualiserSettings; the bands have the default kinds.
struct RackEqualiser : StageSettings {
  struct Band {
    std::atomic<float> hz{0}, gain_db{0}, q{0};
  };

  RackEqualiser() {
    set({});
    on = false;
  }
  void set(const EqualiserSettings& settings) noexcept;  // [any thread]
  EqualiserSettings settings() const noexcept;           // [any thread]

  std::array<Band, kEqualiserBands> bands;
  std::atomic<float> low_cut_hz{0}, high_cut_hz{0};
};

// Any thread writes them; the audio thread reads them once per block. Values that would click move within a few
// milliseconds. Decibels are clamped to +-kMaxGainDb; NaN counts as 0.
struct RackSettings {
  std::atomic<float> input_db{0}, output_db{0};
  std::atomic<float> mix{1};          // 0: only dry, 1: only the stages
  std::atomic<float> gate_db{-100};   // threshold in dBFS at the model's input; at or below kGateOffDb: no gate
  std::atomic<bool> normalise{true};  // bring all models to the same loudness
  std::atomic<bool> bypass{false};
  std::atomic<bool> mute{false};        // of everything, also of bypass
  std::atomic<bool> calibrated{false};  // give each model the level that its card states
  std::atomic<float> input_dbu{0};      // what full scale is at the input
  std::atomic<ChannelMode> channels{ChannelMode::each};
  std::atomic<int> active_slot{0};
  std::array<std::array<std::atomic<float>, kMaxRackControls>, kSlots> controls{};  // in the card's units and order
  StageSettings models, tail;
  RackEqualiser equaliser;
  std::array<StageSettings, kFurtherStages> further;
};

inline constexpr float kMaxGainDb = 60;

// Levels for meters. The audio thread writes them; any thread reads them.
struct RackMeters {
  std::array<std::atomic<float>, 2> input_peak{}, output_peak{};  // peak since the reader's last exchange(0)
  std::atomic<float> gate_gain{1};
};

}  // namespace coil::dsp
