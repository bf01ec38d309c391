// Builds the parts of a network on the GPU and runs their kernels in order.
#include "gpu/part.h"

#include <algorithm>
#include <cmath>
#include <complex>
#include <type_traits>

#include "gpu/attention.h"
#include "gpu/conv.h"
#include "gpu/linear.h"
#include "gpu/mamba1_fused.h"
#include "gpu/mamba3_part.h"
#include "gpu/mlp.h"
#include "gpu/scan.h"
#include "gpu/ssd.h"
#include "ssm/kernels/kernels.h"
#include "ssm/model/s4d_bank.h"

namespace coil::gpu {
namespace {

using Complex = std::complex<double>;

size_t aligned(size_t floats) { return Scratch::aligned(floats); }

class LinearPart final : public Part {
 public:
  LinearPart(const ssm::LinearConfig& config, const Build& build)
      : Part(config.d_in, config.d_out), linear_(config, nullptr, build.precision, build.checkpoint) {}
  void run(const Segment& s, const float* in, float* out) const override {
    run_linear(linear_, in, width_in, out, width_out, s.plan.rows(), false, s.stream);
  }

 private:
  Linear linear_;
};

class RmsNormPart final : public Part {
 public:
  RmsNormPart(const ssm::RmsNormConfig& config, const ssm::Checkpoint& checkpoint)
      : Part(config.width, config.width), eps_(config.eps) {
    if (config.affine) weight_ = uploaded(checkpoint.floats(config.name + ".weight", {config.width}));
  }
  void run(const Segment& s, const float* in, float* out) const override {
    run_rms_norm(weight_.data(), eps_, 1, width_in, in, width_in, out, width_out, s.plan.rows(), s.stream);
  }

 private:
  float eps_;
  DeviceFloats weight_;
};

class LayerNormPart final : public Part {
 public:
  LayerNormPart(const ssm::RmsNormConfig& config, const ssm::Checkpoint& checkpoint)
      : Part(config.width, config.width), eps_(config.eps) {
    if (!config.affine) return;
    weight_ = uploaded(checkpoint.floats(config.name + ".weight", {config.width}));
    bias_ = uploaded(checkpoint.floats(config.name + ".bias", {config.width}));
  }
  void run(const Segment& s, const float* in, float* out) const override {
    run_layer_norm(weight_.data(), bias_.data(), eps_, width_in, in, out, s.plan.rows(), s.stream);
  }

 private:
  float eps_;
  DeviceFloats weight_, bias_;
};

// f(x), or f of one half of the columns times the other: glu takes f of the second half, the others of the first.
class ActivationPart final : public Part {
 public:
  explicit ActivationPart(const ssm::ActivationConfig& config)
      : Part(config.width_in, config.width_out), kind_(config.kind) {}
  void run(const Segment& s, const float* in, float* out) const override {
    const bool halves = width_in > width_out, second = kind_ == ssm::Activation::glu;
    const float *activated = halves && second ? in + width_out : in, *factor = second ? in : in + width_out;
    run_activation(kind_, activated, width_in, halves ? factor : nullptr, width_in, out, width_out, width_out,
                   s.plan.rows(), s.stream);
  }

 private:
  ssm::Activation kind_;
};

class TapPart final : public Part {
 public:
  explicit TapPart(const ssm::TapConfig& config) : Part(config.width_in, config.width_out()), config_(config) {}
  const ssm::TapConfig* tap() const override { return &config_; }
  void run(const Segment& s, const float* in, float* out) const override {
    using ssm::TapConfig;
    const float* rows = config_.from == TapConfig::From::layer          ? s.earlier.layer
                        : config_.from == TapConfig::From::layer_before ? s.earlier.layer_before
                                                                        : s.earlier.network;
    const int width = config_.width, at = config_.how == TapConfig::How::append ? width_in : 0;
    if (config_.how != TapConfig::How::replace)
      run_copy(in, width_in, out, width_out, width_in, s.plan.rows(), s.stream);
    if (config_.how == TapConfig::How::add)
      run_add(rows, width, out, width_out, width, s.plan.rows(), s.stream);
    else
      run_copy(rows, width, out + at, width_out, width, s.plan.rows(), s.stream);
  }

 private:
  ssm::TapConfig config_;
};

class FilmPart final : public Part {
 public:
  FilmPart(const ssm::FilmConfig& config, int at) : Part(config.width, config.width), at_(at) {}
  void run(const Segment& s, const float* in, float* out) const override {
    run_film(s.film, at_, at_ + int(ssm::padded(size_t(width_in))), in, out, width_in, s.stream);
  }

 private:
  int at_;
};

// film_at: where the slice of the film part before this part starts.
class RestTanhPart final : public Part {
 public:
  RestTanhPart(const ssm::RestTanhConfig& config, std::optional<size_t> film_at, const ssm::Checkpoint& checkpoint)
      : Part(config.width, config.width),
        film_at_(film_at),
        bias_(uploaded(checkpoint.floats(config.bias, {config.width}))) {}
  void run(const Segment& s, const float* in, float* out) const override {
    if (!film_at_) return run_tanh_rest(bias_.data(), in, out, width_in, s.plan.rows(), s.stream);
    run_tanh_rest(s.film, int(*film_at_), int(*film_at_ + ssm::padded(size_t(width_in))), bias_.data(), in, out,
                  width_in, s.stream);
  }

 private:
  std::optional<size_t> film_at_;
  DeviceFloats bias_;
};

// The state is upstream's divided by the layout's scale, as in the CPU engine: h = x / b, so that h' = z h + u.
class S4dPart final : public Part {
 public:
  S4dPart(const ssm::S4dConfig& config, const ssm::PartTraits& traits, const Build& build)
      : Part(config.channels, config.channels), config_(config), scan_at_(build.states.add(traits.region("ssm"))) {
    const ssm::S4dBank bank = ssm::s4d_bank(config, build.checkpoint);
    std::vector<float> z, z_chunk, c;
    const auto push = [&](std::vector<float>& to, Complex value) {
      to.push_back(float(value.real()));
      if (config.complex) to.push_back(float(value.imag()));
    };
    for (size_t i = 0; i < bank.z.size(); ++i) {
      push(z, bank.z[i]);
      push(z_chunk, bank.z[i] == 0.0 ? 0.0 : std::pow(bank.z[i], double(build.chunk_frames)));
      push(c, Complex(std::complex<float>(bank.b[i])) * bank.C[i]);
    }
    z_ = uploaded(z), z_chunk_ = uploaded(z_chunk), c_ = uploaded(c);
    D_ = uploaded(std::vector<float>(bank.D.begin(), bank.D.end()));
  }

  size_t scratch_floats(const Extent& e) const override { return ScanScratch::floats(e, states(), 0); }

  void run(const Segment& s, const float* in, float* out) const override {
    const S4dArguments bank{config_.channels, config_.modes,
                            config_.complex,  z_.data(),
                            c_.data(),        z_chunk_.data(),
                            D_.data(),        in,
                            width_in,         out,
                            width_out,        s.table + scan_at_,
                            s.table_stride};
    run_s4d(bank, ScanScratch(s.scratch, s.plan.extent(), states()), s.plan, s.stream);
  }

 private:
  size_t states() const { return size_t(config_.channels) * size_t(config_.modes) * (config_.complex ? 2 : 1); }

  ssm::S4dConfig config_;
  size_t scan_at_;
  DeviceFloats z_, z_chunk_, c_, D_;
};

// Where the history of a convolution starts in the table of states. Without taps there is no history, and no kernel
// reads it.
size_t history_place(const ssm::PartTraits& traits, StateTable& states) {
  return traits.history_frames > 0 ? states.add(traits.region("conv")) : states.stride();
}

// The weights of a convolution before a scan, and the place of its history.
struct ConvWeights {
  int channels, taps;
  DeviceFloats weight, bias;
  size_t history_at;

  ConvWeights(const std::string& name, const ssm::PartTraits& traits, int channels_, bool with_bias, const Build& build)
      : channels(channels_), taps(traits.history_frames), history_at(history_place(traits, build.states)) {
    if (taps == 0) return;
    const std::vector<float> by_channel = build.checkpoint.floats(name + ".conv1d.weight", {channels, 1, taps});
    std::vector<float> by_tap;
    for (int j = 0; j < taps; ++j)
      for (int c = 0; c < channels; ++c) by_tap.push_back(by_channel[size_t(c * taps + j)]);
    weight = uploaded(by_tap);
    if (with_bias) bias = uploaded(build.checkpoint.floats(name + ".conv1d.bias", {channels}));
  }

  // From x to y.
  ConvArguments on(const Segment& s, const float* x, int x_stride, float* y) const {
    return {weight.data(), bias.data(), channels, taps, x, x_stride, y, channels, s.table + history_at, s.table_stride};
  }
};

std::vector<float> negative_exponentials(const std::vector<double>& logs) {
  std::vector<float> a;
  for (const double log : logs) a.push_back(float(-std::exp(log) * M_LOG2E));
  return a;
}

// Mamba-1 of any size, including FalconMamba with its norms.
class Mamba1Part final : public Part {
 public:
  Mamba1Part(const ssm::Mamba1Config& c, const ssm::PartTraits& traits, const Build& build)
      : Part(c.d_model, c.d_model),
        config_(c),
        in_proj_({c.name + ".in_proj", c.d_model, 2 * c.d_inner, c.bias}, nullptr, build.precision, build.checkpoint),
        x_proj_({c.name + ".x_proj", c.d_inner, c.dt_rank + 2 * c.d_state, c.x_proj_bias}, nullptr, build.precision,
                build.checkpoint),
        dt_proj_({c.name + ".dt_proj", c.dt_rank, c.d_inner, false}, nullptr, build.precision, build.checkpoint),
        out_proj_({c.name + ".out_proj", c.d_inner, c.d_model, c.bias}, nullptr, build.precision, build.checkpoint),
        conv_(c.name, traits, c.d_inner, c.conv_bias, build),
        scan_at_(build.states.add(traits.region("ssm"))),
        a_(uploaded(negative_exponentials(build.checkpoint.doubles(c.name + ".A_log", {c.d_inner, c.d_state})))),
        dt_bias_(uploaded(build.checkpoint.floats(c.name + ".dt_proj.bias", {c.d_inner}))),
        D_(uploaded(build.checkpoint.floats(c.name + ".D", {c.d_inner}))) {
    if (!c.norm_weights) return;
    dt_norm_ = uploaded(build.checkpoint.floats(c.name + ".dt_layernorm.weight", {c.dt_rank}));
    b_norm_ = uploaded(build.checkpoint.floats(c.name + ".b_layernorm.weight", {c.d_state}));
    c_norm_ = uploaded(build.checkpoint.floats(c.name + ".c_layernorm.weight", {c.d_state}));
  }

  size_t scratch_floats(const Extent& e) const override {
    const size_t inner = size_t(config_.d_inner);
    return aligned(e.rows() * 2 * inner) + 3 * aligned(e.rows() * inner) + aligned(e.rows() * size_t(x_proj_.d_out)) +
           ScanScratch::floats(e, inner * size_t(config_.d_state), inner);
  }

  void run(const Segment& s, const float* in, float* out) const override {
    const int inner = config_.d_inner, rank = config_.dt_rank, states = config_.d_state, mixing = x_proj_.d_out;
    const size_t rows = s.plan.rows();
    Scratch scratch(s.scratch);
    float *xz = scratch.take(rows * 2 * size_t(inner)), *x = scratch.take(rows * size_t(inner)),
          *dt = scratch.take(rows * size_t(inner));
    float *y = scratch.take(rows * size_t(inner)), *projected = scratch.take(rows * size_t(mixing));
    const ScanScratch carries(scratch.take(0), s.plan.extent(), size_t(inner * states));

    run_linear_and_conv(in_proj_, in, width_in, xz, 2 * inner, conv_.on(s, xz, 2 * inner, x), s.plan, s.stream);
    run_linear(x_proj_, x, inner, projected, mixing, rows, false, s.stream);
    const auto normalise = [&](const DeviceFloats& weight, int at, int width) {
      if (config_.rms_eps)
        run_rms_norm(weight.data(), *config_.rms_eps, 1, width, projected + at, mixing, projected + at, mixing, rows,
                     s.stream);
    };
    normalise(dt_norm_, 0, rank), normalise(b_norm_, rank, states), normalise(c_norm_, rank + states, states);
    run_linear(dt_proj_, projected, mixing, dt, inner, rows, false, s.stream);
    run_time_step(dt_bias_.data(), 0.0f, HUGE_VALF, dt, inner, inner, rows, s.stream);
    ScanArguments scan{};
    scan.channels = inner, scan.d_state = states, scan.headdim = 1, scan.group_channels = inner;
    scan.a = a_.data(), scan.one_decay = false;
    scan.dt = dt, scan.dt_stride = inner, scan.u = x, scan.u_stride = inner;
    scan.B = projected + rank, scan.C = scan.B + states, scan.bc_stride = mixing;
    scan.D = D_.data(), scan.y = y, scan.y_stride = inner;
    scan.table = s.table + scan_at_, scan.table_stride = s.table_stride;
    run_scan(scan, carries, s.plan, s.stream);
    run_gate(xz + inner, 2 * inner, y, inner, inner, rows, s.stream);
    run_linear(out_proj_, y, inner, out, width_out, rows, false, s.stream);
  }

 private:
  ssm::Mamba1Config config_;
  Linear in_proj_, x_proj_, dt_proj_, out_proj_;
  ConvWeights conv_;
  size_t scan_at_;
  DeviceFloats a_, dt_bias_, D_, dt_norm_, b_norm_, c_norm_;
};

// Mamba-1 of the sizes that the two fused kernels support, with the norm before it, if any.
class FusedMamba1Part final : public Part {
 public:
  FusedMamba1Part(const ssm::Mamba1Config& c, const ssm::PlannedPart& place, bool whole_layer, const Build& build)
      : Part(c.d_model, c.d_model),
        mixer_(c, place.norm ? &*place.norm : nullptr, build.precision, build.checkpoint),
        conv_at_(history_place(place.traits, build.states)),
        scan_at_(build.states.add(place.traits.region("ssm"))),
        whole_layer_(whole_layer) {}

  size_t scratch_floats(const Extent& e) const override { return mixer_.scratch_floats(e); }
  void run(const Segment& s, const float* in, float* out) const override { run(s, in, out, false); }
  size_t chunks_at_once() const override { return mixer_.chunks_at_once(); }
  bool whole_layer() const override { return whole_layer_; }
  void run_layer(const Segment& s, float* h) const override { run(s, h, h, true); }

 private:
  void run(const Segment& s, const float* in, float* out, bool residual) const {
    mixer_.run(in, out, residual, s.table + conv_at_, s.table + scan_at_, s.table_stride, s.scratch, s.plan, s.stream);
  }

  FusedMamba1 mixer_;
  size_t conv_at_, scan_at_;
  bool whole_layer_;
};

// Mamba-2 of any size, with the norm before it, if any. Heads that the tensor core kernel does not support run as a
// scan. If there is a kernel for it, the gate is part of the output projection, and z is not stored.
class Mamba2Part final : public Part {
 public:
  Mamba2Part(const ssm::Mamba2Config& c, const ssm::PlannedPart& place, bool whole_layer, const Build& build)
      : Part(c.d_model, c.d_model),
        config_(c),
        precision_(build.precision),
        whole_layer_(whole_layer),
        conv_(c.name, place.traits, c.conv_channels(), c.conv_bias, build),
        scan_at_(build.states.add(place.traits.region("ssm"))),
        a_(uploaded(negative_exponentials(build.checkpoint.doubles(c.name + ".A_log", {c.heads})))),
        dt_bias_(uploaded(build.checkpoint.floats(c.name + ".dt_bias", {c.heads}))),
        D_(uploaded(build.checkpoint.floats(c.name + ".D", {c.heads}))) {
    const int inner = c.d_inner();
    const ssm::RmsNormConfig* norm = place.norm ? &*place.norm : nullptr;
    const ssm::LinearConfig in_proj = c.in_proj(), out_proj = c.out_proj();
    const ssm::RmsNormConfig gated_norm{c.name + ".norm", inner, c.norm_eps};
    const bool one_norm = c.norm_group_size == inner && c.gated_norm == ssm::GatedNorm::gate_then_norm;
    if (one_norm && in_matrix_form() && GatedProjection::serves(c.d_model, inner, precision_)) {
      gated_out_proj_.emplace(in_proj, norm, out_proj, gated_norm, precision_, build.checkpoint);
    } else {
      out_proj_.emplace(out_proj, one_norm ? &gated_norm : nullptr, precision_, build.checkpoint);
      if (!one_norm && c.gated_norm != ssm::GatedNorm::gate_alone)
        norm_ = uploaded(build.checkpoint.floats(gated_norm.name + ".weight", {inner}));
    }
    in_proj_ = Linear(in_proj, norm, precision_, build.checkpoint, gated_out_proj_ ? inner : 0);
  }

  size_t scratch_floats(const Extent& e) const override {
    const size_t inner = size_t(config_.d_inner());
    return aligned(e.rows() * size_t(in_proj_.d_out)) + aligned(e.rows() * size_t(conv_.channels)) +
           aligned(e.rows() * inner) + aligned(in_matrix_form() ? 0 : e.rows() * size_t(config_.heads)) +
           ScanScratch::floats(e, inner * size_t(config_.d_state), size_t(config_.heads));
  }

  void run(const Segment& s, const float* in, float* out) const override { run(s, in, out, false); }
  bool whole_layer() const override { return whole_layer_; }
  void run_layer(const Segment& s, float* h) const override { run(s, h, h, true); }

 private:
  bool in_matrix_form() const {
    return serves_ssd(config_.headdim, config_.d_inner() / config_.ngroups, config_.d_state);
  }

  void run(const Segment& s, const float* in, float* out, bool residual) const {
    const int inner = config_.d_inner(), heads = config_.heads, states = config_.d_state, width = in_proj_.d_out,
              convolved = conv_.channels;
    const size_t rows = s.plan.rows();
    Scratch scratch(s.scratch);
    float *projected = scratch.take(rows * size_t(width)), *x = scratch.take(rows * size_t(convolved)),
          *y = scratch.take(rows * size_t(inner));
    float* decay = scratch.take(in_matrix_form() ? 0 : rows * size_t(heads));
    const ScanScratch carries(scratch.take(0), s.plan.extent(), size_t(inner * states));
    float *z = gated_out_proj_ ? nullptr : projected, *to_convolve = gated_out_proj_ ? projected : projected + inner,
          *dt = to_convolve + convolved;

    run_linear_and_conv(in_proj_, in, width_in, projected, width, conv_.on(s, to_convolve, width, x), s.plan, s.stream);
    float *B = x + inner, *C = B + config_.ngroups * states;
    const bool norm_first = config_.gated_norm == ssm::GatedNorm::norm_then_gate;
    if (in_matrix_form()) {
      run_ssd({inner,
               states,
               config_.headdim,
               inner / config_.ngroups,
               a_.data(),
               dt,
               width,
               dt_bias_.data(),
               float(config_.dt_min),
               float(config_.dt_max),
               x,
               convolved,
               B,
               C,
               convolved,
               D_.data(),
               norm_first ? nullptr : z,
               width,
               y,
               inner,
               s.table + scan_at_,
               s.table_stride},
              precision_, carries, s.plan, s.stream);
    } else {
      run_time_step(dt_bias_.data(), float(config_.dt_min), float(config_.dt_max), dt, width, heads, rows, s.stream);
      run_decay(a_.data(), dt, width, decay, heads, rows, s.stream);
      ScanArguments scan{};
      scan.channels = inner, scan.d_state = states, scan.headdim = config_.headdim,
      scan.group_channels = inner / config_.ngroups;
      scan.a = a_.data(), scan.one_decay = true;
      scan.dt = dt, scan.dt_stride = width, scan.decay = decay, scan.decay_stride = heads, scan.u = x,
      scan.u_stride = convolved;
      scan.B = B, scan.C = C, scan.bc_stride = convolved;
      scan.D = D_.data(), scan.y = y, scan.y_stride = inner;
      scan.table = s.table + scan_at_, scan.table_stride = s.table_stride;
      run_scan(scan, carries, s.plan, s.stream);
      if (!norm_first) run_gate(z, width, y, inner, inner, rows, s.stream);
    }
    if (gated_out_proj_) {
      gated_out_proj_->run(in, y, out, rows, residual, s.stream);
      return;
    }
    if (norm_.size() > 0)
      run_rms_norm(norm_.data(), config_.norm_eps, inner / config_.norm_group_size, config_.norm_group_size, y, inner,
                   y, inner, rows, s.stream);
    if (norm_first) run_gate(z, width, y, inner, inner, rows, s.stream);
    run_linear(*out_proj_, y, inner, out, width_out, rows, residual, s.stream);
  }

  ssm::Mamba2Config config_;
  Precision precision_;
  bool whole_layer_;
  Linear in_proj_;
  std::optional<GatedProjection> gated_out_proj_;
  std::optional<Linear> out_proj_;  // unless gated_out_proj_ exists
  DeviceFloats norm_;               // unless it is part of out_proj_, or there is none
  ConvWeights conv_;
  size_t scan_at_;
  DeviceFloats a_, dt_bias_, D_;
};

// What a part is built from; one function per kind. A config of several parts appends all of them.
struct Maker {
  const ssm::PlannedPart& place;
  bool alone;  // whether it is the only part of a residual layer
  const Build& build;
  Layer& layer;

  template <class Made, class... Arguments>
  void append(const Arguments&... arguments) const {
    layer.parts.push_back(std::make_unique<Made>(arguments...));
  }

  void operator()(const ssm::LinearConfig& c) const { append<LinearPart>(c, build); }
  void operator()(const ssm::RmsNormConfig& c) const { layer.parts.push_back(make_norm(c, build.checkpoint)); }
  void operator()(const ssm::ActivationConfig& c) const { append<ActivationPart>(c); }
  void operator()(const ssm::TapConfig& c) const { append<TapPart>(c); }
  void operator()(const ssm::MlpConfig& c) const { layer.parts.push_back(make_mlp(c, build)); }
  void operator()(const ssm::MoeConfig& c) const { layer.parts.push_back(make_moe(c, build)); }
  void operator()(const ssm::AttentionConfig& c) const {
    layer.parts.push_back(make_attention(c, place.traits, build));
  }
  void operator()(const ssm::FilmConfig& c) const { append<FilmPart>(c, int(*place.film_at)); }
  void operator()(const ssm::RestTanhConfig& c) const { append<RestTanhPart>(c, place.film_at, build.checkpoint); }
  void operator()(const ssm::S4dConfig& c) const { append<S4dPart>(c, place.traits, build); }
  void operator()(const ssm::Mamba1Config& c) const {
    if (FusedMamba1::serves(c, build.precision)) return append<FusedMamba1Part>(c, place, alone, build);
    if (place.norm) append<RmsNormPart>(*place.norm, build.checkpoint);
    append<Mamba1Part>(c, place.traits, build);
  }
  void operator()(const ssm::Mamba2Config& c) const { append<Mamba2Part>(c, place, alone, build); }
  void operator()(const ssm::Mamba3Config& c) const { layer.parts.push_back(make_mamba3(c, place, build)); }
  void operator()(const ssm::GatedConfig&) const {
    throw Error("a gated part is only allowed in the slow path, which the CPU runs");
  }
};

}  // namespace

size_t StateTable::add(const ssm::StateRegion& region) {
  const auto found = std::ranges::find(layout_.tensors, region.name, &ssm::StateTensor::name);
  entries_.push_back({&*found, stride_});
  return std::exchange(stride_, stride_ + aligned(found->position.size()));
}

const ssm::StateTensor& StateTable::tensor(const std::string& name) const {
  return *std::find_if(entries_.begin(), entries_.end(), [&](const Entry& e) {
            return e.tensor->name == name;
          })->tensor;
}

void StateTable::read(const ssm::State& state, float* row) const {
  for (const auto& [tensor, at] : entries_)
    for (size_t i = 0; i < tensor->position.size(); ++i)
      row[at + i] = state.data()[tensor->offset + tensor->position[i]];
}

void StateTable::write(const float* row, ssm::State& state) const {
  for (const auto& [tensor, at] : entries_)
    for (size_t i = 0; i < tensor->position.size(); ++i)
      state.data()[tensor->offset + tensor->position[i]] = row[at + i];
}

std::unique_ptr<Part> make_norm(const ssm::RmsNormConfig& config, const ssm::Checkpoint& checkpoint) {
  if (config.centred) return std::make_unique<LayerNormPart>(config, checkpoint);
  return std::make_unique<RmsNormPart>(config, checkpoint);
}

Layer make_layer(const ssm::PlannedLayer& planned, const Build& build) {
  Layer layer{planned.residual, {}};
  const bool alone = planned.residual && planned.parts.size() == 1;
  for (const ssm::PlannedPart& place : planned.parts) std::visit(Maker{place, alone, build, layer}, place.config);
  return layer;
}

}  // namespace coil::gpu
