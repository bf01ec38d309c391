// The plugin's signal chain: gain, gate, two model slots, loudness normalisation, a tail of further stages, mix, gain,
// bypass. Models and tail change without a click.
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

// The equaliser after the tail; flat unless it is on. As EqualiserSettings; the bands have the default kinds.
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

// Settings that may change during playback. Any thread writes them; the audio thread reads them once per block. Values
// that would click move within a few milliseconds. Decibels are clamped to +-kMaxGainDb; NaN counts as 0.
struct RackSettings {
  std::atomic<float> input_db{0}, output_db{0};
  std::atomic<float> mix{1};          // 0: only dry, 1: only the model
  std::atomic<float> gate_db{-100};   // threshold in dBFS at the model's input; at or below kGateOffDb: no gate
  std::atomic<bool> normalise{true};  // bring all models to the same loudness
  std::atomic<bool> bypass{false};
  std::atomic<bool> mute{false};        // of everything, also of bypass
  std::atomic<bool> calibrated{false};  // give each model the level that its card states
  std::atomic<float> input_dbu{0};      // what full scale is at the input
  std::atomic<ChannelMode> channels{ChannelMode::each};
  std::atomic<int> active_slot{0};
  std::array<std::array<std::atomic<float>, kMaxRackControls>, kSlots> controls{};  // in the card's units and order
  // whether the chain of load_tail() is on
  std::atomic<bool> tail{true};
  RackEqualiser equaliser;
};

inline constexpr float kMaxGainDb = 60;

// Levels for meters. The audio thread writes them; any thread reads them.
struct RackMeters {
  std::array<std::atomic<float>, 2> input_peak{}, output_peak{};  // peak since the reader's last exchange(0)
  std::atomic<float> gate_gain{1};
};

// The order of processing, for every frame:
//   input gain, meter -> the active slot's model -> its normalisation -> its delay to the rack's latency -> gate ->
//   tail -> equaliser -> mix with dry -> output gain -> bypass -> mute -> meter
// The gate measures the model's input, delayed to match its output. Dry and bypass are the same signal: the input
// before its gain, delayed by the rack's latency. The model keeps running while bypassed or dry, so that its memory is
// up to date when it is heard again; this costs the same as hearing it. The inactive slot costs nothing. When it is
// chosen, its model starts from the settled state, warms up unheard and fades in. Continuing its old state would replay
// the tail of what was played then. Input samples that are not finite or are louder than kLoudest count as 0. The
// output is always finite.
class Rack final : public AudioProcessor {
 public:
  Rack();
  ~Rack() override;

  RackSettings& settings() noexcept { return settings_; }
  RackMeters& meters() noexcept { return meters_; }

  // What a slot will play: a model (null: the sound passes unchanged), settled with its controls, and its loudness.
  struct Prepared {
    std::shared_ptr<const ssm::Model> model;
    RackControls controls{};  // may change before commit()
    float normalisation_db = 0;
    RateMode rate_mode = RateMode::model_default;
    uint64_t made_for = 0;                  // prepare() makes it outdated
    std::unique_ptr<SlotModel> slot_model;  // null if prepare() was not called yet; prepare() then makes it
  };

  // Prepares a model for a slot, without a lock and without changing the rack. Takes as long as the model needs to
  // settle, perhaps seconds. Missing controls get the card's defaults. Throws Error if the model does not support the
  // spec. [any thread but the audio thread]
  Prepared make(std::shared_ptr<const ssm::Model> model, std::span<const float> controls, RateMode mode) const;
  // Makes the slots play the prepared models, cross-faded, and sets their controls, within microseconds. A later
  // collect() frees the previous models; `slots` returns what the caller must free. Returns false and changes nothing
  // if prepare() was called since make(), or if the models were made for another rate mode than `mode` (default: the
  // current one). If it is called several times between two blocks, the last call wins. [any thread but the audio
  // thread]
  bool commit(std::array<std::optional<Prepared>, kSlots>& slots, std::optional<RateMode> mode = std::nullopt);
  // make() and commit() in one call.
  void load(int slot, std::shared_ptr<const ssm::Model> model, std::span<const float> controls = {});
  std::shared_ptr<const ssm::Model> model(int slot) const;  // as last loaded [any thread but the audio thread]

  // What to do if a model's rate differs from the host's. Takes effect at the next load() or prepare(); see commit().
  // [any thread but the audio thread]
  void set_rate_mode(RateMode mode);
  RateMode rate_mode() const;

  // Why the loaded model does not play since the last prepare(), so that the slot passes the sound unchanged. Empty if
  // it plays. [any thread but the audio thread]
  std::string problem(int slot) const;

  // Sets the stages after the models and the gate: a cabinet, an equaliser. `make` makes a new chain for each spec; it
  // is called now and in prepare(). An empty function removes the stages. Throws Error if the chain does not support
  // the spec or has latency; then nothing has changed. [any thread but the audio thread]
  void load_tail(std::function<Chain()> make);

  // Frees the objects that the audio thread has given back. [any thread but the audio thread]
  void collect();

  // Supports 1 or 2 channels; throws Error for other specs. Keeps the models but restarts them; see problem(). Other
  // threads wait only for microseconds meanwhile. [main-thread], while process() is not running.
  void prepare(const ProcessSpec& spec) override;
  void reset() noexcept override;
  void process(AudioBlock block) noexcept override;

  // The longer of the slots' latencies, so that switching slots does not change it. load() changes it; its caller sees
  // the new value at once. [any thread]
  int latency_frames() const noexcept override { return latency_frames_; }

  // The activity of the active slot's model: the first kMaxWatchedLayers layers with memory, see ssm::LayerActivity.
  // Updated about kWatchHz times per second; values are not synchronised with each other. Returns the number of layers,
  // at most out.size(). [any thread]
  static constexpr size_t kMaxWatchedLayers = 64;
  static constexpr int kWatchHz = 30;
  size_t observe(std::span<ssm::LayerActivity> out) const noexcept;

  // Counted since prepare(). [any thread]
  uint64_t input_faults() const noexcept { return input_faults_; }   // samples that counted as 0
  uint64_t restarts() const noexcept override { return restarts_; }  // of models, see ssm::Stream
  uint64_t model_frames() const noexcept {
    return model_frames_;
  }  // frames that models have run; does not change while they sleep

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

  mutable std::mutex mutex_;  // never taken by the audio thread; held for microseconds; guards the six members below
  ProcessSpec spec_;
  uint64_t specs_ = 0;  // how often prepare() has changed it
  RateMode rate_mode_ = RateMode::model_default;
  std::array<Loaded, kSlots> loaded_;
  std::function<Chain()> tail_;
  uint64_t changes_ = 0;  // changes of the three above
  // Odd while commit() writes the slot's controls and posts the model that they belong to, so that the previous model
  // does not get them.
  std::array<std::atomic<uint32_t>, kSlots> load_version_{};
  std::atomic<int> latency_frames_{0};
  std::atomic<size_t> watched_layers_{0};
  std::array<WatchedLayer, kMaxWatchedLayers> watched_;
  std::atomic<uint64_t> input_faults_{0}, restarts_{0}, model_frames_{0};

  // Used only by the audio thread.
  std::array<ModelSlot, kSlots> slots_;
  ChainSlot tail_slot_;
  Equaliser equaliser_;
  EqualiserSettings equaliser_settings_;  // the latest values
  std::array<ssm::LayerActivity, kMaxWatchedLayers> activity_{};
  int frames_to_watch_ = 0;
  bool fresh_ = true;  // no sound was processed yet: settings take effect at once
  SlotSettings slot_settings_;
  ChannelMode channel_mode_ = ChannelMode::each;
  int max_piece_frames_ = 1;
  Ramp input_gain_, output_gain_, dryness_, bypass_, mute_, active_;  // active_: the number of the slot that is heard
  Ramp from_left_, from_right_;  // the share of each channel in the input of a one-channel model
  NoiseGate gate_;
  std::vector<DelayLine> dry_delays_;
  AudioBuffer dry_, input_, first_, key_, other_slot_;
};

}  // namespace coil::dsp
