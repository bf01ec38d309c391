// Mixture of experts: a router chooses a few experts for each frame. Source: Shazeer et al. 2017, eq. 1.
#include <algorithm>
#include <vector>

#include "ssm/layers/make_part.h"
#include "ssm/layers/mlp.h"
#include "ssm/model/routing.h"

namespace coil::ssm {

namespace {

class Moe final : public PointwisePart {
 public:
  Moe(const MoeConfig& config, const Build& build)
      : PointwisePart(config.d_model, config.d_model), kernels_(build.kernels), config_(config) {
    Build exact = build;  // rounding the router's weights could change the choice of expert
    exact.weights = WeightFormat::f32;
    router_ = load_linear(config.router, exact);
    if (!config.correction.empty())
      correction_ = build.checkpoint.floats(config.correction, {int64_t(config.experts.size())});
    for (const MlpConfig& expert : config.experts) experts_.emplace_back(expert, build);
    if (config.shared) shared_.emplace(*config.shared, build);
    if (config.latent_in) latent_in_ = load_linear(*config.latent_in, build);
    if (config.latent_out) latent_out_ = load_linear(*config.latent_out, build);
    expert_stride_ = latent_in_ ? latent_in_->d_out : stride_in();
  }

  size_t scratch_floats(size_t frames) const override {
    size_t mlp = shared_ ? shared_->scratch_floats(frames) : 0;
    for (const Mlp& expert : experts_) mlp = std::max(mlp, expert.scratch_floats(frames));
    return frames * (router_.d_out + 4 * expert_stride_) + mlp;
  }

  void process(const float* in, float* out, size_t frames, bool, std::span<const FilmPiece>,
               float* scratch) const noexcept override {
    const size_t width = expert_stride_;
    float *weights = scratch, *narrow = weights + frames * router_.d_out, *sum = narrow + frames * width;
    float *gathered = sum + frames * width, *made = gathered + frames * width, *mlp = made + frames * width;
    kernels_.linear(router_, nullptr, in, stride_in(), weights, router_.d_out, frames, false);
    for (size_t t = 0; t < frames; ++t)
      route<float>(config_, correction_, std::span(weights + t * router_.d_out, experts_.size()));
    const float* x = in;
    if (latent_in_) {
      kernels_.linear(*latent_in_, nullptr, in, stride_in(), narrow, width, frames, false);
      x = narrow;
    }
    std::fill_n(sum, frames * width, 0.0f);
    for (size_t e = 0; e < experts_.size(); ++e) run_expert(e, x, weights, frames, gathered, made, mlp, sum);
    if (latent_out_)
      kernels_.linear(*latent_out_, nullptr, sum, width, out, stride_out(), frames, false);
    else
      std::copy_n(sum, frames * width, out);
    if (shared_) shared_->run(in, stride_in(), out, stride_out(), frames, true, mlp);
  }

 private:
  // Runs all frames that chose this expert at once.
  void run_expert(size_t e, const float* x, const float* weights, size_t frames, float* gathered, float* made,
                  float* mlp, float* sum) const noexcept {
    const size_t width = expert_stride_;
    size_t count = 0;
    for (size_t t = 0; t < frames; ++t)
      if (weights[t * router_.d_out + e] != 0) std::copy_n(x + t * width, width, gathered + count++ * width);
    if (count == 0) return;
    experts_[e].run(gathered, width, made, width, count, false, mlp);
    count = 0;
    for (size_t t = 0; t < frames; ++t) {
      const float weight = weights[t * router_.d_out + e];
      if (weight == 0) continue;
      const float* from = made + count++ * width;
      for (size_t i = 0; i < width; ++i) sum[t * width + i] += weight * from[i];
    }
  }

  const Kernels& kernels_;
  MoeConfig config_;
  PackedLinear router_;
  std::vector<float> correction_;
  std::vector<Mlp> experts_;
  std::optional<Mlp> shared_;
  std::optional<PackedLinear> latent_in_, latent_out_;
  size_t expert_stride_ = 0;
};

}  // namespace

static AnyPart compile_part(const MoeConfig& config, const PlannedPart&, const Build& build) {
  return std::make_unique<Moe>(config, build);
}
template AnyPart make_part(const MoeConfig&, const PlannedPart&, const Build&);

}  // namespace coil::ssm
