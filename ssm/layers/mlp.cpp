// down(f(gate(x)) * up(x)). Source of the gated form: Shazeer 2020, eq. 6.
#include "ssm/layers/mlp.h"

#include "ssm/layers/make_part.h"

namespace coil::ssm {

Mlp::Mlp(const MlpConfig& config, const Build& build)
    : kernels_(build.kernels),
      activation_(config.activation),
      up_(load_linear(config.up, build)),
      down_(load_linear(config.down, build)) {
  if (config.gate) gate_ = load_linear(*config.gate, build);
}

void Mlp::run(const float* in, size_t in_stride, float* out, size_t out_stride, size_t frames, bool accumulate,
              float* scratch) const noexcept {
  const size_t width = up_.d_out;
  float *hidden = scratch, *up = gate_ ? scratch + frames * width : scratch;
  kernels_.linear(up_, nullptr, in, in_stride, up, width, frames, false);
  if (gate_) kernels_.linear(*gate_, nullptr, in, in_stride, hidden, width, frames, false);
  activate(kernels_, activation_, hidden, width, width, frames);
  if (gate_) multiply(up, width, hidden, width, width, frames);
  kernels_.linear(down_, nullptr, hidden, width, out, out_stride, frames, accumulate);
}

namespace {

class MlpPart final : public PointwisePart {
 public:
  MlpPart(const MlpConfig& config, const Build& build)
      : PointwisePart(config.up.d_in, config.down.d_out), mlp_(config, build) {}

  bool can_accumulate() const override { return true; }
  size_t scratch_floats(size_t frames) const override { return mlp_.scratch_floats(frames); }
  void process(const float* in, float* out, size_t frames, bool accumulate, std::span<const FilmPiece>,
               float* scratch) const noexcept override {
    mlp_.run(in, stride_in(), out, stride_out(), frames, accumulate, scratch);
  }

 private:
  Mlp mlp_;
};

}  // namespace

static AnyPart compile_part(const MlpConfig& config, const PlannedPart&, const Build& build) {
  return std::make_unique<MlpPart>(config, build);
}
template AnyPart make_part(const MlpConfig&, const PlannedPart&, const Build&);

}  // namespace coil::ssm
