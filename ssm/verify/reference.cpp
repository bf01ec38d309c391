// The specification: every model as a plain step-by-step recurrence in double precision, written to be read.
#include "ssm/verify/reference.h"

#include <algorithm>
#include <cmath>
#include <complex>
#include <numbers>
#include <utility>

#include "ssm/model/description.h"
#include "ssm/model/plan.h"
#include "base/error.h"

namespace coil::ssm {
namespace {

using Vector = std::vector<double>;

// ---- scalar functions

double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

double silu(double x) { return x * sigmoid(x); }

// log(1 + e^x); beyond 30 the 1 is below the last bit.
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

// "kernel.C" below "" is the file's own kernel.C.
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
      : Linear(checkpoint, config.name, config.d_in, config.d_out, config.bias) {}

  Linear(const Checkpoint& checkpoint, const std::string& name, int in, int out, bool with_bias)
      : d_in(static_cast<size_t>(in)), d_out(static_cast<size_t>(out)) {
    weight = weights(checkpoint, below(name, "weight"), {out, in});
    if (with_bias) bias = weights(checkpoint, below(name, "bias"), {out});
  }

  Vector operator()(const Vector& x) const {
    Vector y = bias.empty() ? Vector(d_out, 0) : bias;
    for (size_t row = 0; row < d_out; ++row)
      for (size_t col = 0; col < d_in; ++col) y[row] += weight[row * d_in + col] * x[col];
    return y;
  }
};

// What a layer is made of: one frame in, one frame out, and the memory between them.
class PartRunner {
 public:
  virtual ~PartRunner() = default;
  // `film` is the whole FiLM vector of this frame.
  virtual Vector step(const Vector& x, const Vector& film) = 0;
  virtual void reset() {}
  // The values of its regions in the plan, in their order.
  virtual std::vector<Vector> state() const { return {}; }
};

class LinearPart : public PartRunner {
 public:
  LinearPart(const Checkpoint& checkpoint, const LinearConfig& config) : linear_(checkpoint, config) {}
  Vector step(const Vector& x, const Vector&) override { return linear_(x); }

 private:
  Linear linear_;
};

// y = x / sqrt(mean(x^2) + eps) * weight
class RmsNormPart : public PartRunner {
 public:
  RmsNormPart(const Checkpoint& checkpoint, const RmsNormConfig& config) : eps_(static_cast<double>(config.eps)) {
    if (config.affine) weight_ = weights(checkpoint, below(config.name, "weight"), {config.width});
  }

  Vector step(const Vector& x, const Vector&) override {
    Vector y = rms_normalised(x, eps_);
    for (size_t i = 0; i < weight_.size(); ++i) y[i] *= weight_[i];
    return y;
  }

 private:
  double eps_;
  Vector weight_;
};

// tanh, gelu, silu: one value each. glu: first half * sigmoid(second half). Source: Dauphin et al. 2016, eq. 1.
class ActivationPart : public PartRunner {
 public:
  explicit ActivationPart(const ActivationConfig& config) : kind_(config.kind) {}

  Vector step(const Vector& x, const Vector&) override {
    if (kind_ == Activation::glu) {
      const size_t half = x.size() / 2;
      Vector y(half);
      for (size_t i = 0; i < half; ++i) y[i] = x[i] * sigmoid(x[half + i]);
      return y;
    }
    Vector y = x;
    for (double& v : y) v = kind_ == Activation::tanh ? std::tanh(v) : kind_ == Activation::gelu ? gelu(v) : silu(v);
    return y;
  }

 private:
  Activation kind_;
};

double film_value(const FilmConfig& config, size_t i, double x, const Vector& film) {
  const size_t scale = static_cast<size_t>(config.offset) + i;
  return (1 + film[scale]) * x + film[scale + static_cast<size_t>(config.width)];
}

// y = tanh(x) - tanh(x0), x0 = b or (1 + scale) b + shift: what comes in where the linear part before it has the input
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

// y = (1 + scale) x + shift. Source: Perez et al. 2017, with the scale around 1.
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
// so that what was sampled at the own rate's frames is sampled at the other's, and a constant passes as before.
// Source: Gu, Gupta, Goel & Re 2022 ("On the Parameterization and Initialization of Diagonal State Space Models"),
// sec. 3.
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

// y_c = silu(sum_j w_{c,j} x_{c, t - (taps - 1) + j} + b_c); no taps: y = silu(x).
// The memory is upstream's: the last `taps` inputs of each channel, the newest last and already this frame's.
class CausalConv {
 public:
  CausalConv(const Checkpoint& checkpoint, const std::string& prefix, int channels, int taps, bool bias)
      : channels_(static_cast<size_t>(channels)), taps_(static_cast<size_t>(taps)) {
    if (taps == 0) return;
    weight_ = weights(checkpoint, below(prefix, "conv1d.weight"), {channels, 1, taps});
    if (bias) bias_ = weights(checkpoint, below(prefix, "conv1d.bias"), {channels});
    reset();
  }

  Vector step(const Vector& x) {
    Vector y(channels_);
    for (size_t c = 0; c < channels_; ++c) {
      double sum = bias_.empty() ? 0 : bias_[c];
      if (taps_ == 0) sum = x[c];
      for (size_t j = 0; j < taps_; ++j) {
        double& memory = memory_[c * taps_ + j];
        memory = j + 1 < taps_ ? memory_[c * taps_ + j + 1] : x[c];
        sum += weight_[c * taps_ + j] * memory;
      }
      y[c] = silu(sum);
    }
    return y;
  }

  void reset() { memory_.assign(channels_ * taps_, 0); }

  // The convolution's region, if it has one, and then the scan's.
  std::vector<Vector> state_with(const Vector& scan) const {
    if (taps_ == 0) return {scan};
    return {memory_, scan};
  }

 private:
  size_t channels_, taps_;
  Vector weight_, bias_, memory_;
};

// Mamba-1, selective state space with one step size per channel:
//   (x, z) = in_proj(u);  x = silu(conv(x));  (t, B, C) = x_proj(x)  [each RMS-normed without weight: FalconMamba]
//   dt = softplus(dt_proj(t));  A = -exp(A_log)
//   h = exp(dt A) h + dt B x;   y = C h + D x;   out = out_proj(y * silu(z))
// Source: Gu & Dao 2023, alg. 2; state-spaces/mamba mamba_simple.py; for the norms Zuo et al. 2024 (Falcon Mamba),
// sec. 2.
class Mamba1Part : public PartRunner {
 public:
  Mamba1Part(const Checkpoint& checkpoint, const Mamba1Config& config)
      : config_(config),
        inner_(static_cast<size_t>(config.d_inner)),
        modes_(static_cast<size_t>(config.d_state)),
        rank_(static_cast<size_t>(config.dt_rank)),
        in_proj_(checkpoint, below(config.name, "in_proj"), config.d_model, 2 * config.d_inner, config.bias),
        conv_(checkpoint, config.name, config.d_inner, config.d_conv, config.conv_bias),
        x_proj_(checkpoint, below(config.name, "x_proj"), config.d_inner, config.dt_rank + 2 * config.d_state,
                config.x_proj_bias),
        dt_proj_(checkpoint, below(config.name, "dt_proj"), config.dt_rank, config.d_inner, true),
        a_(weights(checkpoint, below(config.name, "A_log"), {config.d_inner, config.d_state})),
        skip_(weights(checkpoint, below(config.name, "D"), {config.d_inner})),
        out_proj_(checkpoint, below(config.name, "out_proj"), config.d_inner, config.d_model, config.bias) {
    for (double& a : a_) a = -std::exp(a);
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
    if (config_.rms_eps)
      for (Vector* v : {&t, &b, &c}) *v = rms_normalised(*v, static_cast<double>(*config_.rms_eps));
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
  Mamba1Config config_;
  size_t inner_, modes_, rank_;
  Linear in_proj_;
  CausalConv conv_;
  Linear x_proj_, dt_proj_;
  Vector a_, skip_;
  Linear out_proj_;
  Vector state_;
};

// Mamba-2, scalar decay per head (heads h of headdim channels p, group g = h / (heads / ngroups)):
//   (z, xBC, dt) = in_proj(u);  (x, B, C) = silu(conv(xBC));  dt = clamp(softplus(dt + dt_bias));  A = -exp(A_log)
//   h_{p,n} = exp(dt A) h_{p,n} + dt B_{g,n} x_p;   y_p = C_g h_p + D x_p
//   out = out_proj(rmsnorm(y * silu(z)) * weight), the mean square over each norm group
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
        in_proj_(checkpoint, below(config.name, "in_proj"), config.d_model,
                 config.d_inner() + config.conv_channels() + config.heads, config.bias),
        conv_(checkpoint, config.name, config.conv_channels(), config.d_conv, config.conv_bias),
        dt_bias_(weights(checkpoint, below(config.name, "dt_bias"), {config.heads})),
        a_(weights(checkpoint, below(config.name, "A_log"), {config.heads})),
        skip_(weights(checkpoint, below(config.name, "D"), {config.heads})),
        norm_(weights(checkpoint, below(config.name, "norm.weight"), {config.d_inner()})),
        out_proj_(checkpoint, below(config.name, "out_proj"), config.d_inner(), config.d_model, config.bias) {
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
        y[i] *= silu(z[i]);
      }
    }

    Vector normed;
    const size_t group_size = static_cast<size_t>(config_.norm_group_size);
    for (size_t begin = 0; begin < inner_; begin += group_size)
      append(normed, rms_normalised(slice(y, begin, group_size), static_cast<double>(config_.norm_eps)));
    for (size_t i = 0; i < inner_; ++i) normed[i] *= norm_[i];
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
    for (Layer& layer : layers_) {
      Vector r = h;
      for (auto& part : layer.parts) r = part->step(r, film);
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
        for (size_t region = 0; region < values.size(); ++region)
          out.push_back({layer.regions[i][region].name, layer.regions[i][region].shape, values[region]});
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

// A network beside the audio that looks at one hop of it at a time:
//   f = tanh(features(u)) every frame; hop j ends: o_j = out_proj(layers(in_proj(mean f, mean f^2 [, 2 k - 1])))
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

  // The film vector of the frame u; `centred` are the controls as 2 k - 1.
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
    if (config.embedding)
      embedding =
          weights(checkpoint, below(config.embedding->name, "weight"), {config.embedding->vocab, config.d_model});
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

  // `h` enters the first layer; `u` is the frame it came from, empty for a token.
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
