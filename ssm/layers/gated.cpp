// A gated recurrence for the slow path, which runs once per hop. The speed and the target of each unit depend on all
// units.
//   z = tanh(x + R c);  c = c + sigmoid(G z + b_g) (V z + b_v - c);  y = c
#include <algorithm>

#include "ssm/layers/make_part.h"
#include "ssm/layers/part.h"

namespace coil::ssm {

namespace {

class Gated final : public RecurrentPart {
 public:
  Gated(const GatedConfig& config, const PartTraits& traits, const Build& build)
      : RecurrentPart(config.d_hidden, config.d_units), kernels_(build.kernels), units_(size_t(config.d_units)) {
    recurrent_ = load_linear(config.recurrent(), build);
    value_ = load_linear(config.value(), build), gate_ = load_linear(config.gate(), build);
    scan_floats_ = stride_out();
    std::vector<uint32_t> position;
    for (size_t i = 0; i < units_; ++i) position.push_back(uint32_t(i));
    scan_offset_ = build.layout.add(traits.region("gated"), scan_floats_, std::move(position));
  }

  bool joins() const override { return false; }
  bool can_accumulate() const override { return false; }
  size_t history_floats() const override { return 0; }
  size_t scratch_floats(size_t) const override { return stride_in() + 2 * stride_out(); }
  void read_history(const float*, float*, float*) const noexcept override {}
  void expand(const float*, size_t, Runs, float*) const noexcept override {}

  void recur(const float* in, size_t, Runs runs, float* scratch, float* out, bool) const noexcept override {
    const size_t hidden = stride_in(), width = stride_out();
    float *z = scratch, *moves = scratch + hidden;
    for (const Run& run : runs) {
      float* c = run.scan_state;
      for (size_t t = 0; t < run.frames; ++t, in += hidden, out += width) {
        std::copy_n(in, hidden, z);
        kernels_.linear(recurrent_, nullptr, c, width, z, hidden, 1, true);
        kernels_.tanh(z, hidden, z, hidden, hidden, 1);
        kernels_.linear(value_, nullptr, z, hidden, moves, width, 1, false);
        kernels_.linear(gate_, nullptr, z, hidden, moves + width, width, 1, false);
        for (size_t i = 0; i < units_; ++i) moves[i] -= c[i];
        kernels_.glu(moves, 2 * width, out, width, width, 1);
        kernels_.add(c, width, out, width, width, 1);
        std::copy_n(out, width, c);
      }
    }
  }

  void end_state(const float*, size_t, float*, float*) const noexcept override {}
  void join(const float*, float*) const noexcept override {}
  LayerActivity activity(const Run& run, float*) const noexcept override {
    return {sum_of_squares(run.scan_state, units_) / float(units_), 0};
  }

 private:
  const Kernels& kernels_;
  size_t units_;
  PackedLinear recurrent_, value_, gate_;
};

}  // namespace

static AnyPart compile_part(const GatedConfig& config, const PlannedPart& place, const Build& build) {
  return std::make_unique<Gated>(config, place.traits, build);
}
template AnyPart make_part(const GatedConfig&, const PlannedPart&, const Build&);

}  // namespace coil::ssm
