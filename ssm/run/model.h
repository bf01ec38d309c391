// A trained model, ready to run: immutable, shared between threads and streams.
#pragma once

#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "ssm/model/card.h"
#include "ssm/model/checkpoint.h"
#include "ssm/model/config.h"
#include "ssm/model/plan.h"
#include "ssm/run/settled_states.h"
#include "ssm/model/state.h"
#include "ssm/machine/target.h"

namespace coil::ssm {

class Network;

class Model : public std::enable_shared_from_this<Model> {
 public:
  // Reads, checks and packs the weights for `target`. Throws Error naming file, tensor, expected and found shape.
  // [main-thread]
  static std::shared_ptr<const Model> load(const std::filesystem::path& path, Target target = Target::best());
  static std::shared_ptr<const Model> load(const Checkpoint& checkpoint, Target target = Target::best());
  ~Model();

  // This model for signals of another rate, its steps rescaled (ssm/MODEL_FILE.md): config, card and state layout are
  // in frames of that rate, the hash stays. All who ask for a rate share one copy as long as one of them holds it; the
  // rate it was made for gives the model as loaded. Throws Error that says why the layers, or this rate, do not allow
  // it. [any thread but the audio thread]
  std::shared_ptr<const Model> at_rate(double sample_rate_hz) const;

  const ModelConfig& config() const { return config_; }
  const Card& card() const { return card_; }
  const std::string& hash() const { return hash_; }
  const std::string& source() const { return source_; }
  // What its file says that has no effect: one sentence each, for whoever loaded it to pass on.
  const std::vector<std::string>& warnings() const { return warnings_; }
  Target target() const { return target_; }
  const Plan& plan() const { return plan_; }
  const Cost& cost() const { return plan_.cost; }
  const std::shared_ptr<const StateLayout>& state_layout() const { return state_layout_; }
  size_t layers_with_memory() const;
  const Network& network() const { return *network_; }
  SettledStates& rests() const { return rests_; }

  // The zero state, controls at the card's defaults. [main-thread]
  State initial_state() const;
  // Forgets the signal, keeps the controls: back to `rest`, a state of this model, or without one to the zero state.
  // [audio-thread]
  void reset(State& state, const State* rest = nullptr) const noexcept;
  // One value per control of the card, in its order and units, clamped to its range. The film vector and the output
  // gain move to their new values within config().control_ramp_frames, at once when nothing was heard since the reset.
  // [audio-thread]
  void set_controls(State& state, std::span<const float> values) const noexcept;

 private:
  struct Rates;

  Model(const Checkpoint& checkpoint, Target target, double sample_rate_hz);

  ModelConfig config_;
  Card card_;
  std::string hash_, source_;
  std::vector<std::string> warnings_;
  Target target_;
  Plan plan_;
  std::shared_ptr<const StateLayout> state_layout_;
  std::unique_ptr<const Network> network_;
  std::shared_ptr<Rates> rates_;  // null: the steps cannot be rescaled
  mutable SettledStates rests_;
};

}  // namespace coil::ssm
