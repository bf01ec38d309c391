// The rack's stage with two model slots, of which one is heard, and a gate that listens to their input.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "dsp/audio_buffer.h"
#include "dsp/delay_line.h"
#include "dsp/model_slot.h"
#include "dsp/noise_gate.h"
#include "dsp/processor.h"
#include "dsp/rack_settings.h"
#include "dsp/ramp.h"

namespace coil::dsp {

// The order of processing, for every frame:
//   the active slot's model -> its normalisation -> its delay to the stage's latency -> gate
// The gate measures the models' input, delayed to match their output. The inactive slot costs nothing. When it is
// chosen, its model starts from the settled state, warms up unheard and fades in. Continuing its old state would replay
// the tail of what was played then.
class DualModelStage final : public AudioProcessor {
 public:
  // Reads the settings `controls`, `active_slot`, `normalise`, `channels` and `gate_db`; writes `gate_gain`.
  DualModelStage(RackSettings& settings, RackMeters& meters) : settings_(settings), meters_(meters) {}

  // What a slot will play: a model (null: the sound passes unchanged), settled with its controls, and its loudness.
  struct Prepared {
    std::shared_ptr<const ssm::Model> model;
    RackControls controls{};  // may change before commit()
    float normalisation_db = 0;
    RateMode rate_mode = RateMode::model_default;
    uint64_t made_for = 0;                  // prepare() makes it outdated
    std::unique_ptr<SlotModel> slot_model;  // null if prepare() was not called yet; prepare() then makes it
  };

  // As the functions of Rack with these names. [any thread but the audio thread]
  Prepared make(std::shared_ptr<const ssm::Model> model, std::span<const float> controls, RateMode mode) const;
  bool commit(std::array<std::optional<Prepared>, kSlots>& slots, std::optional<RateMode> mode);
  std::shared_ptr<const ssm::Model> model(int slot) const;
  void set_rate_mode(RateMode mode);
  RateMode rate_mode() const;
  std::string problem(int slot) const;
  void collect();

  // 1 or 2 channels. [main-thread], while process() is not running.
  void prepare(const ProcessSpec& spec) override;
  void reset() noexcept override;
  void process(AudioBlock block) noexcept override;

  // The longer of the slots' latencies, so that switching slots does not change it. commit() changes it; its caller
  // sees the new value at once. [any thread]
  int latency_frames() const noexcept override { return latency_frames_; }
  int current_latency_frames() const noexcept override { return slot_settings_.latency_frames; }
  int max_latency_frames() const noexcept override { return max_latency_frames_; }
  std::optional<float> follow_level(std::optional<float> full_scale_dbu) noexcept override;

  // As Rack. [any thread]
  static constexpr size_t kMaxWatchedLayers = 64;
  static constexpr int kWatchHz = 30;
  size_t observe(std::span<ssm::LayerActivity> out) const noexcept;
  uint64_t restarts() const noexcept override { return restarts_; }
  uint64_t model_frames() const noexcept { return model_frames_; }

 private:
  struct WatchedLayer {
    std::atomic<float> energy{0}, dt{0};
  };
  struct Loaded {
    std::shared_ptr<const ssm::Model> model;
    float normalisation_db = 0;
    int latency_frames = 0;
    std::string problem;
  };
  // What prepare() needs to make slot models.
  struct Playing {
    std::array<Loaded, kSlots> loaded;
    RateMode rate_mode = RateMode::model_default;
    uint64_t changes = 0;
  };

  Playing playing() const;
  void publish_latency();
  RackControls controls(int slot) const noexcept;

  bool runs(int slot) const noexcept { return active_.moving() || active_.rests_at(static_cast<float>(slot)); }
  int heard() const noexcept { return active_.target() == 0 ? 0 : 1; }
  void read_settings() noexcept;
  void read_slots() noexcept;
  void process_piece(AudioBlock block) noexcept;
  void watch_slot(const SlotInput& in, AudioBlock out) noexcept;
  void play_slots(const SlotInput& in, AudioBlock out) noexcept;
  void listen(AudioBlock in) noexcept;
  void gate(AudioBlock out) noexcept;

  RackSettings& settings_;
  RackMeters& meters_;

  mutable std::mutex mutex_;  // never taken by the audio thread; held for microseconds; guards the five members below
  ProcessSpec spec_;
  uint64_t specs_ = 0;  // how often prepare() has changed it
  RateMode rate_mode_ = RateMode::model_default;
  std::array<Loaded, kSlots> loaded_;
  uint64_t changes_ = 0;  // changes of the two above
  // Odd while commit() writes the slot's controls and posts the model that they belong to, so that the previous model
  // does not get them.
  std::array<std::atomic<uint32_t>, kSlots> load_version_{};
  std::atomic<int> latency_frames_{0};
  std::atomic<size_t> watched_layers_{0};
  std::array<WatchedLayer, kMaxWatchedLayers> watched_;
  std::atomic<uint64_t> restarts_{0}, model_frames_{0};
  int max_latency_frames_ = 0;

  // Used only by the audio thread.
  std::array<ModelSlot, kSlots> slots_;
  std::array<ssm::LayerActivity, kMaxWatchedLayers> activity_{};
  int frames_to_watch_ = 0;
  bool fresh_ = true;  // no sound was processed yet: settings take effect at once
  SlotSettings slot_settings_;
  ChannelMode channel_mode_ = ChannelMode::each;
  int max_piece_frames_ = 1;
  Ramp active_;                  // the number of the slot that is heard
  Ramp from_left_, from_right_;  // the share of each channel in the input of a one-channel model
  NoiseGate gate_;
  DelayLine key_delay_{1, 1};
  AudioBuffer input_, first_, key_, other_slot_;
};

}  // namespace coil::dsp
