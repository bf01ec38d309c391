// Mamba-3 (Lahoti et al. 2026); ssm/verify/reference.cpp has the equations. The angles depend on the state at the start
// of a chunk, so the rotation is part of the recurrence: a chunk is computed from angle 0 and rotated when it is
// joined.
#include <algorithm>
#include <cmath>
#include <numbers>

#include "ssm/layers/make_part.h"
#include "ssm/layers/part.h"

namespace coil::ssm {

namespace {

constexpr float kNormEps = 1e-5f;  // for B, C and the heads; a constant upstream

class Mamba3 final : public RecurrentPart {
 public:
  Mamba3(const Mamba3Config& config, const PartTraits& traits, const FoldedNorm& norm, const Build& build)
      : RecurrentPart(config.d_model, config.d_model),
        kernels_(build.kernels),
        config_(config),
        norm_eps_(norm.weight.empty() ? std::nullopt : std::optional(norm.eps)),
        heads_(size_t(config.heads)),
        rank_(size_t(config.rank)),
        channels_(padded(size_t(config.headdim))),
        bc_width_(padded(size_t(config.d_state))),
        heads_width_(padded(heads_)),
        order_(state_order(config)),
        half_((size_t(config.d_state) + 1) / 2),
        angle_width_(padded(half_)) {
    const auto tensor = [&](const char* suffix, std::vector<int64_t> shape) {
      return build.checkpoint.floats(config.name + suffix, shape);
    };
    load_projections(norm, build);
    const int heads = config.heads, rank = config.rank, states = config.d_state, width = config.headdim;
    D_ = arranged(tensor(".D", {heads}), iota(heads));
    b_norm_ = arranged(tensor(".B_norm.weight", {states}), order_);
    c_norm_ = arranged(tensor(".C_norm.weight", {states}), order_);
    b_bias_ = arranged(tensor(".B_bias", {heads, rank, states}), rows_of(heads * rank, order_, bc_width_));
    c_bias_ = arranged(tensor(".C_bias", {heads, rank, states}), rows_of(heads * rank, order_, bc_width_));
    // the kernel reads past the end
    for (AlignedFloats* bias : {&b_bias_, &c_bias_}) bias->resize(bias->size() + kPad);
    if (config.mimo) {
      const std::vector<int> rows = rows_of(heads * rank, iota(width), channels_);
      mimo_x_ = arranged(tensor(".mimo_x", {heads, rank, width}), rows);
      mimo_z_ = arranged(tensor(".mimo_z", {heads, rank, width}), rows);
      mimo_o_ = arranged(tensor(".mimo_o", {heads, rank, width}), rows);
    }
    if (config.outproj_norm)
      norm_ = arranged(tensor(".norm.weight", {config.d_inner()}), rows_of(heads, iota(width), channels_));
    add_state(traits, build.layout);
  }

  bool can_accumulate() const override { return true; }
  size_t history_floats() const override { return 0; }
  size_t scratch_floats(size_t frames) const override {
    return frames * (stride() + steps().stride() + 2 * mixed_floats() + (rank_ + 1) * inner()) + 2 * kPad +
           padded(frames);
  }
  void read_history(const float*, float*, float*) const noexcept override {}

  void expand(const float* in, size_t frames, Runs, float* scratch) const noexcept override {
    const Rows rows(*this, scratch, frames);
    if (norm_eps_)
      kernels_.rms_scale(*norm_eps_, size_t(config_.d_model), stride_in(), in, stride_in(), rows.scale, frames);
    kernels_.linear(in_proj_, norm_eps_ ? rows.scale : nullptr, in, stride_in(), rows.projected, stride(), frames,
                    false);
    kernels_.mamba3_steps(steps(), in, stride_in(), rows.steps, frames);
    const size_t mixers = rank_ * size_t(config_.ngroups);
    for (size_t i = 0; i < 2 * mixers; ++i) {
      float* row = rows.projected + b_at() + i * bc_width_;
      kernels_.rms_norm(i < mixers ? b_norm_.data() : c_norm_.data(), kNormEps, size_t(config_.d_state), bc_width_, row,
                        stride(), row, stride(), frames);
    }
  }

  void recur(const float*, size_t frames, Runs runs, float* scratch, float* out,
             bool accumulate) const noexcept override {
    const Rows rows(*this, scratch, frames);
    const Mamba3Kernel m = kernel(rows);
    kernels_.mamba3_rotate(m, runs);
    kernels_.mamba3_scan(m, runs);
    const size_t y_stride = rank_ * inner();
    for (size_t i = 0; i < heads_ * rank_ && !norm_.empty(); ++i)
      kernels_.rms_norm(norm_.data() + i / rank_ * channels_, kNormEps, size_t(config_.headdim), channels_,
                        rows.y + i * channels_, y_stride, rows.y + i * channels_, y_stride, frames);
    const float* z = rows.projected + z_at();
    const float* gated = rows.y;
    if (config_.mimo) {
      for (size_t h = 0; h < heads_; ++h)
        kernels_.mimo_gate(rows.y + h * rank_ * channels_, y_stride, z + h * channels_, stride(),
                           mimo_z_.data() + h * rank_ * channels_, mimo_o_.data() + h * rank_ * channels_, rank_,
                           rows.gated + h * channels_, inner(), channels_, frames);
      gated = rows.gated;
    } else {
      kernels_.gate(z, stride(), rows.y, inner(), inner(), frames);
    }
    kernels_.linear(out_proj_, nullptr, gated, inner(), out, stride_out(), frames, accumulate);
  }

  // After the state: for each head, the decay over the whole chunk, and the remaining share of the frame before the
  // chunk.
  void end_state(const float*, size_t frames, float* scratch, float* carry) const noexcept override {
    const Rows rows(*this, scratch, frames);
    const Mamba3Kernel m = kernel(rows);
    std::fill_n(carry, scan_floats_, 0.0f);
    const Run all{frames, nullptr, carry};
    kernels_.mamba3_rotate(m, {&all, 1});
    kernels_.mamba3_end(m, {&all, 1});
    for (size_t h = 0; h < heads_; ++h) {
      double decay = 1;
      for (size_t t = 1; t < frames; ++t) decay *= 1.0 + double(m.decay[t * m.step_stride + h]);
      carry[scan_floats_ + h] = float(decay * (1.0 + double(m.decay[h])));
      carry[scan_floats_ + heads_ + h] = float(decay * double(m.beta[h]));
    }
  }

  void join(const float* carry, float* state) const noexcept override {
    for (size_t h = 0; h < heads_; ++h) {
      join_scan(h, carry, state);
      for (size_t r = 0; r < rank_; ++r) {
        const size_t at = k_at() + (h * rank_ + r) * bc_width_;
        for (size_t i = 0; i < half_; ++i) {
          const Turned k = turned(h, i, carry[at + i], second(carry + at, i), state);
          state[at + i] = k.first;
          if (half_ + i < size_t(config_.d_state)) state[at + half_ + i] = k.second;
        }
      }
    }
    std::copy_n(carry + v_at(), heads_ * channels_, state + v_at());
    for (size_t i = 0; i < heads_ * angle_width_; ++i) {
      const double angle = double(state[angle_at() + i]) + double(state[rest_at() + i]) +
                           double(carry[angle_at() + i]) + double(carry[rest_at() + i]);
      const double wrapped = angle - std::round(angle);
      state[angle_at() + i] = float(wrapped);
      state[rest_at() + i] = float(wrapped - double(state[angle_at() + i]));
    }
  }

  LayerActivity activity(const Run& run, float* scratch) const noexcept override {
    const float* dt = Rows(*this, scratch, run.frames).steps + (run.frames - 1) * steps().stride();
    const size_t states = heads_ * channels_ * size_t(config_.d_state);
    return {sum_of_squares(run.scan_state, states) / float(config_.d_inner() * config_.d_state), mean(dt, heads_)};
  }

 private:
  // The block's intermediate values in scratch. A projected row is x, B, C, z.
  struct Rows {
    float *projected, *steps, *K, *Q, *y, *gated, *scale;
    Rows(const Mamba3& m, float* scratch, size_t frames) {
      projected = scratch;
      steps = projected + frames * m.stride();
      K = steps + frames * m.steps().stride();
      Q = K + frames * m.mixed_floats() + kPad;
      y = Q + frames * m.mixed_floats() + kPad;
      gated = y + frames * m.rank_ * m.inner();
      scale = gated + frames * m.inner();
    }
  };

  struct Turned {
    float first, second;
  };

  // The order of upstream's states here: the first elements of the pairs, then the second ones, both in the order of
  // the angles.
  static std::vector<int> state_order(const Mamba3Config& c) {
    std::vector<int> first, second;
    for (int n = 0; n < c.d_state; ++n) {
      const bool leads = c.mimo ? n < c.d_state / 2 || n >= c.d_state / 2 * 2 : n % 2 == 0;
      (leads ? first : second).push_back(n);
    }
    append(first, second);
    return first;
  }

  // `count` copies of these rows, contiguous in the source and each padded.
  static std::vector<int> rows_of(int count, const std::vector<int>& row, size_t width, int from = 0) {
    std::vector<int> all;
    for (int i = 0; i < count; ++i) {
      std::vector<int> moved = row;
      for (int& value : moved) value += from + i * int(row.size());
      append(all, moved, width);
    }
    return all;
  }

  void load_projections(const FoldedNorm& norm, const Build& build) {
    const int inner = config_.d_inner(), bc = config_.bc_width(), heads = config_.heads, model = config_.d_model;
    const std::vector<int> channel = iota(config_.headdim);
    std::vector<int> rows = rows_of(heads, channel, channels_, inner);
    for (const int from : {2 * inner, 2 * inner + bc})
      append(rows, rows_of(config_.rank * config_.ngroups, order_, bc_width_, from));
    append(rows, rows_of(heads, channel, channels_));
    in_proj_ = load_linear({config_.name + ".in_proj", model, config_.d_in_proj(), false}, build, rows, iota(model),
                           norm.weight);
    load_steps(norm, build);
    out_proj_ = load_linear({config_.name + ".out_proj", inner, model, false}, build, iota(model),
                            rows_of(heads, channel, channels_));
  }

  // Loads the last rows of upstream's projection.
  void load_steps(const FoldedNorm& norm, const Build& build) {
    const size_t model = size_t(config_.d_model), all = size_t(config_.d_in_proj()),
                 first = all - 3 * heads_ - size_t(config_.angles), width = 3 * heads_width_ + angle_width_;
    const auto weight =
        build.checkpoint.doubles(config_.name + ".in_proj.weight", {config_.d_in_proj(), config_.d_model});
    step_weights_.assign(model * width, 0.0);
    for (size_t row = first; row < all; ++row) {
      const size_t i = row - first;
      const size_t to = i < 3 * heads_ ? i / heads_ * heads_width_ + i % heads_ : 3 * heads_width_ + i - 3 * heads_;
      for (size_t k = 0; k < model; ++k)
        step_weights_[k * width + to] = weight[row * model + k] * (norm.weight.empty() ? 1.0 : double(norm.weight[k]));
    }
    dt_bias_.assign(heads_width_, 0.0);
    const auto bias = build.checkpoint.doubles(config_.name + ".dt_bias", {config_.heads});
    std::copy(bias.begin(), bias.end(), dt_bias_.begin());
  }

  void add_state(const PartTraits& traits, StateLayout& layout) {
    const size_t states = size_t(config_.d_state), pairs = size_t(config_.angles);
    std::vector<uint32_t> ssm(heads_ * size_t(config_.headdim) * states), k(rank_ * heads_ * states), v, angle;
    for (size_t h = 0; h < heads_; ++h) {
      for (size_t n = 0; n < states; ++n) {
        const auto theirs = size_t(order_[n]);
        for (size_t p = 0; p < size_t(config_.headdim); ++p)
          ssm[(h * size_t(config_.headdim) + p) * states + theirs] = uint32_t(state_place(h, p, n));
        for (size_t r = 0; r < rank_; ++r)
          k[(r * heads_ + h) * states + theirs] = uint32_t((h * rank_ + r) * bc_width_ + n);
      }
      for (size_t p = 0; p < size_t(config_.headdim); ++p) v.push_back(uint32_t(h * channels_ + p));
      for (size_t i = 0; i < pairs; ++i) angle.push_back(uint32_t(h * angle_width_ + i));
    }
    const std::vector<std::complex<float>> turn(angle.size(), 2 * std::numbers::pi_v<float>);
    scan_offset_ = layout.add(traits.region("ssm"), k_at(), std::move(ssm));
    layout.add(traits.region("k"), v_at() - k_at(), std::move(k));
    layout.add(traits.region("v"), angle_at() - v_at(), std::move(v));
    layout.add(traits.region("angle"), rest_at() - angle_at(), angle, turn);
    layout.add(traits.region("angle_rest"), rest_at() - angle_at(), angle, turn);
    scan_floats_ = rest_at() + rest_at() - angle_at();
  }

  Mamba3Steps steps() const noexcept {
    return {size_t(config_.d_model), heads_width_,    angle_width_,
            step_weights_.data(),    dt_bias_.data(), norm_eps_.has_value(),
            norm_eps_.value_or(0),   config_.a_floor, config_.decay_rate == DecayRate::softplus};
  }

  Mamba3Kernel kernel(const Rows& rows) const noexcept {
    const float *p = rows.projected, *step = rows.steps;
    return {.heads = heads_,
            .channels = channels_,
            .d_state = size_t(config_.d_state),
            .half = half_,
            .rank = rank_,
            .groups = size_t(config_.ngroups),
            .bc_width = bc_width_,
            .angle_width = angle_width_,
            .k_at = k_at(),
            .v_at = v_at(),
            .angle_at = angle_at(),
            .rest_at = rest_at(),
            .stride = stride(),
            .B = p + b_at(),
            .C = p + b_at() + rank_ * size_t(config_.ngroups) * bc_width_,
            .v = p,
            .step_stride = steps().stride(),
            .dt = step,
            .dt_rest = step + 4 * heads_width_,
            .decay = step + heads_width_,
            .beta = step + 2 * heads_width_,
            .gamma = step + 3 * heads_width_,
            .speed = step + 5 * heads_width_,
            .speed_rest = step + 5 * heads_width_ + angle_width_,
            .B_bias = b_bias_.data(),
            .C_bias = c_bias_.data(),
            .mimo_x = config_.mimo ? mimo_x_.data() : nullptr,
            .D = D_.data(),
            .K = rows.K,
            .Q = rows.Q,
            .y = rows.y};
  }

  // The partner of first state i. If the number of states is odd, the last one has no partner.
  float second(const float* states, size_t i) const noexcept {
    return half_ + i < size_t(config_.d_state) ? states[half_ + i] : 0.0f;
  }

  // A pair of the chunk's state, rotated by the angle at the start of the chunk.
  Turned turned(size_t head, size_t i, float a, float b, const float* state) const noexcept {
    const size_t at = head * angle_width_ + i;
    const double angle = 2 * std::numbers::pi * (double(state[angle_at() + at]) + double(state[rest_at() + at]));
    const double c = std::cos(angle), s = std::sin(angle);
    return {float(a * c - b * s), float(a * s + b * c)};
  }

  // state = decay state + left (v k of the frame before) + the chunk's own state, rotated
  void join_scan(size_t head, const float* carry, float* state) const noexcept {
    const float decay = carry[scan_floats_ + head], left = carry[scan_floats_ + heads_ + head];
    const auto add = [&](size_t p, size_t n, float own) {
      float before = 0;
      for (size_t r = 0; r < rank_; ++r) {
        const float up = config_.mimo ? mimo_x_[(head * rank_ + r) * channels_ + p] : 1.0f;
        before += state[k_at() + (head * rank_ + r) * bc_width_ + n] * up;
      }
      float& h = state[state_place(head, p, n)];
      h = decay * h + left * before * state[v_at() + head * channels_ + p] + own;
    };
    for (size_t i = 0; i < half_; ++i) {
      const bool pair = half_ + i < size_t(config_.d_state);
      for (size_t p = 0; p < channels_; ++p) {
        const float a = carry[state_place(head, p, i)], b = pair ? carry[state_place(head, p, half_ + i)] : 0.0f;
        const Turned own = turned(head, i, a, b, state);
        add(p, i, own.first);
        if (pair) add(p, half_ + i, own.second);
      }
    }
  }

  size_t stride() const { return in_proj_.d_out; }
  size_t inner() const { return heads_ * channels_; }
  size_t mixed_floats() const { return heads_ * rank_ * bc_width_; }
  size_t b_at() const { return inner(); }
  size_t z_at() const { return b_at() + 2 * rank_ * size_t(config_.ngroups) * bc_width_; }
  size_t state_place(size_t head, size_t p, size_t n) const {
    return head * channels_ * size_t(config_.d_state) + state_index(p, n, channels_, size_t(config_.d_state));
  }
  // Offsets in a scan state, where StateLayout::add puts them.
  size_t k_at() const { return (inner() * size_t(config_.d_state) + 15) / 16 * 16; }
  size_t v_at() const { return k_at() + (mixed_floats() + 15) / 16 * 16; }
  size_t angle_at() const { return v_at() + (inner() + 15) / 16 * 16; }
  size_t rest_at() const { return angle_at() + (heads_ * angle_width_ + 15) / 16 * 16; }

  const Kernels& kernels_;
  Mamba3Config config_;
  std::optional<float> norm_eps_;
  size_t heads_, rank_, channels_, bc_width_, heads_width_;
  std::vector<int> order_;  // upstream's index of each state
  size_t half_, angle_width_;
  PackedLinear in_proj_, out_proj_;
  AlignedVector<double> step_weights_, dt_bias_;
  AlignedFloats D_, b_norm_, c_norm_, b_bias_, c_bias_, mimo_x_, mimo_z_, mimo_o_, norm_;
};

}  // namespace

static AnyPart compile_part(const Mamba3Config& config, const PlannedPart& place, const Build& build) {
  return std::make_unique<Mamba3>(config, place.traits, FoldedNorm(place.norm, build.checkpoint), build);
}
template AnyPart make_part(const Mamba3Config&, const PlannedPart&, const Build&);

}  // namespace coil::ssm
