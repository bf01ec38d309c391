// S4D: a diagonal state-space filter bank per channel. Source: Gu, Gupta, Goel, Re 2022, "On the Parameterization and
// Initialization of Diagonal State Space Models", eq. 3 (zero-order hold and bilinear discretisation) and 4.
//
// x' = z x + b u, y = Re(c x') + D u is computed as y = Re(c b z h) + (D + Re(c b)) u, h' = z h + u, with h = x / b: so
// y waits for u as briefly as possible. State files and comparisons use x.
#include <complex>

#include "ssm/layers/make_part.h"
#include "ssm/layers/part.h"
#include "ssm/model/s4d_bank.h"

namespace coil::ssm {

namespace {

using Complex = std::complex<double>;

class S4d final : public RecurrentPart {
 public:
  S4d(const S4dConfig& config, const PartTraits& traits, const Build& build)
      : RecurrentPart(config.channels, config.channels),
        kernels_(build.kernels),
        complex_(config.complex),
        channels_(padded(size_t(config.channels))),
        modes_(size_t(config.modes)) {
    const S4dBank bank = s4d_bank(config, build.checkpoint);
    for (const double dt : bank.dt) dt_ += float(dt / double(config.channels));
    const size_t channels = size_t(config.channels), plane = modes_ * channels_, planes = complex_ ? 2 : 1;
    z_.assign(planes * plane, 0.0f);
    c_.assign(planes * plane, 0.0f);
    decay_.assign(plane, 0.0);
    power_.assign(plane, 0.0f);
    scan_floats_ = planes * plane;
    states_ = planes * channels * modes_;

    std::vector<uint32_t> position;
    std::vector<std::complex<float>> scale;
    std::vector<double> direct = bank.D;
    for (size_t i = 0; i < channels * modes_; ++i) {
      const size_t at = state_index(i / modes_, i % modes_, channels_, modes_);
      const Complex z = bank.z[i], own = bank.b[i] * bank.C[i], c = own * z;
      decay_[at] = z;
      z_[at] = float(z.real()), c_[at] = float(c.real());
      direct[i / modes_] += own.real();
      position.push_back(uint32_t(at));
      scale.emplace_back(std::complex<float>(bank.b[i]));
      power_[at] = float(std::norm(bank.b[i]));
      if (complex_) {
        z_[plane + at] = float(z.imag()), c_[plane + at] = float(c.imag());
        position.push_back(uint32_t(plane + at));
      }
    }
    D_ = arranged(std::vector<float>(direct.begin(), direct.end()), iota(config.channels));
    bank_ = {channels_,         modes_,   z_.data(), complex_ ? z_.data() + plane : nullptr, c_.data(),
             c_.data() + plane, D_.data()};
    scan_offset_ = build.layout.add(traits.region("ssm"), scan_floats_, std::move(position), std::move(scale));
  }

  bool can_accumulate() const override { return false; }
  size_t history_floats() const override { return 0; }
  size_t scratch_floats(size_t) const override { return 0; }
  void read_history(const float*, float*, float*) const noexcept override {}
  void expand(const float*, size_t, Runs, float*) const noexcept override {}

  void recur(const float* in, size_t, Runs runs, float*, float* out, bool) const noexcept override {
    kernels_.s4d(bank_, runs, in, stride_in(), out, stride_out());
  }

  void end_state(const float* in, size_t frames, float*, float* carry) const noexcept override {
    std::fill_n(carry, scan_floats_, 0.0f);
    const Run run{frames, nullptr, carry};
    kernels_.s4d_end(bank_, {&run, 1}, in, stride_in());
    float* factor = carry + scan_floats_;
    const size_t plane = modes_ * channels_;
    for (size_t i = 0; i < plane; ++i) {
      const Complex power = decay_[i] == 0.0 ? 0.0 : std::pow(decay_[i], double(frames));
      factor[i] = float(power.real());
      if (complex_) factor[plane + i] = float(power.imag());
    }
  }

  const S4dKernel* bank() const override { return &bank_; }

  LayerActivity activity(const Run& run, float*) const noexcept override {
    const size_t plane = modes_ * channels_;
    float sum = 0;
    for (size_t i = 0; i < scan_floats_; ++i) sum += power_[i % plane] * run.scan_state[i] * run.scan_state[i];
    return {sum / float(states_), dt_};
  }

  void join(const float* carry, float* state) const noexcept override {
    if (!complex_) return join_real(carry, state, scan_floats_);
    const size_t plane = modes_ * channels_;
    const float* factor = carry + scan_floats_;
    for (size_t i = 0; i < plane; ++i) {
      const std::complex<float> joined =
          std::complex<float>(factor[i], factor[plane + i]) * std::complex<float>(state[i], state[plane + i]);
      state[i] = joined.real() + carry[i];
      state[plane + i] = joined.imag() + carry[plane + i];
    }
  }

 private:
  const Kernels& kernels_;
  bool complex_;
  size_t channels_, modes_, states_ = 0;
  float dt_ = 0;             // mean over the channels
  AlignedFloats z_, c_, D_;  // planes re, im
  S4dKernel bank_;
  AlignedFloats power_;         // |b|^2
  std::vector<Complex> decay_;  // z in double precision, for powers
};

}  // namespace

static AnyPart compile_part(const S4dConfig& config, const PlannedPart& place, const Build& build) {
  return std::make_unique<S4d>(config, place.traits, build);
}
template AnyPart make_part(const S4dConfig&, const PlannedPart&, const Build&);

}  // namespace coil::ssm
