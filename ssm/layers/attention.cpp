// Attention over a window of frames (Vaswani et al. 2017), rotary positions (Su et al. 2021), norm of queries and keys
// (Henry et al. 2020), and mamba_ssm's convolution of queries, keys and values. Keys and values of the last frames are
// kept in a ring of fixed size, so a stream's memory never grows.
#include <algorithm>
#include <cmath>
#include <numbers>

#include "ssm/layers/causal_conv.h"
#include "ssm/layers/make_part.h"
#include "ssm/layers/part.h"

namespace coil::ssm {

namespace {

// Pads each head of `headdim` values to whole rows.
std::vector<int> padded_heads(int heads, int headdim) {
  std::vector<int> rows;
  for (int h = 0; h < heads; ++h) append(rows, iota(headdim, h * headdim), padded(size_t(headdim)));
  return rows;
}

class Attention final : public RecurrentPart {
 public:
  Attention(const AttentionConfig& config, const PartTraits& traits, const Build& build)
      : RecurrentPart(config.q.d_in, config.o.d_out),
        kernels_(build.kernels),
        config_(config),
        width_(padded(size_t(config.headdim))),
        slots_((size_t(config.window) + kPad - 1) / kPad * kPad),
        conv_(config.conv, config.conv_channels(), config.conv_taps, true, conv_source(config), build.checkpoint) {
    const auto load = [&](const LinearConfig& c, int heads) {
      return load_linear(c, build, padded_heads(heads, config.headdim), iota(c.d_in));
    };
    q_ = load(config.q, config.heads), k_ = load(config.k, config.kv_heads), v_ = load(config.v, config.kv_heads);
    o_ = load_linear(config.o, build, iota(config.o.d_out), padded_heads(config.heads, config.headdim));
    const auto weight = [&](const std::string& name) {
      return name.empty() ? AlignedFloats()
                          : arranged(build.checkpoint.floats(name, {config.headdim}), iota(config.headdim));
    };
    q_norm_ = weight(config.q_norm), k_norm_ = weight(config.k_norm);
    if (!config.sinks.empty()) sinks_ = build.checkpoint.floats(config.sinks, {config.heads});
    // in units of 2^-64 of a turn, so that the phase stays exact over years
    for (const double radians : config.rope) {
      const double turns = radians / (2 * std::numbers::pi), fraction = turns - std::floor(turns);
      turns_.push_back(uint64_t(std::ldexp(fraction, 52)) << 12);
    }
    add_state(traits, build.layout);
  }

  bool joins() const override { return false; }
  bool can_accumulate() const override { return true; }
  size_t history_floats() const override { return history_floats_; }
  size_t scratch_floats(size_t frames) const override {
    return frames * (stride() + o_width()) + 2 * padded(turns_.size()) + slots_ + conv_.history_floats();
  }
  void read_history(const float*, float*, float*) const noexcept override {}

  void expand(const float* in, size_t frames, Runs, float* scratch) const noexcept override {
    float *q = scratch, *k = q + o_width(), *v = k + kv_width();
    kernels_.linear(q_, nullptr, in, stride_in(), q, stride(), frames, false);
    kernels_.linear(k_, nullptr, in, stride_in(), k, stride(), frames, false);
    kernels_.linear(v_, nullptr, in, stride_in(), v, stride(), frames, false);
    const auto normalise = [&](const AlignedFloats& weight, float* heads, int count) {
      for (int h = 0; h < count && !weight.empty(); ++h)
        kernels_.rms_norm(weight.data(), config_.norm_eps, size_t(config_.headdim), width_, heads + size_t(h) * width_,
                          stride(), heads + size_t(h) * width_, stride(), frames);
    };
    normalise(q_norm_, q, config_.heads);
    normalise(k_norm_, k, config_.kv_heads);
  }

  void recur(const float*, size_t frames, Runs runs, float* scratch, float* out,
             bool accumulate) const noexcept override {
    float *y = scratch + frames * stride(), *turn = y + frames * o_width(), *scores = turn + 2 * padded(turns_.size());
    if (conv_.taps() > 0) convolve(runs, scratch, scores + slots_);
    if (!turns_.empty()) rotate(runs, scratch, turn);
    const AttentionKernel kernel{size_t(config_.heads),
                                 size_t(config_.kv_heads),
                                 size_t(config_.headdim),
                                 width_,
                                 size_t(config_.window),
                                 slots_,
                                 values_at_,
                                 position_at_,
                                 float(config_.score_scale),
                                 config_.soft_cap,
                                 sinks_.empty() ? nullptr : sinks_.data(),
                                 stride(),
                                 scratch,
                                 scratch + o_width(),
                                 scratch + o_width() + kv_width(),
                                 scores,
                                 y,
                                 o_width()};
    kernels_.attend(kernel, runs);
    kernels_.linear(o_, nullptr, y, o_width(), out, stride_out(), frames, accumulate);
  }

  void end_state(const float*, size_t, float*, float*) const noexcept override {}
  void join(const float*, float*) const noexcept override {}
  LayerActivity activity(const Run& run, float*) const noexcept override {
    const size_t floats = position_at_ - values_at_;
    return {sum_of_squares(run.history + values_at_, floats) / float(floats), 0};
  }

 private:
  size_t o_width() const { return size_t(config_.heads) * width_; }
  size_t kv_width() const { return size_t(config_.kv_heads) * width_; }
  size_t stride() const { return o_width() + 2 * kv_width(); }

  void add_state(const PartTraits& traits, StateLayout& layout) {
    const size_t kv = size_t(config_.kv_heads), head = size_t(config_.headdim), window = size_t(config_.window);
    std::vector<uint32_t> keys, values;
    for (size_t h = 0; h < kv; ++h)
      for (size_t slot = 0; slot < window; ++slot)
        for (size_t i = 0; i < head; ++i) {
          keys.push_back(uint32_t(h * slots_ * head + (slot / kPad * head + i) * kPad + slot % kPad));
          values.push_back(uint32_t((h * slots_ + slot) * width_ + i));
        }
    history_offset_ = layout.add(traits.region("keys"), kv * slots_ * head, std::move(keys));
    values_at_ = layout.add(traits.region("values"), kv * slots_ * width_, std::move(values)) - history_offset_;
    position_at_ = layout.add(traits.region("position"), 2, {0, 1}) - history_offset_;
    history_floats_ = position_at_ + 2;
    if (conv_.taps() > 0) {
      conv_at_ = conv_.add_state(layout, traits, conv_source(config_)) - history_offset_;
      history_floats_ = conv_at_ + conv_.history_floats();
    }
    scan_offset_ = layout.size;
  }

  static std::vector<int> conv_source(const AttentionConfig& config) {
    return padded_heads(config.heads + 2 * config.kv_heads, config.headdim);
  }

  // y_t = sum_j w_j x_{t - (taps - 1) + j} + b, in place. `kept`: scratch for a history.
  void convolve(Runs runs, float* rows, float* kept) const noexcept {
    const size_t taps = conv_.taps(), width = stride();
    for (const Run& run : runs) {
      float* history = run.history + conv_at_;
      const auto before = [&](size_t t, size_t frames) -> const float* {  // the row of frame t - frames
        return t >= frames ? rows + (t - frames) * width : history + (taps + t - frames) * width;
      };
      for (size_t j = 0; j < taps; ++j)
        std::memcpy(kept + j * width, before(run.frames, taps - j), width * sizeof(float));
      for (size_t t = run.frames; t-- > 0;) convolve_row(before, t, rows + t * width);
      std::memcpy(history, kept, taps * width * sizeof(float));
      rows += run.frames * width;
    }
  }

  template <class Before>
  void convolve_row(const Before& before, size_t t, float* row) const noexcept {
    const ConvKernel conv = conv_.kernel();
    const float* last = conv.weights + (conv.taps - 1) * conv.width;
    for (size_t c = 0; c < conv.width; ++c) row[c] = last[c] * row[c] + conv.bias[c];
    for (size_t j = 0; j + 1 < conv.taps; ++j) {
      const float *weight = conv.weights + j * conv.width, *x = before(t, conv.taps - 1 - j);
      for (size_t c = 0; c < conv.width; ++c) row[c] += weight[c] * x[c];
    }
  }

  // Rotates queries and keys by the angles of their frames. `turn`: scratch for cosines and sines.
  void rotate(Runs runs, float* rows, float* turn) const noexcept {
    float *cosine = turn, *sine = turn + padded(turns_.size());
    for (const Run& run : runs) {
      uint64_t frame = frames_seen(run.history + position_at_);
      for (size_t t = 0; t < run.frames; ++t, ++frame, rows += stride()) {
        for (size_t i = 0; i < turns_.size(); ++i) {
          const double angle = std::ldexp(double(int64_t(turns_[i] * frame)), -64) * 2 * std::numbers::pi;
          cosine[i] = float(std::cos(angle) * config_.rope_scale),
          sine[i] = float(std::sin(angle) * config_.rope_scale);
        }
        for (int h = 0; h < config_.heads + config_.kv_heads; ++h) rotate_head(rows + size_t(h) * width_, cosine, sine);
      }
    }
  }

  void rotate_head(float* head, const float* cosine, const float* sine) const noexcept {
    const size_t pairs = turns_.size();
    for (size_t i = 0; i < pairs; ++i) {
      const float a = head[i], b = head[pairs + i];
      head[i] = a * cosine[i] - b * sine[i];
      head[pairs + i] = b * cosine[i] + a * sine[i];
    }
  }

  const Kernels& kernels_;
  AttentionConfig config_;
  size_t width_, slots_;
  CausalConv conv_;
  PackedLinear q_, k_, v_, o_;
  AlignedFloats q_norm_, k_norm_;
  std::vector<float> sinks_;
  std::vector<uint64_t> turns_;
  size_t history_floats_ = 0, values_at_ = 0, position_at_ = 0, conv_at_ = 0;
};

}  // namespace

static AnyPart compile_part(const AttentionConfig& config, const PlannedPart& place, const Build& build) {
  return std::make_unique<Attention>(config, place.traits, build);
}
template AnyPart make_part(const AttentionConfig&, const PlannedPart&, const Build&);

}  // namespace coil::ssm
