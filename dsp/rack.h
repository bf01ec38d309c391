// The chain that a player hears: gain, gate, two model slots, level normalisation, a tail of further stages, mix, gain,
// bypass; models and tail change without a click.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "dsp/audio_buffer.h"
#include "dsp/channel_mode.h"
#include "dsp/chain_slot.h"
#include "dsp/delay_line.h"
#include "dsp/equaliser.h"
#include "dsp/model_slot.h"
#include "dsp/noise_gate.h"
#include "dsp/processor.h"
#include "dsp/ramp.h"

namespace coil::dsp {

inline constexpr int kSlots = 2;

// Behind the tail, flat unless it is on. As EqualiserSettings; the bands' kinds are as there by default.
struct RackEqualiser {
  struct Band {
    std::atomic<float> hz{0}, gain_db{0}, q{0};
  };

  RackEqualiser() { set({}); }
  void set(const EqualiserSettings& settings) noexcept;  // [any thread]
  EqualiserSettings settings() const noexcept;           // [any thread]

  std::atomic<bool> on{false};
  std::array<Band, kEqualiserBands> bands;
  std::atomic<float> low_cut_hz{0}, high_cut_hz{0};
};

// What may be set while the sound goes on. Written by any thread, read once a block; what would click moves within a
// few milliseconds. Decibels count within kMaxGainDb, and as 0 when they are no number.
struct RackSettings {
  std::atomic<float> input_db{0}, output_db{0};
  std::atomic<float> mix{1};          // 0: dry, 1: the model
  std::atomic<float> gate_db{-100};   // threshold, dBFS at the model's input; at or below kGateOffDb: no gate
  std::atomic<bool> normalise{true};  // each model to the same loudness
  std::atomic<bool> bypass{false};
  std::atomic<ChannelMode> channels{ChannelMode::each};
  std::atomic<int> active_slot{0};
  std::array<std::array<std::atomic<float>, kMaxRackControls>, kSlots> controls{};  // in the card's units and order
  std::atomic<bool> tail{true};                                                     // what load_tail() has put there
  RackEqualiser equaliser;
};

inline constexpr float kMaxGainDb = 60;

// What a meter shows. Written by the audio thread, read by any.
struct RackMeters {
  std::array<std::atomic<float>, 2> input_peak{}, output_peak{};  // highest magnitude since the reader's exchange(0)
  std::atomic<float> gate_gain{1};
};

// In this order, for every frame:
//   input gain, meter -> the active slot's model -> its normalisation -> its delay to the rack's latency -> gate ->
//   tail -> equaliser -> mix with dry -> output gain -> bypass -> meter
// The gate listens to the model's input as late as the model's output comes. Dry and bypass are one and the same: the
// input before its gain, delayed by the rack's latency. Bypassed or dry, the model runs on, so that it remembers the
// right things when it is heard again; that costs as much as hearing it. The slot that is not active costs nothing: its
// model starts from rest when the slot is chosen, warms up unheard and fades in. Going on from where it was left would
// bring back the tail of what was played then. Input that is not finite or louder than kLoudest counts as 0; the output
// is always finite.
class Rack final : public AudioProcessor {
 public:
  Rack();
  ~Rack() override;

  RackSettings& settings() noexcept { return settings_; }
  RackMeters& meters() noexcept { return meters_; }

  // What a slot is to play: a model (null: pass the sound through) at rest with its controls, and its loudness.
  struct Prepared {
    std::shared_ptr<const ssm::Model> model;
    RackControls controls{};  // may be moved before commit()
    float normalisation_db = 0;
    RateMode rate_mode = RateMode::model_default;
    uint64_t made_for = 0;                  // prepare() makes it stale
    std::unique_ptr<SlotModel> slot_model;  // null: prepare() was not called yet, and will make it
  };

  // Makes it, and changes nothing: it takes as long as the model needs to settle, seconds perhaps, without a lock.
  // Controls left out stand at the card's defaults. Throws Error if the model cannot serve the spec. [any thread but
  // the audio thread]
  Prepared make(std::shared_ptr<const ssm::Model> model, std::span<const float> controls, RateMode mode) const;
  // Makes the slots play them, cross-faded, and sets their controls, within microseconds; what played before is freed
  // by a later collect(), and `slots` takes what the caller is to free. False, and nothing has changed: prepare() came
  // since, or they were made for another rate mode than `mode` (none: the present one). Any number of calls between two
  // blocks: the last one counts. [any thread but the audio thread]
  bool commit(std::array<std::optional<Prepared>, kSlots>& slots, std::optional<RateMode> mode = std::nullopt);
  // Both at once.
  void load(int slot, std::shared_ptr<const ssm::Model> model, std::span<const float> controls = {});
  std::shared_ptr<const ssm::Model> model(int slot) const;  // as last loaded [any thread but the audio thread]

  // How models meet a rate that is not theirs, from their next load() or prepare() on; see commit(). [any thread but
  // the audio thread]
  void set_rate_mode(RateMode mode);
  RateMode rate_mode() const;

  // Why the loaded model does not play since the last prepare(), and the slot passes the sound through. Empty: it
  // plays. [any thread but the audio thread]
  std::string problem(int slot) const;

  // What stands behind the models and the gate: a cabinet, an equaliser. `make` makes the chain anew for every spec,
  // and is called now and by prepare(). An empty function: nothing stands there. Throws Error if the chain cannot serve
  // the spec or has latency; then nothing has changed. [any thread but the audio thread]
  void load_tail(std::function<Chain()> make);

  // Frees what the audio thread has given back. [any thread but the audio thread]
  void collect();

  // Serves 1 or 2 channels; throws Error for other specs. Keeps the models, which begin anew; see problem(). Whoever
  // asks for something meanwhile waits for microseconds only. [main-thread, while process() is not running]
  void prepare(const ProcessSpec& spec) override;
  void reset() noexcept override;
  void process(AudioBlock block) noexcept override;

  // The longest of the slots' latencies: switching between them changes nothing. It changes with load(), at once for
  // the caller. [any thread]
  int latency_frames() const noexcept override { return latency_frames_; }

  // What the first kMaxWatchedLayers layers with memory of the active slot's model do, as ssm::LayerActivity says;
  // written about kWatchHz times a second, each value for itself. Returns how many there are, at most out.size(). [any
  // thread]
  static constexpr size_t kMaxWatchedLayers = 64;
  static constexpr int kWatchHz = 30;
  size_t observe(std::span<ssm::LayerActivity> out) const noexcept;

  // All since prepare(). [any thread]
  uint64_t input_faults() const noexcept { return input_faults_; }   // samples that counted as 0
  uint64_t restarts() const noexcept override { return restarts_; }  // of models, as ssm::Stream counts them
  uint64_t model_frames() const noexcept {
    return model_frames_;
  }  // that models have run: it stands still while they sleep

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
  // What prepare() makes slot models from.
  struct Playing {
    std::array<Loaded, kSlots> loaded;
    RateMode rate_mode = RateMode::model_default;
    std::function<Chain()> tail;
    uint64_t changes = 0;
  };

  Playing playing() const;
  static std::unique_ptr<ChainSlot::Placed> make_tail(const std::function<Chain()>& make, const ProcessSpec& spec);
  void publish_latency();
  RackControls controls(int slot) const noexcept;

  bool runs(int slot) const noexcept { return active_.moving() || active_.rests_at(static_cast<float>(slot)); }
  void aim(Ramp& ramp, float target) const noexcept;
  void read_settings() noexcept;
  void read_slots() noexcept;
  void process_piece(AudioBlock block) noexcept;
  void watch_slot(const SlotInput& in, AudioBlock out) noexcept;
  void play_slots(const SlotInput& in, AudioBlock out) noexcept;
  void gate(AudioBlock wet, AudioBlock dry) noexcept;

  RackSettings settings_;
  RackMeters meters_;

  mutable std::mutex mutex_;  // between all threads but the audio thread; held for microseconds; guards the six below
  ProcessSpec spec_;
  uint64_t specs_ = 0;  // how often it was set
  RateMode rate_mode_ = RateMode::model_default;
  std::array<Loaded, kSlots> loaded_;
  std::function<Chain()> tail_;
  uint64_t changes_ = 0;  // of the three above
  // Odd while commit() writes the slot's controls and posts the model that they are meant for: the model before must
  // not hear them.
  std::array<std::atomic<uint32_t>, kSlots> load_version_{};
  std::atomic<int> latency_frames_{0};
  std::atomic<size_t> watched_layers_{0};
  std::array<WatchedLayer, kMaxWatchedLayers> watched_;
  std::atomic<uint64_t> input_faults_{0}, restarts_{0}, model_frames_{0};

  // What the audio thread alone touches.
  std::array<ModelSlot, kSlots> slots_;
  ChainSlot tail_slot_;
  Equaliser equaliser_;
  EqualiserSettings equaliser_settings_;  // as last set
  std::array<ssm::LayerActivity, kMaxWatchedLayers> activity_{};
  int frames_to_watch_ = 0;
  bool fresh_ = true;  // nothing was heard yet: settings count at once
  SlotSettings slot_settings_;
  ChannelMode channel_mode_ = ChannelMode::each;
  int max_piece_frames_ = 1;
  Ramp input_gain_, output_gain_, dryness_, bypass_, active_;  // active_: the number of the slot that is heard
  Ramp from_left_, from_right_;  // how much of each channel a model of one channel hears first
  NoiseGate gate_;
  std::vector<DelayLine> dry_delays_;
  AudioBuffer dry_, input_, first_, key_, other_slot_;
};

}  // namespace coil::dsp
