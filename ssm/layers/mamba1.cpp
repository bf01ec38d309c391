// Mamba-1 (Gu & Dao 2023), FalconMamba and Jamba (RMS norm on dt, B and C, without and with weights):
//   x, z = in_proj(u);  x = silu(conv1d(x));  dt, B, C = x_proj(x);  dt = softplus(dt_proj(dt))
//   h = exp(dt A) h + dt B x;  y = C h + D x;  out_proj(y * silu(z))
#include <algorithm>
#include <cmath>

#include "ssm/layers/causal_conv.h"
#include "ssm/layers/make_part.h"
#include "ssm/layers/part.h"

namespace coil::ssm {

namespace {

class Mamba1 final : public RecurrentPart {
 public:
  Mamba1(const Mamba1Config& config, const PartTraits& traits, const FoldedNorm& norm, const Build& build)
      : RecurrentPart(config.d_model, config.d_model),
        kernels_(build.kernels),
        config_(config),
        norm_eps_(norm.weight.empty() ? std::nullopt : std::optional(norm.eps)),
        channels_(padded(size_t(config.d_inner))),
        rank_width_(padded(size_t(config.dt_rank))),
        bc_width_(padded(size_t(config.d_state))),
        source_(channel_source(config)),
        conv_(config.name + ".conv1d", config.d_inner, config.d_conv, config.conv_bias, source_, build.checkpoint) {
    const int inner = config.d_inner, model = config.d_model, rank = config.dt_rank, state = config.d_state;
    const auto tensor = [&](const char* suffix, std::vector<int64_t> shape) {
      return build.checkpoint.floats(config.name + suffix, shape);
    };

    std::vector<int> xz_rows, bc_rows;
    append(xz_rows, iota(inner), channels_);
    append(xz_rows, iota(inner, inner), channels_);
    in_proj_ = load_linear({config.name + ".in_proj", model, 2 * inner, config.bias}, build, xz_rows, iota(model),
                           norm.weight);

    // Upstream's x_proj is split in two: dt is needed first, and its few rows are stored for dot products.
    const LinearConfig x_proj{config.name + ".x_proj", inner, rank + 2 * state, config.x_proj_bias};
    append(bc_rows, iota(state, rank), bc_width_);
    append(bc_rows, iota(state, rank + state), bc_width_);
    x_to_rank_ = load_linear(x_proj, build, iota(rank), iota(inner));
    x_to_bc_ = load_linear(x_proj, build, bc_rows, iota(inner));

    dt_bias_ = arranged(tensor(".dt_proj.bias", {inner}), source_);
    if (x_to_rank_.dots) {
      const auto weight = tensor(".dt_proj.weight", {inner, rank});
      dt_weights_.assign(size_t(rank) * channels_, 0.0f);
      for (size_t i = 0; i < weight.size(); ++i)
        dt_weights_[i % size_t(rank) * channels_ + i / size_t(rank)] = weight[i];
    } else {
      dt_proj_ = load_linear({config.name + ".dt_proj", rank, inner, false}, build);
    }
    out_proj_ = load_linear({config.name + ".out_proj", inner, model, config.bias}, build);
    D_ = arranged(tensor(".D", {inner}), source_);
    rank_norm_.assign(rank_width_, 1.0f), b_norm_.assign(bc_width_, 1.0f), c_norm_ = b_norm_;
    if (config.norm_weights) {
      rank_norm_ = arranged(tensor(".dt_layernorm.weight", {rank}), iota(rank));
      b_norm_ = arranged(tensor(".b_layernorm.weight", {state}), iota(state));
      c_norm_ = arranged(tensor(".c_layernorm.weight", {state}), iota(state));
    }

    const auto A_log = build.checkpoint.doubles(config.name + ".A_log", {inner, state});
    a_.assign(size_t(state) * channels_, 0.0f);
    std::vector<uint32_t> position;
    for (size_t c = 0; c < size_t(inner); ++c)
      for (size_t n = 0; n < size_t(state); ++n) {
        position.push_back(uint32_t(state_index(c, n, channels_, size_t(state))));
        a_[position.back()] = float(-std::exp(A_log[c * size_t(state) + n]) * M_LOG2E);
      }

    if (build.weights == WeightFormat::f32 && config.d_conv == 4 && x_to_rank_.dots && !config.rms_eps)
      single_frame_ = Mamba1Frame{norm_eps_ ? &*norm_eps_ : nullptr,
                                  size_t(model),
                                  stride_in(),
                                  &in_proj_,
                                  &x_to_rank_,
                                  &x_to_bc_,
                                  &out_proj_,
                                  conv_.kernel(),
                                  time_step(),
                                  size_t(state),
                                  bc_width_,
                                  a_.data(),
                                  D_.data()};

    history_frames_ = size_t(traits.history_frames);
    history_offset_ = conv_.add_state(build.layout, traits, source_);
    scan_floats_ = size_t(state) * channels_;
    scan_offset_ = build.layout.add(traits.region("ssm"), scan_floats_, std::move(position));
  }

  bool can_accumulate() const override { return true; }
  size_t history_floats() const override { return conv_.history_floats(); }
  size_t scratch_floats(size_t frames) const override {
    return frames * (5 * channels_ + rank_width_ + x_to_bc_.d_out) + padded(frames);
  }

  void read_history(const float* in, float* history, float* scratch) const noexcept override {
    const size_t taps = conv_.taps();
    project(in - taps * stride_in(), taps, scratch, scratch + taps * 2 * channels_);
    conv_.save(scratch, 2 * channels_, history);
  }

  void expand(const float* in, size_t frames, Runs runs, float* scratch) const noexcept override {
    const Rows rows(*this, scratch, frames);
    project(in, frames, rows.xz, rows.scale);
    conv_.run(kernels_, runs, rows.xz, 2 * channels_, rows.x, frames);
    const size_t bc_stride = x_to_bc_.d_out;
    kernels_.linear(x_to_rank_, nullptr, rows.x, channels_, rows.rank, rank_width_, frames, false);
    if (config_.rms_eps) normalise(rank_norm_, rows.rank, rank_width_, size_t(config_.dt_rank), rank_width_, frames);
    if (x_to_rank_.dots) {
      kernels_.project_time_step(time_step(), rows.rank, rank_width_, rows.dt, channels_, frames);
    } else {
      kernels_.linear(dt_proj_, nullptr, rows.rank, rank_width_, rows.dt, channels_, frames, false);
      kernels_.time_step(dt_bias_.data(), 0.0f, HUGE_VALF, true, rows.dt, channels_, channels_, frames);
    }
    kernels_.linear(x_to_bc_, nullptr, rows.x, channels_, rows.bc, bc_stride, frames, false);
    if (config_.rms_eps) {
      normalise(b_norm_, rows.bc, bc_stride, size_t(config_.d_state), bc_width_, frames);
      normalise(c_norm_, rows.bc + bc_width_, bc_stride, size_t(config_.d_state), bc_width_, frames);
    }
  }

  void recur(const float*, size_t frames, Runs runs, float* scratch, float* out,
             bool accumulate) const noexcept override {
    const Rows rows(*this, scratch, frames);
    kernels_.selective_scan(scan(rows), runs);
    kernels_.gate(rows.xz + channels_, 2 * channels_, rows.y, channels_, channels_, frames);
    kernels_.linear(out_proj_, nullptr, rows.y, channels_, out, stride_out(), frames, accumulate);
  }

  void process(const float* in, size_t frames, Runs runs, float* scratch, float* out,
               bool accumulate) const noexcept override {
    if (frames != 1 || !single_frame_) return RecurrentPart::process(in, frames, runs, scratch, out, accumulate);
    kernels_.mamba1_frame(*single_frame_, runs[0], in, scratch, out, accumulate);
  }

  void end_state(const float*, size_t frames, float* scratch, float* carry) const noexcept override {
    const Rows rows(*this, scratch, frames);
    std::fill_n(carry, scan_floats_, 0.0f);
    const Run run{frames, nullptr, carry};
    kernels_.selective_scan_end(scan(rows), {&run, 1});
    float* factor = carry + scan_floats_;
    for (size_t c = 0; c < channels_; ++c) {
      float elapsed = 0;
      for (size_t t = 0; t < frames; ++t) elapsed += rows.dt[t * channels_ + c];
      for (size_t n = 0; n < size_t(config_.d_state); ++n) {
        const size_t at = state_index(c, n, channels_, size_t(config_.d_state));
        factor[at] = std::exp2(elapsed * a_[at]);
      }
    }
  }

  void join(const float* carry, float* scan_state) const noexcept override {
    join_real(carry, scan_state, scan_floats_);
  }

  LayerActivity activity(const Run& run, float* scratch) const noexcept override {
    const size_t inner = size_t(config_.d_inner);
    const float* dt = Rows(*this, scratch, run.frames).dt + (run.frames - 1) * channels_;
    return {sum_of_squares(run.scan_state, scan_floats_) / float(inner * size_t(config_.d_state)), mean(dt, inner)};
  }

 private:
  // The block's intermediate values in scratch.
  struct Rows {
    float *xz, *x, *dt, *y, *bc, *rank, *scale;
    Rows(const Mamba1& m, float* scratch, size_t frames) {
      xz = scratch;
      x = xz + frames * 2 * m.channels_;
      dt = x + frames * m.channels_;
      y = dt + frames * m.channels_;
      bc = y + frames * m.channels_;
      rank = bc + frames * m.x_to_bc_.d_out;
      scale = rank + frames * m.rank_width_;
    }
  };

  static std::vector<int> channel_source(const Mamba1Config& config) {
    std::vector<int> source;
    append(source, iota(config.d_inner), padded(size_t(config.d_inner)));
    return source;
  }

  void project(const float* in, size_t frames, float* xz, float* scale) const noexcept {
    if (norm_eps_) kernels_.rms_scale(*norm_eps_, size_t(config_.d_model), stride_in(), in, stride_in(), scale, frames);
    kernels_.linear(in_proj_, norm_eps_ ? scale : nullptr, in, stride_in(), xz, 2 * channels_, frames, false);
  }

  void normalise(const AlignedFloats& weights, float* values, size_t stride, size_t count, size_t width,
                 size_t frames) const noexcept {
    kernels_.rms_norm(weights.data(), *config_.rms_eps, count, width, values, stride, values, stride, frames);
  }

  TimeStepKernel time_step() const noexcept {
    return {dt_weights_.data(), dt_bias_.data(), size_t(config_.dt_rank), channels_};
  }

  ScanKernel scan(const Rows& rows) const noexcept {
    return {channels_, size_t(config_.d_state), a_.data(),      D_.data(), rows.dt, rows.x, channels_,
            rows.bc,   rows.bc + bc_width_,     x_to_bc_.d_out, nullptr,   nullptr, rows.y, channels_};
  }

  const Kernels& kernels_;
  Mamba1Config config_;
  std::optional<float> norm_eps_;
  size_t channels_, rank_width_, bc_width_;
  std::vector<int> source_;
  CausalConv conv_;
  PackedLinear in_proj_, x_to_rank_, x_to_bc_, dt_proj_, out_proj_;
  AlignedFloats dt_weights_, dt_bias_, a_, D_, rank_norm_, b_norm_,
      c_norm_;                               // dt_weights: replaces dt_proj for few ranks; a: A log2(e)
  std::optional<Mamba1Frame> single_frame_;  // only if the sizes allow it
};

}  // namespace

static AnyPart compile_part(const Mamba1Config& config, const PlannedPart& place, const Build& build) {
  return std::make_unique<Mamba1>(config, place.traits, FoldedNorm(place.norm, build.checkpoint), build);
}
template AnyPart make_part(const Mamba1Config&, const PlannedPart&, const Build&);

}  // namespace coil::ssm
