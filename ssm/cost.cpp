// Counts multiply-adds, exponentials and parameters of every part.
#include "ssm/cost.h"

#include <variant>

namespace coil::ssm {

namespace {

Cost& operator+=(Cost& a, const Cost& b) {
  a.macs_per_step += b.macs_per_step, a.exps_per_step += b.exps_per_step, a.parameters += b.parameters;
  return a;
}

Cost cost(const LinearConfig& c) {
  const double macs = double(c.d_in) * c.d_out;
  return {macs, 0, int64_t(macs) + (c.bias ? c.d_out : 0)};
}

Cost cost(const RmsNormConfig& c) { return {2.0 * c.width, 0, c.affine ? c.width : 0}; }

Cost cost(const ActivationConfig& c) { return {0, double(c.width_out), 0}; }

// Where FiLM moves, what is subtracted is made anew each frame.
Cost cost(const RestTanhConfig& c, bool stands = true) {
  const bool moves = c.film && !stands;
  return {moves ? double(c.width) : 0, double(c.width) * (moves ? 2 : 1), 0};
}

Cost cost(const FilmConfig& c) { return {double(c.width), 0, 0}; }

// A complex mode: state 4, output 2; a real one: 1 and 1.
Cost cost(const S4dConfig& c) {
  const double modes = double(c.channels) * c.modes;
  return {modes * (c.complex ? 6 : 2) + c.channels, 0, int64_t(modes) * (c.complex ? 4 : 2) + 2 * c.channels};
}

// A scan state element: dt A, decay and input of h, output: 4; a channel: dt u, D u, gate: 3.
Cost cost(const Mamba1Config& c) {
  const double inner = c.d_inner, states = inner * c.d_state;
  Cost sum{c.d_conv * inner + 4 * states + 3 * inner, states + 3 * inner,
           int64_t(states) + int64_t(c.d_inner) * (2 + c.d_conv + (c.conv_bias && c.d_conv ? 1 : 0))};  // A_log; D, dt bias, convolution
  sum += cost(LinearConfig{"", c.d_model, 2 * c.d_inner, c.bias});
  sum += cost(LinearConfig{"", c.d_inner, c.dt_rank + 2 * c.d_state, c.x_proj_bias});
  sum += cost(LinearConfig{"", c.dt_rank, c.d_inner, false});
  sum += cost(LinearConfig{"", c.d_inner, c.d_model, c.bias});
  return sum;
}

// A scan state element: decay and input of h, output: 3.
Cost cost(const Mamba2Config& c) {
  const double inner = c.d_inner(), states = inner * c.d_state, conv = c.conv_channels();
  Cost sum{c.d_conv * conv + 3 * states + 3 * inner + 2 * inner + c.heads, 2.0 * c.heads + conv + inner,
           int64_t(c.conv_channels()) * (c.d_conv + (c.conv_bias && c.d_conv ? 1 : 0)) + 3 * c.heads + c.d_inner()};
  sum += cost(LinearConfig{"", c.d_model, 2 * c.d_inner() + 2 * c.ngroups * c.d_state + c.heads, c.bias});
  sum += cost(LinearConfig{"", c.d_inner(), c.d_model, c.bias});
  return sum;
}

// The gate's sigmoid and the hidden tanh; a unit moves by one multiply-add.
Cost cost(const GatedConfig& c) {
  Cost sum{double(c.d_units), double(c.d_hidden) + c.d_units, 0};
  for (const LinearConfig& linear : {c.recurrent(), c.gate(), c.value()}) sum += cost(linear);
  return sum;
}

// A film part behind a linear part is folded into it while the FiLM vector stands still.
Cost cost(const std::vector<LayerConfig>& layers, bool film_stands) {
  Cost sum;
  for (const LayerConfig& layer : layers)
    for (size_t i = 0; i < layer.parts.size(); ++i) {
      const bool folded = film_stands && i > 0 && std::holds_alternative<FilmConfig>(layer.parts[i]) &&
                          std::holds_alternative<LinearConfig>(layer.parts[i - 1]);
      if (folded) continue;
      if (const auto* rest = std::get_if<RestTanhConfig>(&layer.parts[i])) sum += cost(*rest, film_stands);
      else sum += std::visit([](const auto& config) { return cost(config); }, layer.parts[i]);
    }
  return sum;
}

}  // namespace

Cost cost_of(const ModelConfig& config) {
  Cost sum = cost(config.layers, !config.slow_path);
  if (config.embedding) sum.parameters += int64_t(config.embedding->vocab) * config.d_model;
  if (config.in_proj) sum += cost(*config.in_proj);
  if (config.norm_f) sum += cost(*config.norm_f);
  if (config.out_proj) {
    Cost head = cost(*config.out_proj);
    if (config.embedding && config.embedding->name == config.out_proj->name) head.parameters = 0;  // tied
    sum += head;
  }
  if (config.direct) sum += cost(*config.direct);
  if (config.output_film && config.slow_path) sum.macs_per_step += 2.0 * config.out_proj->d_in * config.out_proj->d_out;
  if (config.control_net) {
    if (config.control_net->hidden) sum.parameters += cost(*config.control_net->hidden).parameters;
    sum.parameters += cost(config.control_net->film).parameters;
  }
  if (config.slow_path) {
    const SlowPathConfig& slow = *config.slow_path;
    Cost hop = cost(slow.layers, true);
    hop += cost(slow.in_proj);
    hop += cost(slow.out_proj);
    Cost features = cost(slow.features);
    features.macs_per_step += slow.n_features;
    features.exps_per_step += slow.n_features;
    sum += features;
    sum += {hop.macs_per_step / slow.hop_frames, hop.exps_per_step / slow.hop_frames, hop.parameters};
  }
  return sum;
}

}  // namespace coil::ssm
