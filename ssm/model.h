// A trained model, ready to run: immutable, shared between threads and streams.
#pragma once

#include <filesystem>
#include <memory>
#include <span>
#include <string>

#include "ssm/card.h"
#include "ssm/checkpoint.h"
#include "ssm/config.h"
#include "ssm/cost.h"
#include "ssm/state.h"
#include "ssm/target.h"

namespace coil::ssm {

class Network;

inline constexpr int kControlRampFrames = 1024;

class Model {
 public:
  // Reads, checks and packs the weights for `target`. Throws Error naming file, tensor, expected and found shape. [main-thread]
  static std::shared_ptr<const Model> load(const std::filesystem::path& path, Target target = Target::best());
  static std::shared_ptr<const Model> load(const Checkpoint& checkpoint, Target target = Target::best());
  ~Model();

  const ModelConfig& config() const { return config_; }
  const Card& card() const { return card_; }
  const std::string& hash() const { return hash_; }
  const std::string& source() const { return source_; }
  Target target() const { return target_; }
  const Cost& cost() const { return cost_; }
  const std::shared_ptr<const StateLayout>& state_layout() const { return state_layout_; }
  size_t layers_with_memory() const;
  const Network& network() const { return *network_; }

  // The zero state, controls at the card's defaults. [main-thread]
  State initial_state() const;
  // Forgets the signal, keeps the controls: back to `rest`, a state of this model, or without one to the zero state. [audio-thread]
  void reset(State& state, const State* rest = nullptr) const noexcept;
  // One value per control of the card, in its order and units, clamped to its range. The film vector and the output gain move to
  // their new values within kControlRampFrames, at once when nothing was heard since the reset. [audio-thread]
  void set_controls(State& state, std::span<const float> values) const noexcept;

 private:
  Model(const Checkpoint& checkpoint, Target target);

  ModelConfig config_;
  Card card_;
  std::string hash_, source_;
  Target target_;
  Cost cost_;
  std::shared_ptr<const StateLayout> state_layout_;
  std::unique_ptr<const Network> network_;
};

}  // namespace coil::ssm
