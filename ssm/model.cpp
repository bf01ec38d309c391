// Builds a model from a checkpoint.
#include "ssm/model.h"

#include <vector>

#include "ssm/error.h"
#include "ssm/layers/network.h"

namespace coil::ssm {

std::shared_ptr<const Model> Model::load(const std::filesystem::path& path, Target target) { return load(Checkpoint::open(path), target); }

std::shared_ptr<const Model> Model::load(const Checkpoint& checkpoint, Target target) {
  return std::shared_ptr<const Model>(new Model(checkpoint, target));
}

Model::Model(const Checkpoint& checkpoint, Target target)
    : config_(parse_config(checkpoint.config_json(), checkpoint.source())),
      card_(parse_card(checkpoint.card_json(), config_.control_count, checkpoint.source())), hash_(checkpoint.hash()), source_(checkpoint.source()),
      target_(target), cost_(cost_of(config_)) {
  if (card_.sample_rate_hz > 0 && config_.sample_rate_hz > 0 && card_.sample_rate_hz != config_.sample_rate_hz)
    throw Error(source_ + ": card.sample_rate and config.sample_rate differ");
  if (config_.sample_rate_hz == 0) config_.sample_rate_hz = card_.sample_rate_hz;
  auto layout = std::make_shared<StateLayout>();
  layout->model_hash = hash_;
  network_ = std::make_unique<const Network>(config_, card_, Build{checkpoint, target_.kernels(), target_.weights(), *layout});
  state_layout_ = std::move(layout);
}

Model::~Model() = default;

size_t Model::layers_with_memory() const { return network_->stack().layers_with_memory(); }

State Model::initial_state() const {
  State state(state_layout_);
  std::vector<float> defaults;
  for (const Control& control : card_.controls) defaults.push_back(float(control.default_value));
  set_controls(state, defaults);
  return state;
}

void Model::reset(State& state, const State* rest) const noexcept {
  network_->modulation().reset(state.data(), rest ? rest->data() : nullptr, state_layout_->size);
}

void Model::set_controls(State& state, std::span<const float> values) const noexcept { network_->modulation().set_controls(state.data(), values); }

}  // namespace coil::ssm
