// The traits of every kind of part, and the plan of a network of such parts.
#include "ssm/model/plan.h"

#include <algorithm>
#include <numbers>
#include <numeric>
#include <stdexcept>
#include <string>
#include <utility>
#include <variant>

#include "ssm/kernels/kernels.h"

namespace coil::ssm {

namespace {

Cost linear_cost(int d_in, int d_out, bool bias) {
  const double macs = double(d_in) * d_out;
  return {macs, 0, int64_t(macs) + (bias ? d_out : 0)};
}

// A part whose cost does not depend on whether the FiLM vector moves.
PartTraits pointwise(const char* kind, const Cost& cost) {
  PartTraits traits;
  traits.kind = kind;
  traits.cost = traits.moving_cost = cost;
  return traits;
}

Cost cost_of(const LinearConfig& c) { return linear_cost(c.d_in, c.d_out, c.bias); }

PartTraits traits(const LinearConfig& c) { return pointwise("linear", cost_of(c)); }

PartTraits traits(const RmsNormConfig& c) {
  if (c.centred) return pointwise("layernorm", {4.0 * c.width, 0, c.affine ? 2 * c.width : 0});
  return pointwise("rmsnorm", {2.0 * c.width, 0, c.affine ? c.width : 0});
}

PartTraits traits(const ActivationConfig& c) {
  constexpr const char* kNames[] = {"tanh", "gelu", "silu", "glu", "gelu_tanh", "relu", "relu2"};
  constexpr const char* kGated[] = {"tanh glu", "geglu", "swiglu", "glu", "geglu_tanh", "reglu", "relu2 glu"};
  return pointwise((c.gated ? kGated : kNames)[int(c.kind)], {0, double(c.width_out), 0});
}

PartTraits traits(const MlpConfig& c) {
  Cost cost = cost_of(c.up) + cost_of(c.down) + Cost{0, double(c.up.d_out), 0};
  if (c.gate) cost += cost_of(*c.gate) + Cost{double(c.up.d_out), 0, 0};
  return pointwise("mlp", cost);
}

// Counts the parameters of all experts, but only the work of the chosen ones.
PartTraits traits(const MoeConfig& c) {
  Cost cost = cost_of(c.router);
  cost.exps_per_step += double(c.experts.size());
  for (size_t e = 0; e < c.experts.size(); ++e) {
    Cost expert = traits(c.experts[e]).cost;
    if (e >= size_t(c.top_k)) expert.macs_per_step = expert.exps_per_step = 0;
    cost += expert;
  }
  if (!c.correction.empty()) cost.parameters += int64_t(c.experts.size());
  for (const auto& latent : {c.latent_in, c.latent_out})
    if (latent) cost += cost_of(*latent);
  if (c.shared) cost += traits(*c.shared).cost;
  return pointwise("moe", cost);
}

PartTraits traits(const TapConfig& c) {
  return pointwise(c.how == TapConfig::How::append ? "append"
                   : c.how == TapConfig::How::add  ? "add"
                                                   : "branch",
                   {double(c.width), 0, 0});
}

// Counts scores and weighted sums over a full window, and one exponential per score.
PartTraits traits(const AttentionConfig& c) {
  const double scores = double(c.heads) * c.window;
  PartTraits traits = pointwise("attention", {2 * scores * c.headdim, scores, 0});
  traits.memory = Memory::window;
  traits.state = {{c.state_name + ".keys", {c.kv_heads, c.window, c.headdim}},
                  {c.state_name + ".values", {c.kv_heads, c.window, c.headdim}},
                  {c.state_name + ".position", {2}, 0, false}};
  if (c.conv_taps > 0) {
    traits.state.push_back({c.state_name + ".conv", {c.conv_channels(), c.conv_taps}});
    traits.cost += Cost{double(c.conv_channels()) * c.conv_taps, 0, int64_t(c.conv_channels()) * (c.conv_taps + 1)};
  }
  traits.steps_obstacle = "its layers hold attention, whose window counts in frames";
  traits.cost += cost_of(c.q) + cost_of(c.k) + cost_of(c.v) + cost_of(c.o);
  const double rotated = double(c.heads + c.kv_heads) * double(c.rope.size());
  traits.cost +=
      Cost{4 * rotated, 2.0 * double(c.rope.size()),
           (c.q_norm.empty() ? 0 : c.headdim) + (c.k_norm.empty() ? 0 : c.headdim) + (c.sinks.empty() ? 0 : c.heads)};
  traits.moving_cost = traits.cost;
  return traits;
}

PartTraits traits(const FilmConfig& c) { return pointwise("film", {double(c.width), 0, 0}); }

// While FiLM moves, the subtracted value is computed for each frame.
PartTraits traits(const RestTanhConfig& c) {
  PartTraits traits = pointwise("tanh at rest 0", {0, double(c.width), 0});
  if (c.film) traits.moving_cost = {double(c.width), 2.0 * c.width, 0};
  return traits;
}

PartTraits recurrence(const char* kind) {
  PartTraits traits = pointwise(kind, {});
  traits.memory = Memory::recurrence;
  return traits;
}

// Multiply-adds of a complex mode: state 4, output 2; of a real one: 1 and 1.
PartTraits traits(const S4dConfig& c) {
  PartTraits traits = recurrence("s4d");
  std::vector<int64_t> shape{c.channels, c.modes};
  if (c.complex) shape.push_back(2);
  traits.state = {{c.state_name + ".ssm", std::move(shape)}};
  const double modes = double(c.channels) * c.modes;
  traits.cost = {modes * (c.complex ? 6 : 2) + c.channels, 0, int64_t(modes) * (c.complex ? 4 : 2) + 2 * c.channels};
  traits.moving_cost = traits.cost;
  return traits;
}

constexpr const char* kCountsInFrames =
    "its layers hold a Mamba part, whose convolution and learned steps count in frames";

// The common part of Mamba-1 and Mamba-2: a convolution before a scan.
PartTraits mamba(const char* kind, const std::string& state_name, int conv_channels, int d_conv,
                 std::vector<int64_t> scan_shape) {
  PartTraits traits = recurrence(kind);
  traits.history_frames = d_conv;
  if (d_conv > 0) traits.state.push_back({state_name + ".conv", {conv_channels, d_conv}});
  traits.state.push_back({state_name + ".ssm", std::move(scan_shape)});
  traits.folds_norm = true;
  traits.steps_obstacle = kCountsInFrames;
  return traits;
}

// Multiply-adds per element of the scan state: 4 (dt A, decay and input of h, output). Per channel: 3 (dt u, D u,
// gate).
PartTraits traits(const Mamba1Config& c) {
  PartTraits traits = mamba("mamba1", c.state_name, c.d_inner, c.d_conv, {c.d_inner, c.d_state});
  const double inner = c.d_inner, states = inner * c.d_state;
  traits.cost = {
      c.d_conv * inner + 4 * states + 3 * inner, states + 3 * inner,
      int64_t(states) +
          int64_t(c.d_inner) * (2 + c.d_conv + (c.conv_bias && c.d_conv ? 1 : 0))};  // A_log; D, dt bias, convolution
  if (c.norm_weights) traits.cost.parameters += c.dt_rank + 2 * c.d_state;
  traits.cost += linear_cost(c.d_model, 2 * c.d_inner, c.bias) +
                 linear_cost(c.d_inner, c.dt_rank + 2 * c.d_state, c.x_proj_bias) +
                 linear_cost(c.dt_rank, c.d_inner, false) + linear_cost(c.d_inner, c.d_model, c.bias);
  traits.moving_cost = traits.cost;
  return traits;
}

// Multiply-adds per element of the scan state: 3 (decay and input of h, output).
PartTraits traits(const Mamba2Config& c) {
  PartTraits traits = mamba("mamba2", c.state_name, c.conv_channels(), c.d_conv, {c.heads, c.headdim, c.d_state});
  const double inner = c.d_inner(), states = inner * c.d_state, conv = c.conv_channels();
  traits.cost = {c.d_conv * conv + 3 * states + 3 * inner + 2 * inner + c.heads, 2.0 * c.heads + conv + inner,
                 int64_t(c.conv_channels()) * (c.d_conv + (c.conv_bias && c.d_conv ? 1 : 0)) + 3 * c.heads +
                     (c.gated_norm == GatedNorm::gate_alone ? 0 : c.d_inner())};
  traits.cost += cost_of(c.in_proj()) + cost_of(c.out_proj());
  traits.moving_cost = traits.cost;
  return traits;
}

// Multiply-adds per element of the scan state: one for the decay, two inputs and one output per rank. Per pair of
// states: the rotation of B and C.
PartTraits traits(const Mamba3Config& c) {
  PartTraits traits = recurrence("mamba3");
  const std::string& s = c.state_name;
  traits.state = {{s + ".ssm", {c.heads, c.headdim, c.d_state}},
                  {s + ".k", {c.rank, c.heads, c.d_state}},
                  {s + ".v", {c.heads, c.headdim}},
                  {s + ".angle", {c.heads, c.angles}, 2 * std::numbers::pi},
                  {s + ".angle_rest", {c.heads, c.angles}, 0, false}};
  traits.folds_norm = true;
  traits.steps_obstacle = kCountsInFrames;
  const double inner = c.d_inner(), states = inner * c.d_state, rank = c.rank, angles = double(c.heads) * c.angles;
  traits.cost = {(1 + 3 * rank) * states + 8 * rank * angles + (c.mimo ? 5 : 2) * rank * inner + 4.0 * c.bc_width(),
                 5.0 * c.heads + c.angles + 2 * angles + rank * inner,
                 2 * int64_t(c.d_state) + 2 * int64_t(c.heads) * c.rank * c.d_state + 2 * c.heads +
                     (c.mimo ? 3 * int64_t(c.rank) * c.d_inner() : 0) + (c.outproj_norm ? c.d_inner() : 0)};
  traits.cost += linear_cost(c.d_model, c.d_in_proj(), false) + linear_cost(c.d_inner(), c.d_model, false);
  traits.moving_cost = traits.cost;
  return traits;
}

// Counts the hidden tanh, the gate's sigmoid, and one multiply-add per unit.
PartTraits traits(const GatedConfig& c) {
  PartTraits traits = pointwise("gated", {double(c.d_units), double(c.d_hidden) + c.d_units, 0});
  traits.memory = Memory::sequence;
  traits.state = {{c.state_name + ".gated", {c.d_units}}};
  traits.cost += cost_of(c.recurrent()) + cost_of(c.gate()) + cost_of(c.value());
  traits.moving_cost = traits.cost;
  return traits;
}

// Appends the config's indices from `first` on, padded.
void append_film(std::vector<int>& rows, int width, int first) {
  const size_t begin = rows.size();
  rows.resize(begin + padded(size_t(width)), -1);
  std::iota(rows.begin() + std::ptrdiff_t(begin), rows.begin() + std::ptrdiff_t(begin) + width, first);
}

PlannedLayer plan_layer(const LayerConfig& config, std::vector<int>& film_rows) {
  PlannedLayer layer{config.residual, {}};
  std::optional<RmsNormConfig> norm;
  std::optional<size_t> film_at;
  for (size_t i = 0; i < config.parts.size(); ++i) {
    const PartConfig& part = config.parts[i];
    PartTraits own = traits_of(part);
    const bool next_folds_norm = i + 1 < config.parts.size() && traits_of(config.parts[i + 1]).folds_norm;
    if (const auto* found = std::get_if<RmsNormConfig>(&part); found && !found->centred && next_folds_norm) {
      norm = *found;
      continue;
    }
    PlannedPart planned{part, std::move(own), std::exchange(norm, std::nullopt), std::nullopt, false};
    if (const auto* film = std::get_if<FilmConfig>(&part)) {
      planned.film_at = film_at = film_rows.size();
      append_film(film_rows, film->width, film->offset);
      append_film(film_rows, film->width, film->offset + film->width);
      if (!layer.parts.empty() && std::holds_alternative<LinearConfig>(layer.parts.back().config))
        layer.parts.back().film_folds = true;
    } else if (const auto* rest = std::get_if<RestTanhConfig>(&part); rest && rest->film) {
      planned.film_at = film_at;
    }
    layer.parts.push_back(std::move(planned));
  }
  return layer;
}

// A folded film part costs nothing while the FiLM vector is constant.
Cost cost_of(const std::vector<PlannedLayer>& layers, bool film_stands) {
  Cost sum;
  for (const PlannedLayer& layer : layers) {
    bool folded = false;
    for (const PlannedPart& part : layer.parts) {
      if (part.norm) sum += traits(*part.norm).cost;
      if (!film_stands)
        sum += part.traits.moving_cost;
      else if (!folded)
        sum += part.traits.cost;
      folded = part.film_folds;
    }
  }
  return sum;
}

Cost slow_cost(const SlowPathConfig& slow, const std::vector<PlannedLayer>& layers) {
  const Cost hop = cost_of(layers, true) + cost_of(slow.in_proj) + cost_of(slow.out_proj);
  const Cost features = cost_of(slow.features) + Cost{double(slow.n_features), double(slow.n_features), 0};
  return features + Cost{hop.macs_per_step / slow.hop_frames, hop.exps_per_step / slow.hop_frames, hop.parameters};
}

Cost cost_of(const ModelConfig& config, const Plan& plan) {
  Cost sum = cost_of(plan.layers, !config.slow_path);
  if (config.embedding) sum.parameters += int64_t(config.embedding->vocab) * config.d_model;
  if (config.in_proj) sum += cost_of(*config.in_proj);
  if (config.norm_f) sum += traits(*config.norm_f).cost;
  if (config.out_proj) {
    Cost head = cost_of(*config.out_proj);
    if (config.embedding && config.embedding->name == config.out_proj->name) head.parameters = 0;  // tied
    sum += head;
  }
  if (config.direct) sum += cost_of(*config.direct);
  if (config.output_film && config.slow_path) sum.macs_per_step += 2.0 * config.out_proj->d_in * config.out_proj->d_out;
  if (config.control_net) {
    if (config.control_net->hidden) sum.parameters += cost_of(*config.control_net->hidden).parameters;
    sum.parameters += cost_of(config.control_net->film).parameters;
  }
  if (config.slow_path) sum += slow_cost(*config.slow_path, plan.slow_layers);
  return sum;
}

}  // namespace

const StateRegion& PartTraits::region(std::string_view name) const {
  const auto found =
      std::ranges::find_if(state, [&](const StateRegion& r) { return r.name.ends_with("." + std::string(name)); });
  if (found == state.end()) throw std::logic_error(std::string(kind) + " has no state '" + std::string(name) + "'");
  return *found;
}

PartTraits traits_of(const PartConfig& part) {
  return std::visit([](const auto& config) { return traits(config); }, part);
}

Plan plan_of(const ModelConfig& config) {
  Plan plan;
  for (const LayerConfig& layer : config.layers) plan.layers.push_back(plan_layer(layer, plan.film_rows));
  std::vector<int> no_film;
  if (config.slow_path)
    for (const LayerConfig& layer : config.slow_path->layers) plan.slow_layers.push_back(plan_layer(layer, no_film));
  for (const PlannedLayer& layer : plan.layers)
    for (const PlannedPart& part : layer.parts)
      plan.history_frames = std::max(plan.history_frames, part.traits.history_frames);
  if (config.output_film) {
    plan.output_film_at = plan.film_rows.size();
    const int width = config.out_proj->d_in;
    for (int row = 0; row < config.d_output; ++row)
      append_film(plan.film_rows, width, *config.output_film + row * width);
  }
  plan.cost = cost_of(config, plan);
  return plan;
}

}  // namespace coil::ssm
