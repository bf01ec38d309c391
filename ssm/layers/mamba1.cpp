// Mamba-1 (Gu & Dao 2023) and FalconMamba (weightless RMS norm on dt, B and C):
//   x, z = in_proj(u);  x = silu(conv1d(x));  dt, B, C = x_proj(x);  dt = softplus(dt_proj(dt))
//   h = exp(dt A) h + dt B x;  y = C h + D x;  out_proj(y * silu(z))
#include <algorithm>
#include <cmath>

#include "ssm/layers/causal_conv.h"
#include "ssm/layers/part.h"

namespace coil::ssm {

namespace {

class Mamba1 final : public RecurrentPart {
 public:
  Mamba1(const Mamba1Config& config, const Checkpoint& checkpoint, const Kernels& kernels, StateLayout& layout)
      : RecurrentPart(config.d_model, config.d_model), kernels_(kernels), config_(config), channels_(padded(size_t(config.d_inner))),
        rank_width_(padded(size_t(config.dt_rank))), bc_width_(padded(size_t(config.d_state))), source_(channel_source(config)),
        conv_(config.name + ".conv1d", config.d_inner, config.d_conv, config.conv_bias, source_, checkpoint) {
    const int inner = config.d_inner, model = config.d_model, rank = config.dt_rank, state = config.d_state;
    const auto tensor = [&](const char* suffix, std::vector<int64_t> shape) { return checkpoint.floats(config.name + suffix, shape); };
    const auto load = [&](const char* suffix, int d_in, int d_out, bool bias, const std::vector<int>& rows) {
      return load_linear({config.name + suffix, d_in, d_out, bias}, checkpoint, kernels, rows, iota(d_in));
    };

    std::vector<int> xz_rows;
    append(xz_rows, iota(inner), channels_);
    append(xz_rows, iota(inner, inner), channels_);
    in_proj_ = load(".in_proj", model, 2 * inner, config.bias, xz_rows);

    std::vector<int> dbc_rows;
    append(dbc_rows, iota(rank), rank_width_);
    append(dbc_rows, iota(state, rank), bc_width_);
    append(dbc_rows, iota(state, rank + state), bc_width_);
    x_proj_ = load(".x_proj", inner, rank + 2 * state, config.x_proj_bias, dbc_rows);

    dt_proj_ = load(".dt_proj", rank, inner, false, iota(inner));
    dt_bias_ = arranged(tensor(".dt_proj.bias", {inner}), source_);
    out_proj_ = load(".out_proj", inner, model, config.bias, iota(model));
    D_ = arranged(tensor(".D", {inner}), source_);
    ones_.assign(std::max(rank_width_, bc_width_), 1.0f);

    const auto A_log = checkpoint.doubles(config.name + ".A_log", {inner, state});
    a_.assign(size_t(state) * channels_, 0.0f);
    std::vector<uint32_t> position;
    for (size_t c = 0; c < size_t(inner); ++c)
      for (size_t n = 0; n < size_t(state); ++n) {
        a_[n * channels_ + c] = float(-std::exp(A_log[c * size_t(state) + n]) * M_LOG2E);
        position.push_back(uint32_t(n * channels_ + c));
      }

    history_frames_ = conv_.taps();
    history_offset_ = conv_.add_state(layout, config.state_name, inner, source_);
    scan_floats_ = size_t(state) * channels_;
    scan_offset_ = layout.add(config.state_name + ".ssm", {inner, state}, scan_floats_, std::move(position));
  }

  bool can_accumulate() const override { return true; }
  size_t history_floats() const override { return conv_.history_floats(); }
  size_t scratch_floats(size_t frames) const override {
    return (frames + conv_.taps()) * 2 * channels_ + frames * (3 * channels_ + dbc_stride());
  }

  void read_history(const float* in, float* history, float* scratch) const noexcept override {
    const size_t taps = conv_.taps();
    kernels_.linear(in_proj_, in - taps * stride_in(), stride_in(), scratch, 2 * channels_, taps, false);
    conv_.save(scratch, 2 * channels_, history);
  }

  void expand(const float* in, size_t frames, float* history, float* scratch) const noexcept override {
    const Rows rows(*this, scratch, frames);
    kernels_.linear(in_proj_, in, stride_in(), rows.xz, 2 * channels_, frames, false);
    conv_.run(kernels_, history, scratch, 2 * channels_, rows.x, frames);
    kernels_.linear(x_proj_, rows.x, channels_, rows.dbc, dbc_stride(), frames, false);
    if (config_.rms_eps) {
      float *dt = rows.dbc, *B = dt + rank_width_, *C = B + bc_width_;
      normalise(dt, size_t(config_.dt_rank), rank_width_, frames);
      normalise(B, size_t(config_.d_state), bc_width_, frames);
      normalise(C, size_t(config_.d_state), bc_width_, frames);
    }
    kernels_.linear(dt_proj_, rows.dbc, dbc_stride(), rows.dt, channels_, frames, false);
    kernels_.time_step(dt_bias_.data(), 0.0f, HUGE_VALF, true, rows.dt, channels_, channels_, frames);
  }

  void recur(const float*, size_t frames, float* scan_state, float* scratch, float* out, bool accumulate) const noexcept override {
    const Rows rows(*this, scratch, frames);
    kernels_.selective_scan(scan(rows, frames, scan_state));
    kernels_.gate(rows.xz + channels_, 2 * channels_, rows.y, channels_, channels_, frames);
    kernels_.linear(out_proj_, rows.y, channels_, out, stride_out(), frames, accumulate);
  }

  void end_state(const float*, size_t frames, float* scratch, float* carry) const noexcept override {
    const Rows rows(*this, scratch, frames);
    std::fill_n(carry, scan_floats_, 0.0f);
    kernels_.selective_scan_end(scan(rows, frames, carry));
    float* factor = carry + scan_floats_;
    for (size_t c = 0; c < channels_; ++c) {
      float elapsed = 0;
      for (size_t t = 0; t < frames; ++t) elapsed += rows.dt[t * channels_ + c];
      for (size_t n = 0; n < size_t(config_.d_state); ++n) factor[n * channels_ + c] = std::exp2(elapsed * a_[n * channels_ + c]);
    }
  }

  void join(const float* carry, float* scan_state) const noexcept override { join_real(carry, scan_state, scan_floats_); }

 private:
  // The block's intermediate values inside scratch; xz begins after the convolution's history.
  struct Rows {
    float *xz, *x, *dt, *y, *dbc;
    Rows(const Mamba1& m, float* scratch, size_t frames) {
      xz = scratch + m.conv_.taps() * 2 * m.channels_;
      x = xz + frames * 2 * m.channels_;
      dt = x + frames * m.channels_;
      y = dt + frames * m.channels_;
      dbc = y + frames * m.channels_;
    }
  };

  static std::vector<int> channel_source(const Mamba1Config& config) {
    std::vector<int> source;
    append(source, iota(config.d_inner), padded(size_t(config.d_inner)));
    return source;
  }

  size_t dbc_stride() const { return x_proj_.d_out; }

  void normalise(float* values, size_t count, size_t width, size_t frames) const noexcept {
    kernels_.rms_norm(ones_.data(), *config_.rms_eps, count, width, values, dbc_stride(), values, dbc_stride(), frames);
  }

  ScanKernel scan(const Rows& rows, size_t frames, float* h) const noexcept {
    const float* B = rows.dbc + rank_width_;
    return {channels_, size_t(config_.d_state), frames, a_.data(), D_.data(), rows.dt, rows.x, channels_, B, B + bc_width_, dbc_stride(),
            nullptr, nullptr, h, rows.y, channels_};
  }

  const Kernels& kernels_;
  Mamba1Config config_;
  size_t channels_, rank_width_, bc_width_;
  std::vector<int> source_;
  CausalConv conv_;
  PackedLinear in_proj_, x_proj_, dt_proj_, out_proj_;
  AlignedFloats dt_bias_, a_, D_, ones_;  // a: A log2(e), [n][channel]
};

}  // namespace

std::unique_ptr<RecurrentPart> make_mamba1(const Mamba1Config& config, const Checkpoint& checkpoint, const Kernels& kernels, StateLayout& layout) {
  return std::make_unique<Mamba1>(config, checkpoint, kernels, layout);
}

}  // namespace coil::ssm
