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
  // Reads, checks and packs the weights for `target`. Throws Error that names file, tensor, expected and found shape.
  // [main-thread]
  static std::shared_ptr<const Model> load(const std::filesystem::path& path, Target target = Target::best());
  static std::shared_ptr<const Model> load(const Checkpoint& checkpoint, Target target = Target::best());
  ~Model();

  // This model for signals of another rate, with rescaled steps (ssm/MODEL_FILE.md). Config, card and state layout
  // count in frames of that rate; the hash does not change. All callers with the same rate share one copy as long as
  // one of them holds it. The model's own rate returns the loaded model. Throws Error with the reason if the layers or
  // this rate do not allow it. [any thread but the audio thread]
  std::shared_ptr<const Model> at_rate(double sample_rate_hz) const;

  const ModelConfig& config() const { return config_; }
  const Card& card() const { return card_; }
  const std::string& hash() const { return hash_; }
  const std::string& source() const { return source_; }
  // One sentence for each entry of the file that has no effect; the caller should show them.
  const std::vector<std::string>& warnings() const { return warnings_; }
  Target target() const { return target_; }
  const Plan& plan() const { return plan_; }
  const Cost& cost() const { return plan_.cost; }
  const std::shared_ptr<const StateLayout>& state_layout() const { return state_layout_; }
  size_t layers_with_memory() const;
  const Network& network() const { return *network_; }
  SettledStates& rests() const { return rests_; }

  // The zero state, with the controls at the card's defaults. [main-thread]
  State initial_state() const;
  // Clears the signal and keeps the controls: restores `rest`, a state of this model, or by default the zero state.
  // [audio-thread]
  void reset(State& state, const State* rest = nullptr) const noexcept;
  // One value per control of the card, in its order and units, clamped to its range. FiLM vector and output gain reach
  // their new values within config().control_ramp_frames, or at once if no frame was processed since the reset.
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
