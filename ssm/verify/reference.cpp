// The specification: every model as a plain step-by-step recurrence in double precision, written for readability.
#include "ssm/verify/reference.h"

#include <algorithm>
#include <cmath>
#include <complex>
#include <numbers>
#include <utility>

#include "ssm/model/description.h"
#include "ssm/model/linear_weights.h"
#include "ssm/model/plan.h"
#include "ssm/model/routing.h"
#include "base/error.h"

namespace coil::ssm {
namespace {

using Vector = std::vector<double>;

// ---- scalar functions

double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

double silu(double x) { return x * sigmoid(x); }

// log(1 + e^x); beyond 30 the 1 is smaller than the rounding error.
double softplus(double x) { return x > 30 ? x : std::log1p(std::exp(x)); }

// x Phi(x), Phi the normal distribution. Source: Hendrycks & Gimpel 2016.
double gelu(double x) { return 0.5 * x * (1 + std::erf(x / std::numbers::sqrt2)); }

// e^z - 1 without cancellation near 0: (expm1(a) cos b - 2 sin^2(b / 2)) + i e^a sin b.
std::complex<double> expm1(std::complex<double> z) {
  const double a = z.real(), b = z.imag(), half = std::sin(b / 2);
  return {std::expm1(a) * std::cos(b) - 2 * half * half, std::exp(a) * std::sin(b)};
}

// x / sqrt(mean(x^2) + eps). Source: Zhang & Sennrich 2019, eq. 4.
Vector rms_normalised(const Vector& x, double eps) {
  double sum = 0;
  for (double v : x) sum += v * v;
  const double scale = 1 / std::sqrt(sum / static_cast<double>(x.size()) + eps);
  Vector y = x;
  for (double& v : y) v *= scale;
  return y;
}

Vector slice(const Vector& x, size_t begin, size_t count) {
  return Vector(x.begin() + static_cast<std::ptrdiff_t>(begin), x.begin() + static_cast<std::ptrdiff_t>(begin + count));
}

void append(Vector& x, const Vector& more) { x.insert(x.end(), more.begin(), more.end()); }

// ---- weights

// "kernel.C" with an empty prefix is the file's own kernel.C.
std::string below(const std::string& prefix, const std::string& name) {
  return prefix.empty() ? name : prefix + "." + name;
}

Vector weights(const Checkpoint& checkpoint, const std::string& name, std::vector<int64_t> shape) {
  return checkpoint.doubles(name, shape);
}

// ---- stateless parts

// y = W x + b
struct Linear {
  size_t d_in, d_out;
  Vector weight, bias;  // (d_out, d_in), (d_out) or empty

  Linear(const Checkpoint& checkpoint, const LinearConfig& config)
      : d_in(static_cast<size_t>(config.d_in)), d_out(static_cast<size_t>(config.d_out)) {
    LinearWeights<double> w = linear_weights<double>(config, checkpoint);
    weight = std::move(w.weight), bias = std::move(w.bias);
  }

  Linear(const Checkpoint& checkpoint, const std::string& name, int in, int out, bool with_bias)
      : Linear(checkpoint, LinearConfig{name, in, out, with_bias}) {}

  Vector operator()(const Vector& x) const {
    Vector y = bias.empty() ? Vector(d_out, 0) : bias;
    for (size_t row = 0; row < d_out; ++row)
      for (size_t col = 0; col < d_in; ++col) y[row] += weight[row * d_in + col] * x[col];
    return y;
  }
};

// A part of a layer: one frame in, one frame out, and the memory between frames.
class PartRunner {
 public:
  virtual ~PartRunner() = default;
  // `film` is the whole FiLM vector of this frame.
  virtual Vector step(const Vector& x, const Vector& film) = 0;
  virtual void reset() {}
  // The values of its state regions, in the plan's order.
  virtual std::vector<Vector> state() const { return {}; }
  virtual const class TapPart* tap() const { return nullptr; }
};

class LinearPart : public PartRunner {
 public:
  LinearPart(const Checkpoint& checkpoint, const LinearConfig& config) : linear_(checkpoint, config) {}
  Vector step(const Vector& x, const Vector&) override { return linear_(x); }

 private:
  Linear linear_;
};

// y = x / sqrt(mean(x^2) + eps) * weight, or LayerNorm: y = (x - mean(x)) / sqrt(var(x) + eps) * weight + bias.
class RmsNormPart : public PartRunner {
 public:
  RmsNormPart(const Checkpoint& checkpoint, const RmsNormConfig& config)
      : eps_(static_cast<double>(config.eps)), centred_(config.centred) {
    if (config.affine) weight_ = weights(checkpoint, below(config.name, "weight"), {config.width});
    if (config.affine && centred_) bias_ = weights(checkpoint, below(config.name, "bias"), {config.width});
  }

  Vector step(const Vector& x, const Vector&) override {
    double mean = 0;
    for (double v : x) mean += centred_ ? v / static_cast<double>(x.size()) : 0;
    Vector y = x;
    for (double& v : y) v -= mean;
    y = rms_normalised(y, eps_);
    for (size_t i = 0; i < weight_.size(); ++i) y[i] = y[i] * weight_[i] + (bias_.empty() ? 0 : bias_[i]);
    return y;
  }

 private:
  double eps_;
  bool centred_;
  Vector weight_, bias_;
};

// gelu_tanh: 0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))). Source: Hendrycks & Gimpel 2016, sec. 2. relu2: max(x,
// 0)^2.
double activated(Activation kind, double x) {
  switch (kind) {
    case Activation::tanh:
      return std::tanh(x);
    case Activation::gelu:
      return gelu(x);
    case Activation::silu:
      return silu(x);
    case Activation::glu:
      return sigmoid(x);
    case Activation::gelu_tanh:
      return 0.5 * x * (1 + std::tanh(std::sqrt(2 / std::numbers::pi) * (x + 0.044715 * x * x * x)));
    case Activation::relu:
      return std::max(x, 0.0);
    case Activation::relu2:
      return std::max(x, 0.0) * std::max(x, 0.0);
  }
  return x;
}

// One value each; gated: f(first half) * second half; glu: first half * sigmoid(second half). Source: Dauphin et al.
// 2016, eq. 1; Shazeer 2020, eq. 6.
class ActivationPart : public PartRunner {
 public:
  explicit ActivationPart(const ActivationConfig& config) : config_(config) {}

  Vector step(const Vector& x, const Vector&) override {
    Vector y(static_cast<size_t>(config_.width_out));
    for (size_t i = 0; i < y.size(); ++i) {
      const double second = y.size() < x.size() ? x[y.size() + i] : 1;
      if (config_.kind == Activation::glu)
        y[i] = x[i] * sigmoid(second);
      else
        y[i] = activated(config_.kind, x[i]) * (config_.gated ? second : 1);
    }
    return y;
  }

 private:
  ActivationConfig config_;
};

// down(f(gate(x)) * up(x)), or down(f(up(x)))
class MlpPart : public PartRunner {
 public:
  MlpPart(const Checkpoint& checkpoint, const MlpConfig& config)
      : activation_(config.activation), up_(checkpoint, config.up), down_(checkpoint, config.down) {
    if (config.gate) gate_.emplace(checkpoint, *config.gate);
  }

  Vector operator()(const Vector& x) const {
    Vector y = up_(x);
    const Vector gate = gate_ ? (*gate_)(x) : Vector();
    for (size_t i = 0; i < y.size(); ++i)
      y[i] = gate_ ? activated(activation_, gate[i]) * y[i] : activated(activation_, y[i]);
    return down_(y);
  }
  Vector step(const Vector& x, const Vector&) override { return (*this)(x); }

 private:
  Activation activation_;
  std::optional<Linear> gate_;
  Linear up_, down_;
};

// sum over the chosen experts of weight * expert(x), plus shared(x). ssm/model/routing.h chooses the experts.
class MoePart : public PartRunner {
 public:
  MoePart(const Checkpoint& checkpoint, const MoeConfig& config) : config_(config), router_(checkpoint, config.router) {
    if (!config.correction.empty())
      correction_ = weights(checkpoint, config.correction, {static_cast<int64_t>(config.experts.size())});
    for (const MlpConfig& expert : config.experts) experts_.emplace_back(checkpoint, expert);
    if (config.shared) shared_.emplace(checkpoint, *config.shared);
    if (config.latent_in) latent_in_.emplace(checkpoint, *config.latent_in);
    if (config.latent_out) latent_out_.emplace(checkpoint, *config.latent_out);
  }

  Vector step(const Vector& x, const Vector&) override {
    Vector weight = router_(x);
    route<double>(config_, correction_, weight);
    const Vector inner = latent_in_ ? (*latent_in_)(x) : x;
    Vector sum(inner.size(), 0);
    for (size_t e = 0; e < experts_.size(); ++e) {
      if (weight[e] == 0) continue;
      const Vector y = experts_[e](inner);
      for (size_t i = 0; i < sum.size(); ++i) sum[i] += weight[e] * y[i];
    }
    Vector y = latent_out_ ? (*latent_out_)(sum) : sum;
    if (shared_) {
      const Vector more = (*shared_)(x);
      for (size_t i = 0; i < y.size(); ++i) y[i] += more[i];
    }
    return y;
  }

 private:
  MoeConfig config_;
  Linear router_;
  Vector correction_;
  std::vector<MlpPart> experts_;
  std::optional<MlpPart> shared_;
  std::optional<Linear> latent_in_, latent_out_;
};

// Layers::step passes in the rows that it reads.
class TapPart : public PartRunner {
 public:
  explicit TapPart(const TapConfig& config) : config_(config) {}
  const TapPart* tap() const override { return this; }
  TapConfig::From from() const { return config_.from; }

  Vector taken(const Vector& x, const Vector& source) const {
    Vector y = config_.how == TapConfig::How::replace ? Vector() : x;
    if (config_.how != TapConfig::How::add) {
      append(y, source);
      return y;
    }
    for (size_t i = 0; i < y.size(); ++i) y[i] += source[i];
    return y;
  }
  Vector step(const Vector& x, const Vector&) override { return x; }

 private:
  TapConfig config_;
};

double film_value(const FilmConfig& config, size_t i, double x, const Vector& film) {
  const size_t scale = static_cast<size_t>(config.offset) + i;
  return (1 + film[scale]) * x + film[scale + static_cast<size_t>(config.width)];
}

// y = tanh(x) - tanh(x0), x0 = b or (1 + scale) b + shift: the value of x if the input of the preceding linear part is
// 0.
class RestTanhPart : public PartRunner {
 public:
  RestTanhPart(const Checkpoint& checkpoint, const RestTanhConfig& config)
      : config_(config), bias_(weights(checkpoint, config.bias, {config.width})) {}

  Vector step(const Vector& x, const Vector& film) override {
    Vector y(x.size());
    for (size_t i = 0; i < x.size(); ++i)
      y[i] = std::tanh(x[i]) - std::tanh(config_.film ? film_value(*config_.film, i, bias_[i], film) : bias_[i]);
    return y;
  }

 private:
  RestTanhConfig config_;
  Vector bias_;
};

// y = (1 + scale) x + shift. Source: Perez et al. 2017, with a scale relative to 1.
class FilmPart : public PartRunner {
 public:
  explicit FilmPart(const FilmConfig& config) : config_(config) {}

  Vector step(const Vector& x, const Vector& film) override {
    Vector y(x.size());
    for (size_t i = 0; i < x.size(); ++i) y[i] = film_value(config_, i, x[i], film);
    return y;
  }

 private:
  FilmConfig config_;
};

// ---- mixers

// Diagonal state space, per channel c and mode n: dt = exp(log_dt_c), A = -exp(log_A_real) [+ i A_imag], B = 1;
//   zoh       x' = e^(dt A) x + (e^(dt A) - 1) / A u
//   bilinear  x' = (1 + dt A / 2) / (1 - dt A / 2) x + dt / (1 - dt A / 2) u
//   complex   y = 2 Re(sum_n C x') + D u      (each mode stands for a conjugate pair)
//   real      y = sum_n C x' + D u
// At another sample rate, s = own rate / rate (step_scale): x' = z(s dt) x + s b(dt) u with z and b as above, and
//   D' = D + Re(sum_n C b(dt) (1 / (1 - z(dt)) - s / (1 - z(s dt))))      (twice that if complex)
// so that the impulse response is that of the own rate, sampled at the other rate's frames, and a constant passes
// unchanged. Source: Gu, Gupta, Goel & Re 2022 ("On the Parameterization and Initialization of Diagonal State Space
// Models"), sec. 3.
class S4dPart : public PartRunner {
 public:
  S4dPart(const Checkpoint& checkpoint, const S4dConfig& config)
      : config_(config), channels_(static_cast<size_t>(config.channels)), modes_(static_cast<size_t>(config.modes)) {
    const int64_t channels = config.channels, modes = config.modes;
    const auto tensor = [&](const std::string& name, std::vector<int64_t> shape) {
      return weights(checkpoint, below(config.name, name), std::move(shape));
    };
    const Vector log_dt = tensor("kernel.log_dt", {channels});
    const Vector log_a_real = tensor("kernel.log_A_real", {channels, modes});
    const Vector a_imag = config.complex ? tensor("kernel.A_imag", {channels, modes}) : Vector();
    const Vector c = config.complex ? tensor("kernel.C", {channels, modes, 2}) : tensor("kernel.C", {channels, modes});
    skip_ = tensor("D", {channels});
    decay_.resize(channels_ * modes_);
    gain_.resize(channels_ * modes_);
    c_.resize(channels_ * modes_);
    for (size_t i = 0; i < decay_.size(); ++i) {
      const double dt = std::exp(log_dt[i / modes_]), s = config.step_scale;
      const std::complex<double> a(-std::exp(log_a_real[i]), config.complex ? a_imag[i] : 0.0);
      const bool zoh = config.discretization == Discretization::zoh;
      const auto decay = [&](double step) {
        return zoh ? std::exp(step * a) : (1.0 + step * a / 2.0) / (1.0 - step * a / 2.0);
      };
      const auto one_minus_decay = [&](double step) {
        return zoh ? -expm1(step * a) : -step * a / (1.0 - step * a / 2.0);
      };
      const std::complex<double> b = zoh ? expm1(dt * a) / a : dt / (1.0 - dt * a / 2.0);
      decay_[i] = decay(s * dt);
      gain_[i] = s * b;
      c_[i] = config.complex ? std::complex<double>(c[2 * i], c[2 * i + 1]) : std::complex<double>(c[i]);
      skip_[i / modes_] +=
          (config.complex ? 2 : 1) * (c_[i] * b * (1.0 / one_minus_decay(dt) - s / one_minus_decay(s * dt))).real();
    }
    S4dPart::reset();
  }

  Vector step(const Vector& u, const Vector&) override {
    Vector y(channels_);
    for (size_t c = 0; c < channels_; ++c) {
      std::complex<double> sum = 0;
      for (size_t i = c * modes_; i < (c + 1) * modes_; ++i) {
        state_[i] = decay_[i] * state_[i] + gain_[i] * u[c];
        sum += c_[i] * state_[i];
      }
      y[c] = (config_.complex ? 2 : 1) * sum.real() + skip_[c] * u[c];
    }
    return y;
  }

  void reset() override { state_.assign(channels_ * modes_, 0); }

  std::vector<Vector> state() const override {
    Vector values;
    for (const auto& x : state_) {
      values.push_back(x.real());
      if (config_.complex) values.push_back(x.imag());
    }
    return {values};
  }

 private:
  S4dConfig config_;
  size_t channels_, modes_;
  std::vector<std::complex<double>> decay_, gain_, c_, state_;
  Vector skip_;
};

// y_c = silu(sum_j w_{c,j} x_{c, t - (taps - 1) + j} + b_c); without taps y = silu(x). In attention y has no silu.
// The memory is upstream's: the last `taps` inputs of each channel, newest last, including the current frame.
class CausalConv {
 public:
  CausalConv(const Checkpoint& checkpoint, const std::string& prefix, int channels, int taps, bool bias)
      : channels_(static_cast<size_t>(channels)), taps_(static_cast<size_t>(taps)) {
    if (taps == 0) return;
    weight_ = weights(checkpoint, prefix + ".weight", {channels, 1, taps});
    if (bias) bias_ = weights(checkpoint, prefix + ".bias", {channels});
    reset();
  }

  Vector step(const Vector& x) {
    Vector y = sums(x);
    for (double& value : y) value = silu(value);
    return y;
  }

  Vector sums(const Vector& x) {
    Vector y(channels_);
    for (size_t c = 0; c < channels_; ++c) {
      double sum = bias_.empty() ? 0 : bias_[c];
      if (taps_ == 0) sum = x[c];
      for (size_t j = 0; j < taps_; ++j) {
        double& memory = memory_[c * taps_ + j];
        memory = j + 1 < taps_ ? memory_[c * taps_ + j + 1] : x[c];
        sum += weight_[c * taps_ + j] * memory;
      }
      y[c] = sum;
    }
    return y;
  }

  void reset() { memory_.assign(channels_ * taps_, 0); }

  const Vector& memory() const { return memory_; }

  // The convolution's region, if there is one, then the scan's.
  std::vector<Vector> state_with(const Vector& scan) const {
    if (taps_ == 0) return {scan};
    return {memory_, scan};
  }

 private:
  size_t channels_, taps_;
  Vector weight_, bias_, memory_;
};

// Mamba-1, selective state space with one step size per channel:
//   (x, z) = in_proj(u);  x = silu(conv(x));  (t, B, C) = x_proj(x)  [each RMS-normed: FalconMamba, and Jamba with
//   weights]
//   dt = softplus(dt_proj(t));  A = -exp(A_log)
//   h = exp(dt A) h + dt B x;   y = C h + D x;   out = out_proj(y * silu(z))
// Source: Gu & Dao 2023, alg. 2; state-spaces/mamba mamba_simple.py; for the norms Zuo et al. 2024 (Falcon Mamba), sec.
// 2.
class Mamba1Part : public PartRunner {
 public:
  Mamba1Part(const Checkpoint& checkpoint, const Mamba1Config& config)
      : config_(config),
        inner_(static_cast<size_t>(config.d_inner)),
        modes_(static_cast<size_t>(config.d_state)),
        rank_(static_cast<size_t>(config.dt_rank)),
        in_proj_(checkpoint, below(config.name, "in_proj"), config.d_model, 2 * config.d_inner, config.bias),
        conv_(checkpoint, below(config.name, "conv1d"), config.d_inner, config.d_conv, config.conv_bias),
        x_proj_(checkpoint, below(config.name, "x_proj"), config.d_inner, config.dt_rank + 2 * config.d_state,
                config.x_proj_bias),
        dt_proj_(checkpoint, below(config.name, "dt_proj"), config.dt_rank, config.d_inner, true),
        a_(weights(checkpoint, below(config.name, "A_log"), {config.d_inner, config.d_state})),
        skip_(weights(checkpoint, below(config.name, "D"), {config.d_inner})),
        out_proj_(checkpoint, below(config.name, "out_proj"), config.d_inner, config.d_model, config.bias) {
    for (double& a : a_) a = -std::exp(a);
    if (config.norm_weights) {
      t_norm_ = weights(checkpoint, below(config.name, "dt_layernorm.weight"), {config.dt_rank});
      b_norm_ = weights(checkpoint, below(config.name, "b_layernorm.weight"), {config.d_state});
      c_norm_ = weights(checkpoint, below(config.name, "c_layernorm.weight"), {config.d_state});
    }
    Mamba1Part::reset();
  }

  Vector step(const Vector& u, const Vector&) override {
    const Vector xz = in_proj_(u);
    const Vector x = conv_.step(slice(xz, 0, inner_));
    const Vector z = slice(xz, inner_, inner_);

    const Vector projected = x_proj_(x);
    Vector t = slice(projected, 0, rank_);
    Vector b = slice(projected, rank_, modes_);
    Vector c = slice(projected, rank_ + modes_, modes_);
    if (config_.rms_eps) {
      t = normed(t, t_norm_), b = normed(b, b_norm_), c = normed(c, c_norm_);
    }
    const Vector dt_raw = dt_proj_(t);

    Vector y(inner_);
    for (size_t i = 0; i < inner_; ++i) {
      const double dt = softplus(dt_raw[i]);
      y[i] = skip_[i] * x[i];
      for (size_t n = 0; n < modes_; ++n) {
        double& h = state_[i * modes_ + n];
        h = std::exp(dt * a_[i * modes_ + n]) * h + dt * b[n] * x[i];
        y[i] += c[n] * h;
      }
      y[i] *= silu(z[i]);
    }
    return out_proj_(y);
  }

  void reset() override {
    conv_.reset();
    state_.assign(inner_ * modes_, 0);
  }

  std::vector<Vector> state() const override { return conv_.state_with(state_); }

 private:
  Vector normed(const Vector& x, const Vector& weight) const {
    Vector y = rms_normalised(x, static_cast<double>(*config_.rms_eps));
    for (size_t i = 0; i < weight.size(); ++i) y[i] *= weight[i];
    return y;
  }

  Mamba1Config config_;
  size_t inner_, modes_, rank_;
  Linear in_proj_;
  CausalConv conv_;
  Linear x_proj_, dt_proj_;
  Vector a_, skip_;
  Linear out_proj_;
  Vector state_;
  Vector t_norm_, b_norm_, c_norm_;
};

// Mamba-2, scalar decay per head (heads h of headdim channels p, group g = h / (heads / ngroups)):
//   (z, xBC, dt) = in_proj(u);  (x, B, C) = silu(conv(xBC));  dt = clamp(softplus(dt + dt_bias));  A = -exp(A_log)
//   h_{p,n} = exp(dt A) h_{p,n} + dt B_{g,n} x_p;   y_p = C_g h_p + D x_p
//   out = out_proj(rmsnorm(y * silu(z)) * weight), with one mean square per norm group
// Source: Dao & Gu 2024, sec. 6 and 7; state-spaces/mamba mamba2.py; the clamp is time_step_limit of transformers.
class Mamba2Part : public PartRunner {
 public:
  Mamba2Part(const Checkpoint& checkpoint, const Mamba2Config& config)
      : config_(config),
        inner_(static_cast<size_t>(config.d_inner())),
        heads_(static_cast<size_t>(config.heads)),
        headdim_(static_cast<size_t>(config.headdim)),
        modes_(static_cast<size_t>(config.d_state)),
        groups_(static_cast<size_t>(config.ngroups)),
        in_proj_(checkpoint, config.in_proj()),
        conv_(checkpoint, below(config.name, "conv1d"), config.conv_channels(), config.d_conv, config.conv_bias),
        dt_bias_(weights(checkpoint, below(config.name, "dt_bias"), {config.heads})),
        a_(weights(checkpoint, below(config.name, "A_log"), {config.heads})),
        skip_(weights(checkpoint, below(config.name, "D"), {config.heads})),
        out_proj_(checkpoint, config.out_proj()) {
    if (config.gated_norm != GatedNorm::gate_alone)
      norm_ = weights(checkpoint, below(config.name, "norm.weight"), {config.d_inner()});
    for (double& a : a_) a = -std::exp(a);
    Mamba2Part::reset();
  }

  Vector step(const Vector& u, const Vector&) override {
    const Vector projected = in_proj_(u);
    const size_t conv_channels = inner_ + 2 * groups_ * modes_;
    const Vector z = slice(projected, 0, inner_);
    const Vector xbc = conv_.step(slice(projected, inner_, conv_channels));
    const Vector dt_raw = slice(projected, inner_ + conv_channels, heads_);

    Vector y(inner_);
    for (size_t head = 0; head < heads_; ++head) {
      const double dt = std::clamp(softplus(dt_raw[head] + dt_bias_[head]), config_.dt_min, config_.dt_max);
      const double decay = std::exp(dt * a_[head]);
      const size_t group = head / (heads_ / groups_);
      const double* b = &xbc[inner_ + group * modes_];
      const double* c = &xbc[inner_ + (groups_ + group) * modes_];
      for (size_t i = head * headdim_; i < (head + 1) * headdim_; ++i) {
        y[i] = skip_[head] * xbc[i];
        for (size_t n = 0; n < modes_; ++n) {
          double& h = state_[i * modes_ + n];
          h = decay * h + dt * b[n] * xbc[i];
          y[i] += c[n] * h;
        }
      }
    }

    const bool norm_first = config_.gated_norm == GatedNorm::norm_then_gate;
    for (size_t i = 0; i < inner_ && !norm_first; ++i) y[i] *= silu(z[i]);
    Vector normed;
    const size_t group_size = norm_.empty() ? 0 : static_cast<size_t>(config_.norm_group_size);
    for (size_t begin = 0; begin < inner_ && group_size > 0; begin += group_size)
      append(normed, rms_normalised(slice(y, begin, group_size), static_cast<double>(config_.norm_eps)));
    for (size_t i = 0; i < normed.size(); ++i) normed[i] *= norm_[i];
    if (normed.empty()) normed = y;
    for (size_t i = 0; i < inner_ && norm_first; ++i) normed[i] *= silu(z[i]);
    return out_proj_(normed);
  }

  void reset() override {
    conv_.reset();
    state_.assign(inner_ * modes_, 0);
  }

  std::vector<Vector> state() const override { return conv_.state_with(state_); }

 private:
  Mamba2Config config_;
  size_t inner_, heads_, headdim_, modes_, groups_;
  Linear in_proj_;
  CausalConv conv_;
  Vector dt_bias_, a_, skip_, norm_;
  Linear out_proj_;
  Vector state_;
};

// Mamba-3, per head with the projected z, x, B, C, dt, a, s and angles w:
//   dt = softplus(dt + dt_bias);  A = -max(rate(a), A_floor);  s = sigmoid(s);  theta = theta + pi tanh(w) dt mod 2 pi
//   k_r = rotate(rmsnorm(B_r) + B_bias_r, theta), q_r likewise from C;  v_r = x mimo_x_r
//   h = e^(A dt) (h + (1 - s) dt sum_r k_r v_r of the frame before) + s dt sum_r k_r v_r
//   y_r = q_r h + D v_r  [RMS norm over the head];  out_proj(sum_r y_r silu(z mimo_z_r) mimo_o_r)
// SISO: one r, no mimo weights, the pairs (2i, 2i + 1) rotate; MIMO: the pairs (i, i + N/2).
// Source: Lahoti et al. 2026 (Mamba-3); state-spaces/mamba mamba3.py.
class Mamba3Part : public PartRunner {
 public:
  Mamba3Part(const Checkpoint& checkpoint, const Mamba3Config& config)
      : config_(config),
        in_proj_(checkpoint, below(config.name, "in_proj"), config.d_model, config.d_in_proj(), false),
        out_proj_(checkpoint, below(config.name, "out_proj"), config.d_inner(), config.d_model, false) {
    const int64_t heads = config.heads, rank = config.rank, states = config.d_state, width = config.headdim;
    const auto tensor = [&](const std::string& name, std::vector<int64_t> shape) {
      return weights(checkpoint, below(config.name, name), std::move(shape));
    };
    dt_bias_ = tensor("dt_bias", {heads}), skip_ = tensor("D", {heads});
    b_norm_ = tensor("B_norm.weight", {states}), c_norm_ = tensor("C_norm.weight", {states});
    b_bias_ = tensor("B_bias", {heads, rank, states}), c_bias_ = tensor("C_bias", {heads, rank, states});
    if (config.mimo) {
      mimo_x_ = tensor("mimo_x", {heads, rank, width}), mimo_z_ = tensor("mimo_z", {heads, rank, width});
      mimo_o_ = tensor("mimo_o", {heads, rank, width});
    }
    if (config.outproj_norm) norm_ = tensor("norm.weight", {heads * width});
    Mamba3Part::reset();
  }

  Vector step(const Vector& u, const Vector&) override {
    const auto heads = static_cast<size_t>(config_.heads), inner = static_cast<size_t>(config_.d_inner()),
               bc = static_cast<size_t>(config_.bc_width());
    const Vector projected = in_proj_(u);
    const Vector b = normed(slice(projected, 2 * inner, bc), b_norm_);
    const Vector c = normed(slice(projected, 2 * inner + bc, bc), c_norm_);
    const double* per_head = &projected[2 * inner + 2 * bc];
    Vector y(inner);
    for (size_t head = 0; head < heads; ++head) {
      const double dt = softplus(per_head[head] + dt_bias_[head]), a = per_head[heads + head];
      const double rate = config_.decay_rate == DecayRate::softplus ? softplus(a) : a >= 0 ? 1 + a : 1 / (1 - a);
      const double decay = std::exp(-std::max(rate, static_cast<double>(config_.a_floor)) * dt);
      const double s = sigmoid(per_head[2 * heads + head]);
      turn(head, per_head + 3 * heads, dt);
      step_head(head, &projected[inner], b, decay, (1 - s) * dt * decay, s * dt);
      read_head(head, &projected[0], &projected[inner], c, &y[0]);
    }
    return out_proj_(y);
  }

  void reset() override {
    const auto heads = static_cast<size_t>(config_.heads), states = static_cast<size_t>(config_.d_state),
               inner = static_cast<size_t>(config_.d_inner());
    turns_.assign(heads * static_cast<size_t>(config_.angles), 0);
    state_.assign(inner * states, 0);
    k_.assign(static_cast<size_t>(config_.rank) * heads * states, 0);
    v_.assign(inner, 0);
  }

  // The engine's second float of an angle is part of `turns_` here.
  std::vector<Vector> state() const override {
    Vector angle(turns_);
    for (double& value : angle) value *= 2 * std::numbers::pi;
    return {state_, k_, v_, angle, Vector(angle.size(), 0)};
  }

 private:
  // Normalises each (rank, group) separately.
  Vector normed(const Vector& x, const Vector& weight) const {
    Vector y;
    for (size_t begin = 0; begin < x.size(); begin += weight.size()) {
      const Vector one = rms_normalised(slice(x, begin, weight.size()), 1e-5);
      for (size_t n = 0; n < weight.size(); ++n) y.push_back(one[n] * weight[n]);
    }
    return y;
  }

  void turn(size_t head, const double* speed, double dt) {
    const auto angles = static_cast<size_t>(config_.angles);
    for (size_t i = 0; i < angles; ++i) {
      double& turns = turns_[head * angles + i];
      turns += std::tanh(speed[i]) * dt / 2;
      turns -= std::round(turns);
    }
  }

  // B or C of this head and rank, with its bias, rotated.
  Vector rotated(const Vector& x, const Vector& bias, size_t head, size_t r) const {
    const auto heads = static_cast<size_t>(config_.heads), groups = static_cast<size_t>(config_.ngroups),
               states = static_cast<size_t>(config_.d_state), angles = static_cast<size_t>(config_.angles);
    const size_t from = (r * groups + head / (heads / groups)) * states;
    Vector y(states);
    for (size_t n = 0; n < states; ++n)
      y[n] = x[from + n] + bias[(head * static_cast<size_t>(config_.rank) + r) * states + n];
    for (size_t i = 0; i < angles; ++i) {
      double &first = y[config_.mimo ? i : 2 * i], &second = y[config_.mimo ? i + states / 2 : 2 * i + 1];
      const double angle = 2 * std::numbers::pi * turns_[head * angles + i], cosine = std::cos(angle),
                   sine = std::sin(angle), before = first;
      first = before * cosine - second * sine;
      second = before * sine + second * cosine;
    }
    return y;
  }

  double mimo(const Vector& weight, size_t head, size_t r, size_t p) const {
    return weight.empty()
               ? 1
               : weight[(head * static_cast<size_t>(config_.rank) + r) * static_cast<size_t>(config_.headdim) + p];
  }

  void step_head(size_t head, const double* x, const Vector& b, double decay, double beta, double gamma) {
    const auto heads = static_cast<size_t>(config_.heads), states = static_cast<size_t>(config_.d_state),
               width = static_cast<size_t>(config_.headdim);
    for (size_t i = head * width * states; i < (head + 1) * width * states; ++i) state_[i] *= decay;
    for (size_t r = 0; r < static_cast<size_t>(config_.rank); ++r) {
      const Vector now = rotated(b, b_bias_, head, r);
      double* before = &k_[(r * heads + head) * states];
      for (size_t p = 0; p < width; ++p)
        for (size_t n = 0; n < states; ++n)
          state_[(head * width + p) * states + n] +=
              mimo(mimo_x_, head, r, p) *
              (beta * before[n] * v_[head * width + p] + gamma * now[n] * x[head * width + p]);
      std::copy(now.begin(), now.end(), before);
    }
    for (size_t p = head * width; p < (head + 1) * width; ++p) v_[p] = x[p];
  }

  void read_head(size_t head, const double* z, const double* x, const Vector& c, double* out) const {
    const auto states = static_cast<size_t>(config_.d_state), width = static_cast<size_t>(config_.headdim);
    for (size_t r = 0; r < static_cast<size_t>(config_.rank); ++r) {
      const Vector q = rotated(c, c_bias_, head, r);
      Vector y(width);
      for (size_t p = 0; p < width; ++p) {
        y[p] = skip_[head] * x[head * width + p] * mimo(mimo_x_, head, r, p);
        for (size_t n = 0; n < states; ++n) y[p] += q[n] * state_[(head * width + p) * states + n];
      }
      if (!norm_.empty()) {
        y = rms_normalised(y, 1e-5);
        for (size_t p = 0; p < width; ++p) y[p] *= norm_[head * width + p];
      }
      for (size_t p = 0; p < width; ++p)
        out[head * width + p] +=
            y[p] * silu(z[head * width + p] * mimo(mimo_z_, head, r, p)) * mimo(mimo_o_, head, r, p);
    }
  }

  Mamba3Config config_;
  Linear in_proj_, out_proj_;
  Vector dt_bias_, skip_, b_norm_, c_norm_, b_bias_, c_bias_, mimo_x_, mimo_z_, mimo_o_, norm_;
  Vector turns_, state_, k_, v_;
};

// z = tanh(x + R c);  c = c + sigmoid(gate(z)) (value(z) - c);  y = c
class GatedPart : public PartRunner {
 public:
  GatedPart(const Checkpoint& checkpoint, const GatedConfig& config)
      : config_(config),
        recurrent_(checkpoint, config.recurrent()),
        gate_(checkpoint, config.gate()),
        value_(checkpoint, config.value()) {
    GatedPart::reset();
  }

  Vector step(const Vector& x, const Vector&) override {
    Vector z = recurrent_(units_);
    for (size_t i = 0; i < z.size(); ++i) z[i] = std::tanh(z[i] + x[i]);
    const Vector gate = gate_(z), value = value_(z);
    for (size_t i = 0; i < units_.size(); ++i) units_[i] += sigmoid(gate[i]) * (value[i] - units_[i]);
    return units_;
  }

  void reset() override { units_.assign(static_cast<size_t>(config_.d_units), 0); }

  std::vector<Vector> state() const override { return {units_}; }

 private:
  GatedConfig config_;
  Linear recurrent_, gate_, value_;
  Vector units_;
};

// Attention over the last `window` frames t, per head: w_t = softmax over t of scale (q . k_t), optionally soft-capped,
// and optionally with one more score, the sink, that has no value; y = sum_t w_t v_t; out = o(y). Queries and keys are
// normed, then rotated by the angles of their frames. With a convolution, the projected values pass it first. Source:
// Vaswani et al. 2017, eq. 1; Su et al. 2021, eq. 34; sinks: Xiao et al. 2023, sec. 3.
class AttentionPart : public PartRunner {
 public:
  AttentionPart(const Checkpoint& checkpoint, const AttentionConfig& config)
      : config_(config),
        width_(static_cast<size_t>(config.headdim)),
        window_(static_cast<size_t>(config.window)),
        kv_heads_(static_cast<size_t>(config.kv_heads)),
        q_(checkpoint, config.q),
        k_(checkpoint, config.k),
        v_(checkpoint, config.v),
        o_(checkpoint, config.o),
        conv_(checkpoint, config.conv, config.conv_channels(), config.conv_taps, true) {
    if (!config.q_norm.empty()) q_norm_ = weights(checkpoint, config.q_norm, {config.headdim});
    if (!config.k_norm.empty()) k_norm_ = weights(checkpoint, config.k_norm, {config.headdim});
    if (!config.sinks.empty()) sinks_ = weights(checkpoint, config.sinks, {config.heads});
    AttentionPart::reset();
  }

  Vector step(const Vector& x, const Vector&) override {
    Vector projected = q_(x);
    append(projected, k_(x));
    append(projected, v_(x));
    if (config_.conv_taps > 0) projected = conv_.sums(projected);
    const size_t q_width = static_cast<size_t>(config_.heads) * width_, kv_width = kv_heads_ * width_;
    const Vector q = turned(slice(projected, 0, q_width), q_norm_),
                 k = turned(slice(projected, q_width, kv_width), k_norm_),
                 v = slice(projected, q_width + kv_width, kv_width);
    const size_t slot = static_cast<size_t>(frame_ % window_);
    for (size_t h = 0; h < kv_heads_; ++h)
      for (size_t i = 0; i < width_; ++i) {
        keys_[(h * window_ + slot) * width_ + i] = k[h * width_ + i];
        values_[(h * window_ + slot) * width_ + i] = v[h * width_ + i];
      }
    ++frame_;
    Vector y;
    for (size_t h = 0; h < static_cast<size_t>(config_.heads); ++h) append(y, head(h, q));
    return o_(y);
  }

  void reset() override {
    frame_ = 0;
    keys_.assign(kv_heads_ * window_ * width_, 0);
    values_ = keys_;
    conv_.reset();
  }

  std::vector<Vector> state() const override {
    constexpr uint64_t kLow = 1 << 20;
    std::vector<Vector> regions{
        keys_, values_, {static_cast<double>(frame_ / kLow), static_cast<double>(frame_ % kLow)}};
    if (config_.conv_taps > 0) regions.push_back(conv_.memory());
    return regions;
  }

 private:
  Vector turned(const Vector& heads, const Vector& norm) const {
    Vector all;
    const size_t pairs = config_.rope.size();
    for (size_t begin = 0; begin < heads.size(); begin += width_) {
      Vector x = slice(heads, begin, width_);
      if (!norm.empty()) x = rms_normalised(x, static_cast<double>(config_.norm_eps));
      for (size_t i = 0; i < norm.size(); ++i) x[i] *= norm[i];
      for (size_t i = 0; i < pairs; ++i) {
        const double angle = std::fmod(static_cast<double>(frame_) * config_.rope[i], 2 * std::numbers::pi);
        const double c = std::cos(angle) * config_.rope_scale, s = std::sin(angle) * config_.rope_scale;
        const double a = x[i], b = x[pairs + i];
        x[i] = a * c - b * s, x[pairs + i] = b * c + a * s;
      }
      append(all, x);
    }
    return all;
  }

  Vector head(size_t h, const Vector& q) const {
    const size_t kv = h / (static_cast<size_t>(config_.heads) / kv_heads_),
                 used = static_cast<size_t>(std::min<uint64_t>(frame_, window_));
    Vector score(used);
    double most = sinks_.empty() ? -HUGE_VAL : sinks_[h];
    for (size_t t = 0; t < used; ++t) {
      double dot = 0;
      for (size_t i = 0; i < width_; ++i) dot += q[h * width_ + i] * keys_[(kv * window_ + t) * width_ + i];
      const auto cap = static_cast<double>(config_.soft_cap);
      score[t] = dot * config_.score_scale;
      if (cap > 0) score[t] = cap * std::tanh(score[t] / cap);
      most = std::max(most, score[t]);
    }
    double sum = sinks_.empty() ? 0 : std::exp(sinks_[h] - most);
    for (double& w : score) sum += w = std::exp(w - most);
    Vector y(width_, 0);
    for (size_t t = 0; t < used; ++t)
      for (size_t i = 0; i < width_; ++i) y[i] += score[t] / sum * values_[(kv * window_ + t) * width_ + i];
    return y;
  }

  AttentionConfig config_;
  size_t width_, window_, kv_heads_;
  Linear q_, k_, v_, o_;
  CausalConv conv_;
  Vector q_norm_, k_norm_, sinks_, keys_, values_;
  uint64_t frame_ = 0;
};

// ---- layers

std::unique_ptr<PartRunner> make_part(const Checkpoint& checkpoint, const PartConfig& part) {
  struct Maker {
    const Checkpoint& checkpoint;
    std::unique_ptr<PartRunner> operator()(const LinearConfig& c) const {
      return std::make_unique<LinearPart>(checkpoint, c);
    }
    std::unique_ptr<PartRunner> operator()(const RmsNormConfig& c) const {
      return std::make_unique<RmsNormPart>(checkpoint, c);
    }
    std::unique_ptr<PartRunner> operator()(const ActivationConfig& c) const {
      return std::make_unique<ActivationPart>(c);
    }
    std::unique_ptr<PartRunner> operator()(const FilmConfig& c) const { return std::make_unique<FilmPart>(c); }
    std::unique_ptr<PartRunner> operator()(const RestTanhConfig& c) const {
      return std::make_unique<RestTanhPart>(checkpoint, c);
    }
    std::unique_ptr<PartRunner> operator()(const S4dConfig& c) const {
      return std::make_unique<S4dPart>(checkpoint, c);
    }
    std::unique_ptr<PartRunner> operator()(const Mamba1Config& c) const {
      return std::make_unique<Mamba1Part>(checkpoint, c);
    }
    std::unique_ptr<PartRunner> operator()(const Mamba2Config& c) const {
      return std::make_unique<Mamba2Part>(checkpoint, c);
    }
    std::unique_ptr<PartRunner> operator()(const Mamba3Config& c) const {
      return std::make_unique<Mamba3Part>(checkpoint, c);
    }
    std::unique_ptr<PartRunner> operator()(const AttentionConfig& c) const {
      return std::make_unique<AttentionPart>(checkpoint, c);
    }
    std::unique_ptr<PartRunner> operator()(const MlpConfig& c) const {
      return std::make_unique<MlpPart>(checkpoint, c);
    }
    std::unique_ptr<PartRunner> operator()(const MoeConfig& c) const {
      return std::make_unique<MoePart>(checkpoint, c);
    }
    std::unique_ptr<PartRunner> operator()(const TapConfig& c) const { return std::make_unique<TapPart>(c); }
    std::unique_ptr<PartRunner> operator()(const GatedConfig& c) const {
      return std::make_unique<GatedPart>(checkpoint, c);
    }
  };
  return std::visit(Maker{checkpoint}, part);
}

// h = residual ? h + parts(h) : parts(h), layer after layer
class Layers {
 public:
  Layers(const Checkpoint& checkpoint, const std::vector<LayerConfig>& configs) {
    for (const LayerConfig& config : configs) {
      Layer layer{config.residual, {}, {}};
      for (const auto& part : config.parts) {
        layer.parts.push_back(make_part(checkpoint, part));
        layer.regions.push_back(traits_of(part).state);
      }
      layers_.push_back(std::move(layer));
    }
  }

  Vector step(Vector h, const Vector& film) {
    const Vector network = h;
    Vector before = h;
    for (Layer& layer : layers_) {
      Vector r = h;
      for (auto& part : layer.parts) {
        if (const TapPart* tap = part->tap())
          r = tap->taken(r, tap->from() == TapConfig::From::layer     ? h
                            : tap->from() == TapConfig::From::network ? network
                                                                      : before);
        else
          r = part->step(r, film);
      }
      before = h;
      if (layer.residual)
        for (size_t i = 0; i < r.size(); ++i) r[i] += h[i];
      h = std::move(r);
    }
    return h;
  }

  void reset() {
    for (Layer& layer : layers_)
      for (auto& part : layer.parts) part->reset();
  }

  void append_state(std::vector<NamedDoubles>& out) const {
    for (const Layer& layer : layers_)
      for (size_t i = 0; i < layer.parts.size(); ++i) {
        const std::vector<Vector> values = layer.parts[i]->state();
        for (size_t r = 0; r < values.size(); ++r) {
          const StateRegion& region = layer.regions[i][r];
          out.push_back({region.name, region.shape, values[r], region.period, region.upstream});
        }
      }
  }

 private:
  struct Layer {
    bool residual;
    std::vector<std::unique_ptr<PartRunner>> parts;
    std::vector<std::vector<StateRegion>> regions;  // per part
  };
  std::vector<Layer> layers_;
};

// film = film_layer(tanh(hidden(k'))), or film_layer(k'_0, k'_1 ..., k'_0 k'_0, k'_0 k'_1 ...), k' = 2 k - 1
struct ControlNet {
  std::optional<Linear> hidden;
  Linear film;

  ControlNet(const Checkpoint& checkpoint, const ControlNetConfig& config) : film(checkpoint, config.film) {
    if (config.hidden) hidden.emplace(checkpoint, *config.hidden);
  }

  Vector operator()(const Vector& centred) const {
    Vector features = hidden ? (*hidden)(centred) : centred;
    if (hidden) {
      for (double& v : features) v = std::tanh(v);
    } else {
      for (size_t i = 0; i < centred.size(); ++i)
        for (size_t j = i; j < centred.size(); ++j) features.push_back(centred[i] * centred[j]);
    }
    return film(features);
  }
};

// The slow path, a network that runs once per hop:
//   f = tanh(features(u)) every frame; at the end of hop j: o_j = out_proj(layers(in_proj(mean f, mean f^2 [, 2 k -
//   1])))
//   frame i of hop b: film = o_{b-2} + (o_{b-1} - o_{b-2}) (i + 1) / hop_frames; o before the first hop is 0.
class SlowPath {
 public:
  SlowPath(const Checkpoint& checkpoint, const SlowPathConfig& config)
      : config_(config),
        features_(checkpoint, config.features),
        in_proj_(checkpoint, config.in_proj),
        layers_(checkpoint, config.layers),
        out_proj_(checkpoint, config.out_proj) {
    reset();
  }

  // The FiLM vector for the frame u; `centred` are the controls as 2 k - 1.
  Vector step(const Vector& u, const Vector& centred) {
    const double ramp = static_cast<double>(frame_in_hop_ + 1) / config_.hop_frames;
    Vector film(newer_.size());
    for (size_t i = 0; i < film.size(); ++i) film[i] = older_[i] + (newer_[i] - older_[i]) * ramp;

    const Vector values = features_(u);
    const size_t n = values.size();
    for (size_t i = 0; i < n; ++i) {
      const double f = std::tanh(values[i]);
      sums_[i] += f;
      sums_[n + i] += f * f;
    }
    if (++frame_in_hop_ == config_.hop_frames) end_hop(centred);
    return film;
  }

  void reset() {
    layers_.reset();
    frame_in_hop_ = 0;
    sums_.assign(2 * features_.d_out, 0);
    older_.assign(out_proj_.d_out, 0);
    newer_ = older_;
  }

  void append_state(std::vector<NamedDoubles>& out) const {
    layers_.append_state(out);
    out.push_back({"state.slow.features", {2, static_cast<int64_t>(sums_.size() / 2)}, sums_});
    out.push_back({"state.slow.from", {static_cast<int64_t>(older_.size())}, older_});
    out.push_back({"state.slow.to", {static_cast<int64_t>(newer_.size())}, newer_});
  }

 private:
  void end_hop(const Vector& centred) {
    Vector input = sums_;
    for (double& v : input) v /= config_.hop_frames;
    if (config_.controls) append(input, centred);
    older_ = std::exchange(newer_, out_proj_(layers_.step(in_proj_(input), {})));
    sums_.assign(sums_.size(), 0);
    frame_in_hop_ = 0;
  }

  SlowPathConfig config_;
  Linear features_, in_proj_;
  Layers layers_;
  Linear out_proj_;
  int frame_in_hop_ = 0;
  Vector sums_, older_, newer_;
};

template <class Made, class Config>
std::optional<Made> make_if(const Checkpoint& checkpoint, const std::optional<Config>& config) {
  if (!config) return std::nullopt;
  return std::optional<Made>(std::in_place, checkpoint, *config);
}

}  // namespace

// h = in_proj(u) or the token's embedding; h = layers(h); y = out_proj(norm_f(h)) + direct(u); then the output gain.
struct Reference::Impl {
  ModelConfig config;
  Card card;
  Vector embedding;  // (vocab, d_model)
  std::optional<Linear> in_proj, out_proj, direct;
  std::optional<RmsNormPart> norm_f;
  Layers layers;
  std::optional<ControlNet> control_net;
  std::optional<SlowPath> slow_path;

  Vector centred_controls;  // 2 k - 1 of each network control
  Vector control_film;
  double output_gain = 1;

  Impl(const Checkpoint& checkpoint, double sample_rate_hz) : Impl(checkpoint, describe(checkpoint, sample_rate_hz)) {}

  Impl(const Checkpoint& checkpoint, Description description)
      : config(std::move(description.config)),
        card(std::move(description.card)),
        in_proj(make_if<Linear>(checkpoint, config.in_proj)),
        out_proj(make_if<Linear>(checkpoint, config.out_proj)),
        direct(make_if<Linear>(checkpoint, config.direct)),
        norm_f(make_if<RmsNormPart>(checkpoint, config.norm_f)),
        layers(checkpoint, config.layers),
        control_net(make_if<ControlNet>(checkpoint, config.control_net)),
        slow_path(make_if<SlowPath>(checkpoint, config.slow_path)) {
    if (config.embedding) {
      embedding =
          weights(checkpoint, below(config.embedding->name, "weight"), {config.embedding->vocab, config.d_model});
      for (double& v : embedding) v *= config.embedding->scale;
    }
    Vector defaults;
    for (const Control& control : card.controls) defaults.push_back(control.default_value);
    set_controls(defaults);
  }

  void set_controls(std::span<const double> values) {
    if (values.size() != card.controls.size())
      throw Error("the model has " + std::to_string(card.controls.size()) + " controls, " +
                  std::to_string(values.size()) + " values given");
    centred_controls.clear();
    double gain_db = 0;
    for (size_t i = 0; i < values.size(); ++i) {
      const Control& control = card.controls[i];
      const double value = std::clamp(values[i], control.min, control.max);
      if (control.to == Control::To::output_gain_db)
        gain_db += value;
      else
        centred_controls.push_back(2 * control.normalised(value) - 1);
    }
    output_gain = std::pow(10.0, gain_db / 20);
    if (control_net) control_film = (*control_net)(centred_controls);
  }

  Vector film_of(const Vector& u) {
    Vector film(static_cast<size_t>(config.film_size), 0);
    const auto add = [&](const Vector& more) {
      for (size_t i = 0; i < more.size(); ++i) film[i] += more[i];
    };
    add(control_film);
    if (slow_path) add(slow_path->step(u, centred_controls));
    return film;
  }

  // `h` is the input of the first layer; `u` is the frame that it comes from, empty for a token.
  Vector run(const Vector& h, const Vector& u) {
    const Vector film = film_of(u);
    Vector top = layers.step(h, film);
    if (norm_f) top = norm_f->step(top, {});
    Vector y = out_proj ? (*out_proj)(top) : top;
    if (config.output_film)
      for (size_t i = 0; i < y.size() * top.size(); ++i)
        y[i / top.size()] += film[static_cast<size_t>(*config.output_film) + i] * top[i % top.size()];
    if (direct) {
      const Vector more = (*direct)(u);
      for (size_t i = 0; i < y.size(); ++i) y[i] += more[i];
    }
    for (double& v : y) v *= output_gain;
    return y;
  }
};

Reference::Reference(const Checkpoint& checkpoint, double sample_rate_hz)
    : impl_(std::make_unique<Impl>(checkpoint, sample_rate_hz)) {}
Reference::~Reference() = default;

const ModelConfig& Reference::config() const { return impl_->config; }
const Card& Reference::card() const { return impl_->card; }

void Reference::reset() {
  impl_->layers.reset();
  if (impl_->slow_path) impl_->slow_path->reset();
}

void Reference::set_controls(std::span<const double> values) { impl_->set_controls(values); }

std::vector<double> Reference::step(std::span<const double> frame) {
  const ModelConfig& config = impl_->config;
  if (config.input_kind != InputKind::frames) throw Error("the model takes token ids, not frames");
  if (frame.size() != static_cast<size_t>(config.d_input))
    throw Error("the model takes frames of " + std::to_string(config.d_input) + " channels, " +
                std::to_string(frame.size()) + " given");
  const Vector u(frame.begin(), frame.end());
  return impl_->run(impl_->in_proj ? (*impl_->in_proj)(u) : u, u);
}

std::vector<double> Reference::step_token(int32_t token) {
  const ModelConfig& config = impl_->config;
  if (config.input_kind != InputKind::token_ids) throw Error("the model takes frames, not token ids");
  if (token < 0 || token >= config.embedding->vocab) token = 0;
  const auto width = static_cast<size_t>(config.d_model);
  return impl_->run(slice(impl_->embedding, static_cast<size_t>(token) * width, width), {});
}

std::vector<NamedDoubles> Reference::state() const {
  std::vector<NamedDoubles> out;
  impl_->layers.append_state(out);
  if (impl_->slow_path) impl_->slow_path->append_state(out);
  return out;
}

}  // namespace coil::ssm
