// Controls, slow path, and the piecewise linear FiLM vector.
#include "ssm/layers/modulation.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "ssm/layers/layer_stack.h"

namespace coil::ssm {

// Computes features of the signal, averages them over a hop, and maps them to a FiLM vector by a small network
// (ssm/MODEL_FILE.md).
struct Modulation::SlowPath {
  size_t hop_frames;
  size_t n_features, features_width, control_count, d_film;
  PackedLinear features, in_proj, out_proj;
  LayerStack stack;
  size_t sums, from, to, controls;  // offsets in the arena; controls: 2 k - 1
  const Kernels& kernels;

  SlowPath(const ModelConfig& config, const SlowPathConfig& slow, const Build& build, const std::vector<int>& film_rows,
           const std::vector<PlannedLayer>& layers)
      : hop_frames(size_t(slow.hop_frames)),
        n_features(size_t(slow.n_features)),
        features_width(padded(n_features)),
        control_count(slow.controls ? size_t(config.control_count) : 0),
        d_film(film_rows.size()),
        features(load_linear(slow.features, build)),
        in_proj(load_in_proj(slow, build)),
        out_proj(load_linear(slow.out_proj, build, film_rows, iota(slow.out_proj.d_in))),
        stack(layers, slow.in_proj.d_out, build),
        kernels(build.kernels) {
    StateLayout& layout = build.layout;
    std::vector<uint32_t> sums_position, film_position(size_t(config.film_size)), control_position;
    for (size_t half = 0; half < 2; ++half)
      for (size_t i = 0; i < n_features; ++i) sums_position.push_back(uint32_t(half * features_width + i));
    for (size_t i = 0; i < film_rows.size(); ++i)
      if (film_rows[i] >= 0) film_position[size_t(film_rows[i])] = uint32_t(i);
    for (size_t i = 0; i < control_count; ++i) control_position.push_back(uint32_t(i));
    sums = layout.add({"state.slow.features", {2, int64_t(n_features)}}, 2 * features_width, sums_position);
    from = layout.add({"state.slow.from", {config.film_size}}, d_film, film_position);
    to = layout.add({"state.slow.to", {config.film_size}}, d_film, film_position);
    controls = layout.add({"state.slow.controls", {int64_t(control_count)}}, control_count, control_position);
  }

  // An input row is [means of f, padded | means of f^2, padded | controls].
  static PackedLinear load_in_proj(const SlowPathConfig& slow, const Build& build) {
    std::vector<int> columns;
    append(columns, iota(slow.n_features), padded(size_t(slow.n_features)));
    append(columns, iota(slow.n_features, slow.n_features), padded(size_t(slow.n_features)));
    append(columns, iota(slow.in_proj.d_in - 2 * slow.n_features, 2 * slow.n_features));
    return load_linear(slow.in_proj, build, iota(slow.in_proj.d_out), columns);
  }

  size_t input_floats() const { return padded(in_proj.d_in); }
  size_t scratch_floats() const {
    return std::max(kMaxFrames * features_width, input_floats() + 3 * stack.widest() + padded(stack.scratch_floats(1)));
  }

  void hear(float* arena, const float* input_rows, size_t stride, size_t frames, float* scratch) const noexcept {
    kernels.linear(features, nullptr, input_rows, stride, scratch, features_width, frames, false);
    kernels.envelopes(scratch, features_width, arena + sums, features_width, frames);
  }

  void finish_hop(float* arena, float* scratch) const noexcept {
    float* input = scratch;
    for (size_t i = 0; i < 2 * features_width; ++i) input[i] = arena[sums + i] / float(hop_frames);
    std::copy_n(arena + controls, control_count, input + 2 * features_width);
    std::fill(input + 2 * features_width + control_count, input + input_floats(), 0.0f);
    float* rows = scratch + input_floats();
    const size_t width = stack.widest();
    Run run;
    const LayerBuffers buffers{{rows, rows + width, rows + 2 * width}, rows + 3 * width, &run, {}, nullptr, {}};
    kernels.linear(in_proj, nullptr, input, input_floats(), buffers.rows[0], in_proj.d_out, 1, false);
    const StreamRows stream{arena, 1};
    const float* h = stack.run(1, {&stream, 1}, {}, buffers);
    std::copy_n(arena + to, d_film, arena + from);
    kernels.linear(out_proj, nullptr, h, width, arena + to, d_film, 1, false);
    std::fill_n(arena + sums, 2 * features_width, 0.0f);
  }
};

Modulation::Modulation(const ModelConfig& config, const Plan& plan, const Card& card, const Build& build)
    : controls_(card.controls), ramp_frames_(float(config.control_ramp_frames)), film_floats_(plan.film_rows.size()) {
  const std::vector<int>& film_rows = plan.film_rows;
  const Checkpoint& checkpoint = build.checkpoint;
  StateLayout& layout = build.layout;
  has_gain_ = std::any_of(controls_.begin(), controls_.end(),
                          [](const Control& c) { return c.to == Control::To::output_gain_db; });
  if (film_floats_ == 0 && !has_gain_) return;
  vector_floats_ = film_floats_ + kPad;
  network_controls_ = size_t(config.control_count);
  input_stride_ = padded(size_t(config.d_input));

  if (config.control_net) {
    const LinearConfig& film = config.control_net->film;
    if (const auto& hidden = config.control_net->hidden) {
      hidden_ = size_t(hidden->d_out);
      hidden_weight_ = checkpoint.floats(hidden->name + ".weight", {hidden->d_out, hidden->d_in});
      hidden_bias_ = checkpoint.floats(hidden->name + ".bias", {hidden->d_out});
    }
    const auto weight = checkpoint.floats(film.name + ".weight", {film.d_out, film.d_in});
    const auto bias = checkpoint.floats(film.name + ".bias", {film.d_out});
    for (const int row : film_rows) film_bias_.push_back(row < 0 ? 0.0f : bias[size_t(row)]);
    for (size_t j = 0; j < size_t(film.d_in); ++j)
      for (const int row : film_rows)
        film_weight_.push_back(row < 0 ? 0.0f : weight[size_t(row) * size_t(film.d_in) + j]);
  }

  std::vector<uint32_t> position(size_t(config.film_size) + 1);
  for (size_t i = 0; i < film_rows.size(); ++i)
    if (film_rows[i] >= 0) position[size_t(film_rows[i])] = uint32_t(i);
  position.back() = uint32_t(film_floats_);
  const std::vector<int64_t> shape{config.film_size + 1};
  base_ = layout.add({"state.film.base", shape}, vector_floats_, position);
  slope_ = layout.add({"state.film.slope", shape}, vector_floats_, position);
  now_ = layout.add({"state.film.controls", shape}, vector_floats_, position);
  target_ = layout.add({"state.film.controls_target", shape}, vector_floats_, position);
  counters_ = layout.add({"state.film.counters", {4}}, 4, {0, 1, 2, 3});
  if (config.slow_path)
    slow_ = std::make_unique<SlowPath>(config, *config.slow_path, build, film_rows, plan.slow_layers);
  hop_frames_ = slow_ ? slow_->hop_frames : 0;
}

Modulation::~Modulation() = default;

size_t Modulation::scratch_floats() const { return slow_ ? slow_->scratch_floats() : 0; }

void Modulation::advance_piece(float* arena, const float* input_rows, size_t frames, float* scratch) const noexcept {
  Counters& c = counters(arena);
  const bool piece_ends = current(arena).frames == frames;
  if (slow_) slow_->hear(arena, input_rows, input_stride_, frames, scratch);
  c.in_piece += float(frames);
  if (!piece_ends) return;
  close_piece(arena);
  if (slow_ && c.hop_phase >= float(slow_->hop_frames)) {
    slow_->finish_hop(arena, scratch);
    c.hop_phase = 0;
  }
  begin_piece(arena);
}

// Advances the controls' part to its current value.
void Modulation::close_piece(float* arena) const noexcept {
  Counters& c = counters(arena);
  float *now = arena + now_, *target = arena + target_;
  if (c.ramp > 0) {
    const float done = c.in_piece / c.ramp;
    for (size_t i = 0; i < vector_floats_; ++i)
      now[i] = done == 1.0f ? target[i] : now[i] + (target[i] - now[i]) * done;
    c.ramp -= c.in_piece;
  }
  if (slow_) c.hop_phase += c.in_piece;
  c.in_piece = 0;
}

void Modulation::begin_piece(float* arena) const noexcept {
  const Counters& c = counters(arena);
  float *base = arena + base_, *slope = arena + slope_;
  const float *now = arena + now_, *target = arena + target_;
  for (size_t i = 0; i < vector_floats_; ++i) {
    base[i] = now[i];
    slope[i] = c.ramp > 0 ? (target[i] - now[i]) / c.ramp : 0.0f;
  }
  if (!slow_) return;
  const float *from = arena + slow_->from, *to = arena + slow_->to;
  const float hop = float(slow_->hop_frames);
  for (size_t i = 0; i < film_floats_; ++i) {
    const float step = (to[i] - from[i]) / hop;
    base[i] += from[i] + step * c.hop_phase;
    slope[i] += step;
  }
}

void Modulation::add_feature(float* film, size_t feature, float value) const noexcept {
  const float* weight = film_weight_.data() + feature * film_floats_;
  for (size_t i = 0; i < film_floats_; ++i) film[i] += weight[i] * value;
}

void Modulation::set_controls(float* arena, std::span<const float> values) const noexcept {
  if (vector_floats_ == 0) return;
  Counters& c = counters(arena);
  close_piece(arena);

  std::array<float, kMaxControls> inputs{};  // 2 k - 1 for each of the network's controls
  float gain_db = 0;
  size_t used = 0;
  for (size_t i = 0; i < std::min(values.size(), controls_.size()); ++i) {
    const Control& control = controls_[i];
    const float value = std::clamp(std::isfinite(values[i]) ? values[i] : float(control.default_value),
                                   float(control.min), float(control.max));
    if (control.to == Control::To::output_gain_db)
      gain_db += value;
    else if (used < network_controls_)
      inputs[used++] = float(2 * control.normalised(value) - 1);
  }

  float* target = arena + target_;
  std::fill_n(target, vector_floats_, 0.0f);
  std::copy(film_bias_.begin(), film_bias_.end(), target);
  for (size_t j = 0; j < hidden_; ++j) {
    float sum = hidden_bias_[j];
    for (size_t k = 0; k < network_controls_; ++k) sum += hidden_weight_[j * network_controls_ + k] * inputs[k];
    add_feature(target, j, std::tanh(sum));
  }
  if (hidden_ == 0 && !film_weight_.empty()) {
    size_t feature = 0;
    for (size_t i = 0; i < network_controls_; ++i) add_feature(target, feature++, inputs[i]);
    for (size_t i = 0; i < network_controls_; ++i)
      for (size_t j = i; j < network_controls_; ++j) add_feature(target, feature++, inputs[i] * inputs[j]);
  }
  target[gain_index()] = std::pow(10.0f, gain_db / 20.0f);
  if (slow_) std::copy_n(inputs.begin(), slow_->control_count, arena + slow_->controls);

  float* now = arena + now_;
  const bool moved = !std::equal(now, now + vector_floats_, target);
  c.ramp = moved && c.started > 0 ? ramp_frames_ : 0.0f;
  if (c.ramp == 0) std::copy_n(target, vector_floats_, now);
  begin_piece(arena);
}

void Modulation::reset(float* arena, const float* rest, size_t arena_floats) const noexcept {
  const auto take = [&](size_t begin, size_t end) {
    if (rest)
      std::copy(rest + begin, rest + end, arena + begin);
    else
      std::fill(arena + begin, arena + end, 0.0f);
  };
  if (vector_floats_ == 0) return take(0, arena_floats);
  take(0, target_);
  size_t kept_end = target_ + vector_floats_;
  if (slow_) {
    take(kept_end, slow_->controls);
    kept_end = slow_->controls + slow_->control_count;
  }
  take(kept_end, arena_floats);
  Counters& c = counters(arena);
  c.ramp = c.started = 0;
  std::copy_n(arena + target_, vector_floats_, arena + now_);
  begin_piece(arena);
}

}  // namespace coil::ssm
