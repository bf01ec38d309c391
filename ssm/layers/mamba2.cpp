// Mamba-2 (Dao & Gu 2024):
//   z, x B C, dt = in_proj(u);  x, B, C = silu(conv1d(x B C));  dt = clamp(softplus(dt + dt_bias))
//   per head: h = exp(dt A) h + dt B x;  y = C h + D x;  out_proj(rmsnorm(y * silu(z))), or as GatedNorm says
#include <algorithm>
#include <cmath>
#include <numeric>

#include "ssm/layers/causal_conv.h"
#include "ssm/layers/make_part.h"
#include "ssm/layers/part.h"

namespace coil::ssm {

namespace {

// The inner channels in SIMD-friendly order: split into ranges that belong to one B/C group and one norm group each.
// Every range is padded.
struct ChannelRanges {
  size_t count, width, padded_width;

  explicit ChannelRanges(const Mamba2Config& c)
      : count(size_t(std::lcm(c.ngroups, c.d_inner() / c.norm_group_size))),
        width(size_t(c.d_inner()) / count),
        padded_width(padded(width)) {}

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
  Mamba2(const Mamba2Config& config, const PartTraits& traits, const FoldedNorm& norm, const Build& build)
      : RecurrentPart(config.d_model, config.d_model),
        kernels_(build.kernels),
        config_(config),
        norm_eps_(norm.weight.empty() ? std::nullopt : std::optional(norm.eps)),
        ranges_(config),
        channels_(ranges_.channels()),
        norm_groups_(size_t(config.d_inner() / config.norm_group_size)),
        bc_width_(padded(size_t(config.ngroups * config.d_state))),
        heads_width_(padded(size_t(config.heads))),
        // The scan can broadcast a head's values if every range consists of whole heads, and every head of whole
        // vectors.
        heads_in_lanes_(size_t(config.headdim) % kPad == 0 && ranges_.width % size_t(config.headdim) == 0),
        conv_source_(conv_source()),
        conv_(config.name + ".conv1d", config.conv_channels(), config.d_conv, config.conv_bias, conv_source_,
              build.checkpoint) {
    const int inner = config.d_inner(), model = config.d_model, heads = config.heads,
              bc = config.ngroups * config.d_state;
    const auto tensor = [&](const char* suffix, std::vector<int64_t> shape) {
      return build.checkpoint.floats(config.name + suffix, shape);
    };

    // Upstream's rows are z, x, B, C, dt. Here x, B, C come first, so that the convolution's channels are contiguous.
    std::vector<int> rows;
    append(rows, ranges_.source(inner));
    append(rows, iota(bc, 2 * inner), bc_width_);
    append(rows, iota(bc, 2 * inner + bc), bc_width_);
    append(rows, ranges_.source(0));
    append(rows, iota(heads, 2 * inner + 2 * bc), heads_width_);
    in_proj_ = load_linear(config.in_proj(), build, rows, iota(model), norm.weight);

    // A norm over all channels directly before the projection is folded into it, like the norm before the mixer.
    const bool has_norm = config.gated_norm != GatedNorm::gate_alone;
    const auto gate_norm = has_norm ? tensor(".norm.weight", {inner}) : std::vector<float>();
    if (has_norm) norm_ = arranged(gate_norm, ranges_.source());
    folds_gated_norm_ = norm_groups_ == 1 && config.gated_norm == GatedNorm::gate_then_norm;
    out_proj_ = load_linear(config.out_proj(), build, iota(model), ranges_.source(),
                            folds_gated_norm_ ? gate_norm : std::vector<float>());
    dt_bias_ = arranged(tensor(".dt_bias", {heads}), iota(heads));
    a_.assign(heads_width_, 0.0f);
    const auto A_log = build.checkpoint.doubles(config.name + ".A_log", {heads});
    for (size_t h = 0; h < size_t(heads); ++h) a_[h] = float(-std::exp(A_log[h]) * M_LOG2E);

    const auto D = tensor(".D", {heads});
    D_.assign(channels_, 0.0f);
    std::vector<uint32_t> position;
    for (size_t c = 0; c < size_t(inner); ++c) {
      const size_t head = c / size_t(config.headdim);
      D_[ranges_.place(c)] = D[head];
      const size_t place = ranges_.place(c);
      if (head_runs_.empty() || head_runs_.back().head != head ||
          head_runs_.back().begin + head_runs_.back().channels != place)
        head_runs_.push_back({place, 0, head});
      ++head_runs_.back().channels;
      for (size_t n = 0; n < size_t(config.d_state); ++n) position.push_back(uint32_t(state_place(place, n)));
    }

    history_frames_ = size_t(traits.history_frames);
    history_offset_ = conv_.add_state(build.layout, traits, conv_source_);
    scan_floats_ = size_t(config.d_state) * channels_;
    scan_offset_ = build.layout.add(traits.region("ssm"), scan_floats_, std::move(position));
  }

  bool can_accumulate() const override { return true; }
  size_t history_floats() const override { return conv_.history_floats(); }
  size_t scratch_floats(size_t frames) const override {
    return frames * (stride() + conv_.width() + channels_ + heads_width_ + (heads_in_lanes_ ? 0 : 2 * channels_)) +
           padded(frames);
  }

  void read_history(const float* in, float* history, float* scratch) const noexcept override {
    const size_t taps = conv_.taps();
    project(in - taps * stride_in(), taps, scratch, scratch + taps * stride());
    conv_.save(scratch, stride(), history);
  }

  void expand(const float* in, size_t frames, Runs runs, float* scratch) const noexcept override {
    const Rows rows(*this, scratch, frames);
    project(in, frames, rows.projected, rows.scale);
    float* dt = rows.projected + dt_at();
    kernels_.time_step(dt_bias_.data(), float(config_.dt_min), float(config_.dt_max), true, dt, stride(), heads_width_,
                       frames);
    kernels_.decay(a_.data(), dt, stride(), rows.head_decay, heads_width_, heads_width_, frames);
    conv_.run(kernels_, runs, rows.projected, stride(), rows.xbc, frames);
    if (heads_in_lanes_) return;
    // The scan also runs over the padding, which may hold infinities from an earlier block.
    if (channels_ != size_t(config_.d_inner())) std::fill_n(rows.dt, 2 * frames * channels_, 0.0f);
    for (size_t i = 0; i < frames; ++i) {
      spread(dt + i * stride(), rows.dt + i * channels_);
      spread(rows.head_decay + i * heads_width_, rows.decay + i * channels_);
    }
  }

  void recur(const float*, size_t frames, Runs runs, float* scratch, float* out,
             bool accumulate) const noexcept override {
    const Rows rows(*this, scratch, frames);
    for (size_t range = 0; range < ranges_.count; ++range) kernels_.ssd(scan(rows, range), runs);
    const bool norm_first = config_.gated_norm == GatedNorm::norm_then_gate;
    if (!norm_first) kernels_.gate(rows.projected + conv_.width(), stride(), rows.y, channels_, channels_, frames);
    const size_t count = size_t(config_.norm_group_size), width = channels_ / norm_groups_;
    if (folds_gated_norm_) kernels_.rms_scale(config_.norm_eps, count, width, rows.y, channels_, rows.scale, frames);
    for (size_t g = 0; !folds_gated_norm_ && !norm_.empty() && g < norm_groups_; ++g)
      kernels_.rms_norm(norm_.data() + g * width, config_.norm_eps, count, width, rows.y + g * width, channels_,
                        rows.y + g * width, channels_, frames);
    if (norm_first) kernels_.gate(rows.projected + conv_.width(), stride(), rows.y, channels_, channels_, frames);
    kernels_.linear(out_proj_, folds_gated_norm_ ? rows.scale : nullptr, rows.y, channels_, out, stride_out(), frames,
                    accumulate);
  }

  void end_state(const float*, size_t frames, float* scratch, float* carry) const noexcept override {
    const Rows rows(*this, scratch, frames);
    std::fill_n(carry, scan_floats_, 0.0f);
    const Run all{frames, nullptr, carry};
    for (size_t range = 0; range < ranges_.count; ++range) kernels_.ssd_end(scan(rows, range), {&all, 1});
    float* factor = carry + scan_floats_;
    std::fill_n(factor, scan_floats_, 0.0f);
    for (const HeadRun& run : head_runs_) {
      float elapsed = 0;
      for (size_t t = 0; t < frames; ++t) elapsed += rows.projected[t * stride() + dt_at() + run.head];
      const float decay = std::exp2(elapsed * a_[run.head]);
      for (size_t n = 0; n < size_t(config_.d_state); ++n)
        for (size_t c = run.begin; c < run.begin + run.channels; ++c) factor[state_place(c, n)] = decay;
    }
  }

  void join(const float* carry, float* scan_state) const noexcept override {
    join_real(carry, scan_state, scan_floats_);
  }

  LayerActivity activity(const Run& run, float* scratch) const noexcept override {
    const float* dt = Rows(*this, scratch, run.frames).projected + dt_at() + (run.frames - 1) * stride();
    return {sum_of_squares(run.scan_state, scan_floats_) / float(config_.d_inner() * config_.d_state),
            mean(dt, size_t(config_.heads))};
  }

 private:
  // Contiguous channels of one head.
  struct HeadRun {
    size_t begin, channels, head;
  };

  // The block's intermediate values in scratch. A projected row is x, B, C, z, dt; dt and decay are per channel.
  struct Rows {
    float *projected, *xbc, *y, *dt, *decay, *head_decay, *scale;
    Rows(const Mamba2& m, float* scratch, size_t frames) {
      const size_t spread_floats = m.heads_in_lanes_ ? 0 : frames * m.channels_;
      projected = scratch;
      xbc = projected + frames * m.stride();
      y = xbc + frames * m.conv_.width();
      dt = y + frames * m.channels_;
      decay = dt + spread_floats;
      head_decay = decay + spread_floats;
      scale = head_decay + frames * m.heads_width_;
    }
  };

  std::vector<int> conv_source() const {
    const int inner = config_.d_inner(), bc = config_.ngroups * config_.d_state;
    std::vector<int> source = ranges_.source();
    append(source, iota(bc, inner), bc_width_);
    append(source, iota(bc, inner + bc), bc_width_);
    return source;
  }

  // One range after another, each as state_index says.
  size_t state_place(size_t place, size_t n) const {
    const size_t width = ranges_.padded_width, states = size_t(config_.d_state);
    return place / width * width * states + state_index(place % width, n, width, states);
  }

  size_t stride() const { return in_proj_.d_out; }
  size_t dt_at() const { return conv_.width() + channels_; }

  void project(const float* in, size_t frames, float* projected, float* scale) const noexcept {
    if (norm_eps_) kernels_.rms_scale(*norm_eps_, size_t(config_.d_model), stride_in(), in, stride_in(), scale, frames);
    kernels_.linear(in_proj_, norm_eps_ ? scale : nullptr, in, stride_in(), projected, stride(), frames, false);
  }

  // Copies the value of each head to all its channels, but not to the padding.
  void spread(const float* heads, float* out) const noexcept {
    for (const HeadRun& run : head_runs_) std::fill_n(out + run.begin, run.channels, heads[run.head]);
  }

  SsdKernel scan(const Rows& rows, size_t range) const noexcept {
    const size_t at = range * ranges_.padded_width, group = range * size_t(config_.ngroups) / ranges_.count,
                 states = size_t(config_.d_state);
    const float* B = rows.xbc + channels_ + group * states;
    SsdKernel s{ranges_.padded_width,
                states,
                at * states,
                0,
                D_.data() + at,
                nullptr,
                nullptr,
                rows.xbc + at,
                0,
                0,
                conv_.width(),
                B,
                B + bc_width_,
                conv_.width(),
                rows.y + at,
                channels_};
    if (heads_in_lanes_) {
      const size_t head = range * ranges_.width / size_t(config_.headdim);
      s.headdim = size_t(config_.headdim);
      s.decay = rows.head_decay + head, s.stride = heads_width_;
      s.dt = rows.projected + dt_at() + head, s.dt_stride = stride();
    } else {
      s.decay = rows.decay + at, s.dt = rows.dt + at;
      s.stride = s.dt_stride = channels_;
    }
    return s;
  }

  const Kernels& kernels_;
  Mamba2Config config_;
  std::optional<float> norm_eps_;
  ChannelRanges ranges_;
  size_t channels_, norm_groups_, bc_width_, heads_width_;
  bool heads_in_lanes_, folds_gated_norm_ = false;
  std::vector<int> conv_source_;
  CausalConv conv_;
  PackedLinear in_proj_, out_proj_;
  AlignedFloats norm_, dt_bias_, a_, D_;  // a: A log2(e), per head
  std::vector<HeadRun> head_runs_;
};

}  // namespace

static AnyPart compile_part(const Mamba2Config& config, const PlannedPart& place, const Build& build) {
  return std::make_unique<Mamba2>(config, place.traits, FoldedNorm(place.norm, build.checkpoint), build);
}
template AnyPart make_part(const Mamba2Config&, const PlannedPart&, const Build&);

}  // namespace coil::ssm
