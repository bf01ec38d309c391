// Builds the compiled network from its config: input, layers, output, modulation.
#include "ssm/layers/network.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>
#include <type_traits>

namespace coil::ssm {

Network::Network(const ModelConfig& config, const Plan& plan, const Card& card, const Build& build)
    : kernels_(build.kernels), d_input_(size_t(config.d_input)), stack_(plan.layers, config.d_model, build) {
  Build exact = build;  // few values depend on these weights, so rounding them would save nothing
  exact.weights = WeightFormat::f32;
  if (config.embedding) {
    vocab_ = size_t(config.embedding->vocab);
    const auto table =
        build.checkpoint.floats(config.embedding->name + ".weight", {config.embedding->vocab, config.d_model});
    embedding_stride_ = padded(size_t(config.d_model));
    embedding_.assign(vocab_ * embedding_stride_, 0.0f);
    for (size_t i = 0; i < vocab_; ++i)
      std::transform(table.begin() + std::ptrdiff_t(i * size_t(config.d_model)),
                     table.begin() + std::ptrdiff_t((i + 1) * size_t(config.d_model)),
                     embedding_.begin() + std::ptrdiff_t(i * embedding_stride_),
                     [&](float value) { return float(value * config.embedding->scale); });
  }
  if (config.in_proj) in_proj_ = load_linear(*config.in_proj, exact);
  if (config.norm_f) norm_f_ = make_rms_norm(*config.norm_f, build);
  std::optional<PackedLinear> projection, direct;
  if (config.out_proj) projection = load_linear(*config.out_proj, build);
  if (config.direct) direct = load_linear(*config.direct, exact);
  head_.emplace(std::move(projection), std::move(direct), size_t(config.d_output), plan.output_film_at);
  modulation_ = std::make_unique<Modulation>(config, plan, card, exact);
}

size_t Network::block_frames() const {
  // Language models are larger than the caches: reading their weights rarely is worth more than small buffers.
  constexpr size_t kFastFloats = 1 << 17, kTokens = 128;
  if (!embedding_.empty()) return kTokens;
  return std::clamp<size_t>(kFastFloats / widest(), 1, Modulation::kMaxFrames);
}

size_t Network::pack_input(const float* frames, float* rows, size_t n) const noexcept {
  size_t not_finite = 0;
  for (size_t t = 0; t < n; ++t)
    for (size_t c = 0; c < d_input_; ++c) {
      const float value = frames[t * d_input_ + c];
      const bool finite = (std::bit_cast<uint32_t>(value) & 0x7f800000u) != 0x7f800000u;
      rows[t * stride_in() + c] = finite ? value : 0.0f;
      not_finite += !finite;
    }
  return not_finite;
}

void Network::begin(const float* input_rows, float* h, size_t n) const noexcept {
  if (in_proj_)
    kernels_.linear(*in_proj_, nullptr, input_rows, stride_in(), h, in_proj_->d_out, n, false);
  else
    std::memcpy(h, input_rows, n * stride_in() * sizeof(float));
}

void Network::embed(const int32_t* tokens, float* h, size_t n) const noexcept {
  for (size_t t = 0; t < n; ++t) {
    const size_t id = tokens[t] >= 0 && size_t(tokens[t]) < vocab_ ? size_t(tokens[t]) : 0;
    std::memcpy(h + t * embedding_stride_, embedding_.data() + id * embedding_stride_,
                embedding_stride_ * sizeof(float));
  }
}

void Network::end(const OutputHead& head, const float* input_rows, float* h, float* output_rows, size_t n,
                  std::span<const FilmPiece> film, const FilmFolds* folded) const noexcept {
  if (norm_f_) norm_f_->process(h, h, n, false, {}, nullptr);
  head.process(kernels_, input_rows, stride_in(), h, stack_.stride_out(), output_rows, n, film,
               folded ? folded->output() : nullptr);
  if (!modulation_->has_gain()) return;
  const size_t index = modulation_->gain_index();
  for (const FilmPiece& piece : film) {
    const size_t frames = std::min(piece.frames, n);
    for (size_t t = 0; t < frames; ++t, output_rows += head.stride()) {
      const float gain =
          piece.slope ? piece.base[index] + piece.slope[index] * (piece.first + float(t)) : piece.base[index];
      for (size_t c = 0; c < head.width(); ++c) output_rows[c] *= gain;
    }
    n -= frames;
  }
}

}  // namespace coil::ssm
