// Parts without memory: linear, RMS norm, activations, FiLM. Also the packing helpers that all layers share.
#include "ssm/layers/part.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "ssm/layers/make_part.h"
#include "ssm/model/linear_weights.h"

namespace coil::ssm {

namespace {

class Linear final : public PointwisePart {
 public:
  Linear(const LinearConfig& config, const Build& build)
      : PointwisePart(config.d_in, config.d_out), kernels_(build.kernels), weights_(load_linear(config, build)) {}

  void process(const float* in, float* out, size_t frames, bool accumulate, std::span<const FilmPiece>,
               float*) const noexcept override {
    kernels_.linear(weights_, nullptr, in, stride_in(), out, stride_out(), frames, accumulate);
  }
  bool can_accumulate() const override { return true; }
  const PackedLinear* matrix() const override { return &weights_; }

 private:
  const Kernels& kernels_;
  PackedLinear weights_;
};

class RmsNorm final : public PointwisePart {
 public:
  RmsNorm(const RmsNormConfig& config, const Build& build)
      : PointwisePart(config.width, config.width),
        kernels_(build.kernels),
        count_(size_t(config.width)),
        eps_(config.eps),
        weight_(arranged(FoldedNorm(config, build.checkpoint).weight, iota(config.width))) {}

  void process(const float* in, float* out, size_t frames, bool, std::span<const FilmPiece>,
               float*) const noexcept override {
    kernels_.rms_norm(weight_.data(), eps_, count_, stride_in(), in, stride_in(), out, stride_out(), frames);
  }

 private:
  const Kernels& kernels_;
  size_t count_;
  float eps_;
  AlignedFloats weight_;
};

// y = (x - mean(x)) / sqrt(var(x) + eps) * weight + bias. Source: Ba, Kiros & Hinton 2016, eq. 4.
class LayerNorm final : public PointwisePart {
 public:
  LayerNorm(const RmsNormConfig& config, const Build& build)
      : PointwisePart(config.width, config.width), count_(size_t(config.width)), eps_(config.eps) {
    weight_.assign(stride_in(), 1.0f), bias_.assign(stride_in(), 0.0f);
    if (!config.affine) return;
    weight_ = arranged(build.checkpoint.floats(config.name + ".weight", {config.width}), iota(config.width));
    bias_ = arranged(build.checkpoint.floats(config.name + ".bias", {config.width}), iota(config.width));
  }

  void process(const float* in, float* out, size_t frames, bool, std::span<const FilmPiece>,
               float*) const noexcept override {
    for (size_t t = 0; t < frames; ++t, in += stride_in(), out += stride_out()) {
      const float middle = mean(in, count_);
      float squares = 0;
      for (size_t i = 0; i < count_; ++i) squares += (in[i] - middle) * (in[i] - middle);
      const float scale = 1.0f / std::sqrt(squares / float(count_) + eps_);
      for (size_t i = 0; i < count_; ++i) out[i] = (in[i] - middle) * scale * weight_[i] + bias_[i];
      std::fill(out + count_, out + stride_out(), 0.0f);
    }
  }

 private:
  size_t count_;
  float eps_;
  AlignedFloats weight_, bias_;
};

class Pointwise final : public PointwisePart {
 public:
  Pointwise(const ActivationConfig& config, const Kernels& kernels)
      : PointwisePart(config.width_in, config.width_out), kernels_(kernels), kind_(config.kind) {}

  void process(const float* in, float* out, size_t frames, bool, std::span<const FilmPiece>,
               float*) const noexcept override {
    std::copy_n(in, frames * stride_in(), out);
    activate(kernels_, kind_, out, stride_out(), stride_out(), frames);
  }

 private:
  const Kernels& kernels_;
  Activation kind_;
};

// y = f(a) b, where a and b are the halves of a row.
class GatedActivation final : public PointwisePart {
 public:
  GatedActivation(const ActivationConfig& config, const Kernels& kernels)
      : PointwisePart(config.width_in, config.width_out),
        kernels_(kernels),
        kind_(config.kind),
        half_(size_t(config.width_out)) {}

  void process(const float* in, float* out, size_t frames, bool, std::span<const FilmPiece>,
               float*) const noexcept override {
    for (size_t t = 0; t < frames; ++t) {
      std::copy_n(in + t * stride_in(), half_, out + t * stride_out());
      std::fill(out + t * stride_out() + half_, out + (t + 1) * stride_out(), 0.0f);
    }
    activate(kernels_, kind_, out, stride_out(), stride_out(), frames);
    multiply(in + half_, stride_in(), out, stride_out(), half_, frames);
  }

 private:
  const Kernels& kernels_;
  Activation kind_;
  size_t half_;
};

// The padded halves of glu are contiguous only if the half is a multiple of the padding; otherwise the second half is
// moved first.
class Glu final : public PointwisePart {
 public:
  Glu(const ActivationConfig& config, const Kernels& kernels)
      : PointwisePart(config.width_in, config.width_out), kernels_(kernels), half_(size_t(config.width_out)) {}

  void process(const float* in, float* out, size_t frames, bool, std::span<const FilmPiece>,
               float*) const noexcept override {
    if (half_ == stride_out()) return kernels_.glu(in, stride_in(), out, stride_out(), half_, frames);
    alignas(kAlignment) float row[2 * kRow];
    for (size_t t = 0; t < frames; ++t)
      for (size_t c = 0; c < half_; c += kRow) {
        const size_t n = std::min(kRow, half_ - c), width = padded(n);
        std::fill_n(row, 2 * width, 0.0f);
        std::copy_n(in + t * stride_in() + c, n, row);
        std::copy_n(in + t * stride_in() + half_ + c, n, row + width);
        kernels_.glu(row, 2 * width, out + t * stride_out() + c, stride_out(), width, 1);
      }
  }

 private:
  static constexpr size_t kRow = 256;
  const Kernels& kernels_;
  size_t half_;
};

// y = (1 + scale) x + shift. Source: Perez et al. 2018, eq. 2.
class Film final : public PointwisePart {
 public:
  Film(const FilmConfig& config, size_t padded_offset, const Kernels& kernels)
      : PointwisePart(config.width, config.width), kernels_(kernels), offset_(padded_offset) {}

  void process(const float* in, float* out, size_t frames, bool, std::span<const FilmPiece> film,
               float*) const noexcept override {
    for (const FilmPiece& piece : film) {
      const float *scale = piece.base + offset_, *slope = piece.slope ? piece.slope + offset_ : nullptr;
      const size_t width = stride_in(), n = std::min(frames, piece.frames);
      kernels_.film(scale, slope, scale + width, slope ? slope + width : nullptr, piece.first, in, width, out, width,
                    width, n);
      in += n * width;
      out += n * width;
      frames -= n;
    }
  }
  std::optional<size_t> film_offset() const override { return offset_; }

 private:
  const Kernels& kernels_;
  size_t offset_;
};

}  // namespace

RestTanh::RestTanh(const RestTanhConfig& config, std::optional<size_t> film_offset, const Build& build)
    : PointwisePart(config.width, config.width),
      kernels_(build.kernels),
      bias_(arranged(build.checkpoint.floats(config.bias, {config.width}), iota(config.width))),
      rest_(bias_),
      scale_offset_(film_offset) {
  kernels_.tanh(bias_.data(), stride_in(), rest_.data(), stride_in(), stride_in(), 1);
}

void RestTanh::rest_rows(const FilmPiece& piece, size_t frames, size_t first_column, size_t width,
                         float* rows) const noexcept {
  const size_t at = *scale_offset_ + first_column, n = piece.slope ? frames : 1;
  const float *scale = piece.base + at, *slope = piece.slope ? piece.slope + at : nullptr;
  kernels_.film(scale, slope, scale + stride_in(), slope ? slope + stride_in() : nullptr, piece.first,
                bias_.data() + first_column, 0, rows, width, width, n);
  kernels_.tanh(rows, width, rows, width, width, n);
}

void RestTanh::process(const float* in, float* out, size_t frames, bool, std::span<const FilmPiece> film,
                       float*) const noexcept {
  const size_t stride = stride_in();
  if (!moves()) return kernels_.tanh_rest(rest_.data(), 0, in, stride, out, stride, stride, frames);
  constexpr size_t kFloats = 2048, kColumns = 256;
  alignas(kAlignment) float rest[kFloats];
  for (FilmPiece piece : film) {
    for (size_t left = std::min(frames, piece.frames); left > 0;) {
      const size_t n = piece.slope ? std::min(left, kFloats / std::min(stride, kColumns)) : left;
      for (size_t c = 0; c < stride; c += kColumns) {
        const size_t width = std::min(kColumns, stride - c);
        rest_rows(piece, n, c, width, rest);
        kernels_.tanh_rest(rest, piece.slope ? width : 0, in + c, stride, out + c, stride, width, n);
      }
      in += n * stride;
      out += n * stride;
      frames -= n;
      left -= n;
      piece.first += float(n);
    }
  }
}

void Tap::take(const float* source, size_t source_stride, const float* in, float* out, size_t frames) const noexcept {
  const size_t width = size_t(config_.width), before = size_t(config_.width_in);
  for (size_t t = 0; t < frames; ++t, in += stride_in(), out += stride_out(), source += source_stride) {
    std::fill_n(out, stride_out(), 0.0f);
    if (config_.how != TapConfig::How::replace) std::copy_n(in, before, out);
    float* to = config_.how == TapConfig::How::append ? out + before : out;
    for (size_t i = 0; i < width; ++i) to[i] += source[i];
  }
}

void activate(const Kernels& kernels, Activation kind, float* x, size_t stride, size_t width, size_t frames) noexcept {
  const auto each = [&](const auto& f) {
    for (size_t t = 0; t < frames; ++t)
      for (size_t i = 0; i < width; ++i) x[t * stride + i] = f(x[t * stride + i]);
  };
  switch (kind) {
    case Activation::tanh:
      return kernels.tanh(x, stride, x, stride, width, frames);
    case Activation::gelu:
      return kernels.gelu(x, stride, x, stride, width, frames);
    case Activation::silu:
      return kernels.silu(x, stride, x, stride, width, frames);
    case Activation::relu:
      return each([](float v) { return std::max(v, 0.0f); });
    case Activation::relu2:
      return each([](float v) { return std::max(v, 0.0f) * std::max(v, 0.0f); });
    // 0.5 x (1 + tanh(u)) = x sigmoid(2 u), u = sqrt(2 / pi) (x + 0.044715 x^3)
    case Activation::gelu_tanh:
      return each([](float v) { return v / (1.0f + std::exp(-1.59576912f * (v + 0.044715f * v * v * v))); });
    case Activation::glu:
      break;
  }
}

void multiply(const float* x, size_t x_stride, float* y, size_t y_stride, size_t width, size_t frames) noexcept {
  for (size_t t = 0; t < frames; ++t)
    for (size_t i = 0; i < width; ++i) y[t * y_stride + i] *= x[t * x_stride + i];
}

std::vector<int> iota(int n, int from) {
  std::vector<int> values(size_t(std::max(n, 0)));
  std::iota(values.begin(), values.end(), from);
  return values;
}

void append(std::vector<int>& rows, const std::vector<int>& more, size_t padded_to) {
  const size_t end = rows.size() + std::max(more.size(), padded_to);
  rows.insert(rows.end(), more.begin(), more.end());
  rows.resize(end, -1);
}

AlignedFloats arranged(const std::vector<float>& values, const std::vector<int>& source, float scale) {
  AlignedFloats out(padded(source.size()), 0.0f);
  for (size_t i = 0; i < source.size(); ++i)
    if (source[i] >= 0) out[i] = values[size_t(source[i])] * scale;
  return out;
}

FoldedNorm::FoldedNorm(const std::optional<RmsNormConfig>& config, const Checkpoint& checkpoint) {
  if (!config) return;
  weight = config->affine ? checkpoint.floats(config->name + ".weight", {config->width})
                          : std::vector<float>(size_t(config->width), 1.0f);
  eps = config->eps;
}

PackedLinear load_linear(const LinearConfig& config, const Build& build) {
  return load_linear(config, build, iota(config.d_out), iota(config.d_in));
}

PackedLinear load_linear(const LinearConfig& config, const Build& build, const std::vector<int>& rows,
                         const std::vector<int>& columns, const std::vector<float>& column_scale) {
  auto [weight, bias] = linear_weights<float>(config, build.checkpoint);
  for (size_t i = 0; !column_scale.empty() && i < weight.size(); ++i)
    weight[i] *= column_scale[i % size_t(config.d_in)];
  return pack_linear(build.kernels, build.weights, weight.data(), size_t(config.d_in),
                     config.bias ? bias.data() : nullptr, rows, columns);
}

static AnyPart compile_part(const LinearConfig& config, const PlannedPart&, const Build& build) {
  return std::make_unique<Linear>(config, build);
}

static AnyPart compile_part(const RmsNormConfig& config, const PlannedPart&, const Build& build) {
  return make_rms_norm(config, build);
}

std::unique_ptr<PointwisePart> make_rms_norm(const RmsNormConfig& config, const Build& build) {
  if (config.centred) return std::make_unique<LayerNorm>(config, build);
  return std::make_unique<RmsNorm>(config, build);
}

static AnyPart compile_part(const ActivationConfig& config, const PlannedPart&, const Build& build) {
  if (config.kind == Activation::glu) return std::make_unique<Glu>(config, build.kernels);
  if (config.gated) return std::make_unique<GatedActivation>(config, build.kernels);
  return std::make_unique<Pointwise>(config, build.kernels);
}

static AnyPart compile_part(const TapConfig& config, const PlannedPart&, const Build&) {
  return std::make_unique<Tap>(config);
}

static AnyPart compile_part(const RestTanhConfig& config, const PlannedPart& place, const Build& build) {
  return std::make_unique<RestTanh>(config, place.film_at, build);
}

static AnyPart compile_part(const FilmConfig& config, const PlannedPart& place, const Build& build) {
  return std::make_unique<Film>(config, *place.film_at, build.kernels);
}

template AnyPart make_part(const LinearConfig&, const PlannedPart&, const Build&);
template AnyPart make_part(const RmsNormConfig&, const PlannedPart&, const Build&);
template AnyPart make_part(const ActivationConfig&, const PlannedPart&, const Build&);
template AnyPart make_part(const TapConfig&, const PlannedPart&, const Build&);
template AnyPart make_part(const RestTanhConfig&, const PlannedPart&, const Build&);
template AnyPart make_part(const FilmConfig&, const PlannedPart&, const Build&);

}  // namespace coil::ssm
