// The plugin's signal chain: gain, a list of stages, mix, gain, bypass. Models and stages change without a click.
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
#include <vector>

#include "dsp/audio_buffer.h"
#include "dsp/chain.h"
#include "dsp/delay_line.h"
#include "dsp/dual_model_stage.h"
#include "dsp/processor.h"
#include "dsp/rack_settings.h"
#include "dsp/ramp.h"

namespace coil::dsp {

// A stage's number in the rack: 0 to kFurtherStages - 1 for a further stage, whose power and mix are
// RackSettings::further of this number, or one of the three that every rack has.
inline constexpr int kModelsStage = -1, kTailStage = -2, kEqualiserStage = -3;

// One stage of a rack's list.
struct RackStage {
  int number = kModelsStage;
  // Of a further stage. `make` makes the processor anew for each spec.
  std::string name;
  std::function<std::unique_ptr<AudioProcessor>()> make;
  uint64_t version = 0;  // a stage with another version is made anew
};

// The order of processing, for every frame:
//   input gain, meter -> the list of stages -> mix with dry -> output gain -> bypass -> mute -> meter
// The list begins as models -> tail -> equaliser; set_stages() changes it. Dry and bypass are the same signal: the
// input before its gain, delayed by the rack's latency. What is bypassed or dry keeps running, so that its memory is up
// to date when it is heard again; this costs the same as hearing it. Input samples that are not finite or are louder
// than kLoudest count as 0. The output is always finite.
class Rack final : public AudioProcessor {
 public:
  Rack();
  ~Rack() override;

  RackSettings& settings() noexcept { return settings_; }
  RackMeters& meters() noexcept { return meters_; }

  using Prepared = DualModelStage::Prepared;

  // Prepares a model for a slot, without a lock and without changing the rack. Takes as long as the model needs to
  // settle, perhaps seconds. Missing controls get the card's defaults. Throws Error if the model does not support the
  // spec. [any thread but the audio thread]
  Prepared make(std::shared_ptr<const ssm::Model> model, std::span<const float> controls, RateMode mode) const {
    return models_->make(std::move(model), controls, mode);
  }
  // Makes the slots play the prepared models, cross-faded, and sets their controls, within microseconds. A later
  // collect() frees the previous models; `slots` returns what the caller must free. Returns false and changes nothing
  // if prepare() was called since make(), or if the models were made for another rate mode than `mode` (default: the
  // current one). If it is called several times between two blocks, the last call wins. [any thread but the audio
  // thread]
  bool commit(std::array<std::optional<Prepared>, kSlots>& slots, std::optional<RateMode> mode = std::nullopt) {
    return models_->commit(slots, mode);
  }
  // make() and commit() in one call.
  void load(int slot, std::shared_ptr<const ssm::Model> model, std::span<const float> controls = {});
  std::shared_ptr<const ssm::Model> model(int slot) const {
    return models_->model(slot);
  }  // as last loaded [any thread but the audio thread]

  // What to do if a model's rate differs from the host's. Takes effect at the next load() or prepare(); see commit().
  // [any thread but the audio thread]
  void set_rate_mode(RateMode mode) { models_->set_rate_mode(mode); }
  RateMode rate_mode() const { return models_->rate_mode(); }

  // Why the loaded model does not play since the last prepare(), so that the slot passes the sound unchanged. Empty if
  // it plays. [any thread but the audio thread]
  std::string problem(int slot) const { return models_->problem(slot); }

  // Sets what the tail plays. `make` makes a new chain for each spec; it is called now and in prepare(). An empty
  // function: nothing. Throws Error if the chain does not support the spec or has latency; then nothing has changed.
  // [any thread but the audio thread]
  void load_tail(std::function<Chain()> make);

  // Sets the list of stages. Each number occurs at most once, kModelsStage exactly once. New stages are made and
  // prepared, perhaps for seconds, before the list changes within microseconds. Stages that keep their place among the
  // others go on; others begin anew. Throws Error if a stage does not support the spec, or if the stages are more than
  // kMaxFurtherLatencyMs late without the models; then nothing has changed. [any thread but the audio thread]
  static constexpr int kMaxFurtherLatencyMs = 750;
  void set_stages(std::vector<RackStage> stages);
  std::vector<RackStage> stages() const;  // as last set [any thread but the audio thread]
  // As problem(), of the stage with this number.
  std::string stage_problem(int number) const;

  // Frees the objects that the audio thread has given back. [any thread but the audio thread]
  void collect();

  // Supports 1 or 2 channels; throws Error for other specs. Keeps models and stages but restarts them; see problem()
  // and stage_problem(). Other threads wait only for microseconds meanwhile. [main-thread], while process() is not
  // running.
  void prepare(const ProcessSpec& spec) override;
  void reset() noexcept override;
  void process(AudioBlock block) noexcept override;

  // The sum of the stages' latencies. A change is seen at once by the thread that made it. [any thread]
  int latency_frames() const noexcept override { return models_->latency_frames() + further_latency_frames_; }

  // The activity of the active slot's model: the first kMaxWatchedLayers layers with memory, see ssm::LayerActivity.
  // Updated about kWatchHz times per second; values are not synchronised with each other. Returns the number of layers,
  // at most out.size(). [any thread]
  static constexpr size_t kMaxWatchedLayers = DualModelStage::kMaxWatchedLayers;
  size_t observe(std::span<ssm::LayerActivity> out) const noexcept { return models_->observe(out); }

  // Counted since prepare(). [any thread]
  uint64_t input_faults() const noexcept { return input_faults_; }   // samples that counted as 0
  uint64_t restarts() const noexcept override { return restarts_; }  // of models, see ssm::Stream
  // Frames that the models of the slots have run; does not change while they sleep.
  uint64_t model_frames() const noexcept { return models_->model_frames(); }

 private:
  // A stage, and what it is made of.
  struct Entry {
    RackStage recipe;
    std::shared_ptr<ChainStage> stage;  // null: not prepared yet
    std::string problem;
  };
  using Entries = std::vector<Entry>;

  static Chain::Stages stages_of(const Entries& entries);
  static int latency_without_models(const Entries& entries);
  std::shared_ptr<ChainStage> make_stage(const RackStage& recipe, const ProcessSpec& spec);
  void make_missing(Entries& entries, const ProcessSpec& spec);
  void set_entries(std::optional<std::vector<RackStage>> stages, std::optional<RackStage> tail);

  void read_settings() noexcept;
  void process_piece(AudioBlock block) noexcept;

  RackSettings settings_;
  RackMeters meters_;
  std::shared_ptr<ChainStage> models_stage_;
  DualModelStage* const models_;  // in it

  mutable std::mutex mutex_;  // never taken by the audio thread; held for microseconds; guards the six members below
  ProcessSpec spec_;
  uint64_t specs_ = 0;  // how often prepare() has changed it
  Entries entries_;
  uint64_t changes_ = 0;                       // of entries_
  RackStage tail_{kTailStage, "tail", {}, 0};  // the latest, also while it is not in the list
  std::atomic<int> further_latency_frames_{0};
  std::atomic<uint64_t> input_faults_{0}, restarts_{0};

  // Used only by the audio thread, except as Chain says.
  Chain chain_{{}};
  bool fresh_ = true;  // no sound was processed yet: settings take effect at once
  int max_piece_frames_ = 1;
  Ramp input_gain_, output_gain_, dryness_, bypass_, mute_;
  std::vector<DelayLine> dry_delays_;
  AudioBuffer dry_;
};

}  // namespace coil::dsp
