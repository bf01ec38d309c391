// Builds a model from a checkpoint.
#include "ssm/run/model.h"

#include <map>
#include <mutex>
#include <utility>
#include <vector>

#include "ssm/model/description.h"
#include "ssm/layers/network.h"

namespace coil::ssm {

std::shared_ptr<const Model> Model::load(const std::filesystem::path& path, Target target) {
  return load(Checkpoint::open(path), target);
}

// One model at all its rates. A rescaled model that nobody holds is rebuilt when requested again.
struct Model::Rates {
  Checkpoint checkpoint;
  std::mutex mutex;
  std::map<double, std::weak_ptr<const Model>> made;
};

std::shared_ptr<const Model> Model::load(const Checkpoint& checkpoint, Target target) {
  const std::shared_ptr<Model> model(new Model(checkpoint, target, 0));
  if (const double own_hz = model->config_.sample_rate_hz; own_hz > 0 && steps_obstacle(model->config_).empty()) {
    model->rates_ = std::make_shared<Rates>();
    model->rates_->checkpoint = checkpoint.in_memory();
    model->rates_->made[own_hz] = model;
  }
  return model;
}

std::shared_ptr<const Model> Model::at_rate(double sample_rate_hz) const {
  if (sample_rate_hz == config_.sample_rate_hz) return shared_from_this();
  // throws with the reason
  if (!rates_ || !(sample_rate_hz >= 1)) with_rescaled_steps(config_, sample_rate_hz, source_);
  const std::lock_guard lock(rates_->mutex);
  std::weak_ptr<const Model>& made = rates_->made[sample_rate_hz];
  if (std::shared_ptr<const Model> model = made.lock()) return model;
  const std::shared_ptr<Model> model(new Model(rates_->checkpoint, target_, sample_rate_hz));
  model->rates_ = rates_;
  made = model;
  return model;
}

Model::Model(const Checkpoint& checkpoint, Target target, double sample_rate_hz)
    : hash_(checkpoint.hash()), source_(checkpoint.source()), target_(target) {
  const Checkpoint counted = checkpoint.counting_reads();
  const Description description = describe(counted, sample_rate_hz);
  config_ = description.config;
  card_ = description.card;
  plan_ = plan_of(config_);
  auto layout = std::make_shared<StateLayout>();
  layout->model_hash = hash_;
  layout->sample_rate_hz = config_.sample_rate_hz;
  network_ = std::make_unique<const Network>(config_, plan_, card_,
                                             Build{counted, target_.kernels(), target_.weights(), *layout});
  warnings_ = load_warnings(description, counted);
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

void Model::set_controls(State& state, std::span<const float> values) const noexcept {
  network_->modulation().set_controls(state.data(), values);
}

}  // namespace coil::ssm
