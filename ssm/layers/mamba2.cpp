// Mamba-2 (Dao & Gu 2024):
//   z, x B C, dt = in_proj(u);  x, B, C = silu(conv1d(x B C));  dt = clamp(softplus(dt + dt_bias))
//   per head: h = exp(dt A) h + dt B x;  y = C h + D x;  out_proj(rmsnorm(y * silu(z)))
#include <algorithm>
#include <cmath>
#include <numeric>

#include "ssm/layers/causal_conv.h"
#include "ssm/layers/part.h"

namespace coil::ssm {

namespace {

// The inner channels in SIMD-friendly order: cut into ranges that belong to one B/C group and one norm group each, every range padded.
struct ChannelRanges {
  size_t count, width, padded_width;

  explicit ChannelRanges(const Mamba2Config& c)
      : count(size_t(std::lcm(c.ngroups, c.d_inner() / c.norm_group_size))), width(size_t(c.d_inner()) / count), padded_width(padded(width)) {}

  size_t channels() const { return count * padded_width; }
  size_t place(size_t channel) const { return channel / width * padded_width + channel % width; }
  std::vector<int> source(int from = 0) const {
    std::vector<int> rows;
    for (size_t r = 0; r < count; ++r) append(rows, iota(int(width), from + int(r * width)), padded_width);
    return rows;
  }
};

class Mamba2 final : public RecurrentPart {
 public:
  Mamba2(const Mamba2Config& config, const Checkpoint& checkpoint, const Kernels& kernels, StateLayout& layout)
      : RecurrentPart(config.d_model, config.d_model), kernels_(kernels), config_(config), ranges_(config), channels_(ranges_.channels()),
        bc_width_(padded(size_t(config.ngroups * config.d_state))), heads_width_(padded(size_t(config.heads))), conv_source_(conv_source()),
        conv_(config.name + ".conv1d", config.conv_channels(), config.d_conv, config.conv_bias, conv_source_, checkpoint) {
    const int inner = config.d_inner(), model = config.d_model, heads = config.heads, bc = config.ngroups * config.d_state;
    const auto tensor = [&](const char* suffix, std::vector<int64_t> shape) { return checkpoint.floats(config.name + suffix, shape); };

    // upstream's rows are z, x, B, C, dt; here x, B, C come first, so that the convolution's channels lie together
    std::vector<int> rows;
    append(rows, ranges_.source(inner));
    append(rows, iota(bc, 2 * inner), bc_width_);
    append(rows, iota(bc, 2 * inner + bc), bc_width_);
    append(rows, ranges_.source(0));
    append(rows, iota(heads, 2 * inner + 2 * bc), heads_width_);
    const int d_out = 2 * inner + 2 * bc + heads;
    in_proj_ = load_linear({config.name + ".in_proj", model, d_out, config.bias}, checkpoint, kernels, rows, iota(model));
    out_proj_ = load_linear({config.name + ".out_proj", inner, model, config.bias}, checkpoint, kernels, iota(model), ranges_.source());

    norm_ = arranged(tensor(".norm.weight", {inner}), ranges_.source());
    dt_bias_ = arranged(tensor(".dt_bias", {heads}), iota(heads));
    a_.assign(heads_width_, 0.0f);
    const auto A_log = checkpoint.doubles(config.name + ".A_log", {heads});
    for (size_t h = 0; h < size_t(heads); ++h) a_[h] = float(-std::exp(A_log[h]) * M_LOG2E);

    const auto D = tensor(".D", {heads});
    D_.assign(channels_, 0.0f);
    std::vector<uint32_t> position;
    for (size_t c = 0; c < size_t(inner); ++c) {
      const size_t head = c / size_t(config.headdim);
      D_[ranges_.place(c)] = D[head];
      const size_t place = ranges_.place(c);
      if (head_runs_.empty() || head_runs_.back().head != head || head_runs_.back().begin + head_runs_.back().channels != place)
        head_runs_.push_back({place, 0, head});
      ++head_runs_.back().channels;
      for (size_t n = 0; n < size_t(config.d_state); ++n) position.push_back(uint32_t(n * channels_ + ranges_.place(c)));
    }

    history_frames_ = conv_.taps();
    history_offset_ = conv_.add_state(layout, config.state_name, config.conv_channels(), conv_source_);
    scan_floats_ = size_t(config.d_state) * channels_;
    scan_offset_ = layout.add(config.state_name + ".ssm", {heads, config.headdim, config.d_state}, scan_floats_, std::move(position));
  }

  bool can_accumulate() const override { return true; }
  size_t history_floats() const override { return conv_.history_floats(); }
  size_t scratch_floats(size_t frames) const override {
    return (frames + conv_.taps()) * stride() + frames * (conv_.width() + 3 * channels_ + heads_width_);
  }

  void read_history(const float* in, float* history, float* scratch) const noexcept override {
    const size_t taps = conv_.taps();
    kernels_.linear(in_proj_, in - taps * stride_in(), stride_in(), scratch, stride(), taps, false);
    conv_.save(scratch, stride(), history);
  }

  void expand(const float* in, size_t frames, float* history, float* scratch) const noexcept override {
    const Rows rows(*this, scratch, frames);
    kernels_.linear(in_proj_, in, stride_in(), rows.projected, stride(), frames, false);
    conv_.run(kernels_, history, scratch, stride(), rows.xbc, frames);
    float* dt = rows.projected + conv_.width() + channels_;
    kernels_.time_step(dt_bias_.data(), float(config_.dt_min), float(config_.dt_max), true, dt, stride(), heads_width_, frames);
    kernels_.decay(a_.data(), dt, stride(), rows.head_decay, heads_width_, heads_width_, frames);
    // the scan runs over the padding too: what an earlier block left there could be infinite
    if (channels_ != size_t(config_.d_inner())) std::fill_n(rows.dt, 2 * frames * channels_, 0.0f);
    for (size_t t = 0; t < frames; ++t) {
      spread(dt + t * stride(), rows.dt + t * channels_);
      spread(rows.head_decay + t * heads_width_, rows.decay + t * channels_);
    }
  }

  void recur(const float*, size_t frames, float* scan_state, float* scratch, float* out, bool accumulate) const noexcept override {
    const Rows rows(*this, scratch, frames);
    for (size_t range = 0; range < ranges_.count; ++range) kernels_.ssd(scan(rows, frames, range, scan_state));
    kernels_.gate(rows.projected + conv_.width(), stride(), rows.y, channels_, channels_, frames);
    const size_t norm_groups = size_t(config_.d_inner() / config_.norm_group_size), width = channels_ / norm_groups;
    for (size_t g = 0; g < norm_groups; ++g)
      kernels_.rms_norm(norm_.data() + g * width, config_.norm_eps, size_t(config_.norm_group_size), width, rows.y + g * width, channels_,
                        rows.y + g * width, channels_, frames);
    kernels_.linear(out_proj_, rows.y, channels_, out, stride_out(), frames, accumulate);
  }

  void end_state(const float*, size_t frames, float* scratch, float* carry) const noexcept override {
    const Rows rows(*this, scratch, frames);
    std::fill_n(carry, scan_floats_, 0.0f);
    for (size_t range = 0; range < ranges_.count; ++range) kernels_.ssd_end(scan(rows, frames, range, carry));
    float* factor = carry + scan_floats_;
    std::fill_n(factor, scan_floats_, 0.0f);
    for (const HeadRun& run : head_runs_) {
      float elapsed = 0;
      for (size_t t = 0; t < frames; ++t) elapsed += rows.dt[t * channels_ + run.begin];
      const float decay = std::exp2(elapsed * a_[run.head]);
      for (size_t n = 0; n < size_t(config_.d_state); ++n) std::fill_n(factor + n * channels_ + run.begin, run.channels, decay);
    }
  }

  void join(const float* carry, float* scan_state) const noexcept override { join_real(carry, scan_state, scan_floats_); }

 private:
  // Channels of one head that lie together.
  struct HeadRun {
    size_t begin, channels, head;
  };

  // The block's intermediate values inside scratch. A projected row is x, B, C, z, dt, and begins after the convolution's history.
  struct Rows {
    float *projected, *xbc, *dt, *decay, *y, *head_decay;
    Rows(const Mamba2& m, float* scratch, size_t frames) {
      projected = scratch + m.conv_.taps() * m.stride();
      xbc = projected + frames * m.stride();
      dt = xbc + frames * m.conv_.width();
      decay = dt + frames * m.channels_;
      y = decay + frames * m.channels_;
      head_decay = y + frames * m.channels_;
    }
  };

  std::vector<int> conv_source() const {
    const int inner = config_.d_inner(), bc = config_.ngroups * config_.d_state;
    std::vector<int> source = ranges_.source();
    append(source, iota(bc, inner), bc_width_);
    append(source, iota(bc, inner + bc), bc_width_);
    return source;
  }

  size_t stride() const { return in_proj_.d_out; }

  // A value per head to all of its channels, not to the padding.
  void spread(const float* heads, float* out) const noexcept {
    for (const HeadRun& run : head_runs_) std::fill_n(out + run.begin, run.channels, heads[run.head]);
  }

  SsdKernel scan(const Rows& rows, size_t frames, size_t range, float* h) const noexcept {
    const size_t at = range * ranges_.padded_width, group = range * size_t(config_.ngroups) / ranges_.count;
    const float* B = rows.xbc + channels_ + group * size_t(config_.d_state);
    return {ranges_.padded_width, size_t(config_.d_state), frames, D_.data() + at, rows.decay + at, rows.dt + at, rows.xbc + at, channels_,
            conv_.width(), B, B + bc_width_, conv_.width(), h + at, channels_, rows.y + at, channels_};
  }

  const Kernels& kernels_;
  Mamba2Config config_;
  ChannelRanges ranges_;
  size_t channels_, bc_width_, heads_width_;
  std::vector<int> conv_source_;
  CausalConv conv_;
  PackedLinear in_proj_, out_proj_;
  AlignedFloats norm_, dt_bias_, a_, D_;  // a: A log2(e), per head
  std::vector<HeadRun> head_runs_;
};

}  // namespace

std::unique_ptr<RecurrentPart> make_mamba2(const Mamba2Config& config, const Checkpoint& checkpoint, const Kernels& kernels, StateLayout& layout) {
  return std::make_unique<Mamba2>(config, checkpoint, kernels, layout);
}

}  // namespace coil::ssm
