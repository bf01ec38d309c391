// The modes of S4D-Lin (Gu et al. 2022, "On the parameterization and initialization of diagonal state space models");
// all else is drawn from a normal distribution.
#include "capture/trainer/initial_parameters.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace coil::capture {
namespace {

constexpr double kShortestStep = 8e-5, kLongestStep = 0.4;  // dt at 48 kHz; a mode's time constant is 2 / dt frames

constexpr double kLowestHz = 25, kHighestHz = 22000, kBendHz = 1000, kBreadth = 2;  // for the filter's modes

constexpr double kFastestUnit = 0.004, kSlowestUnit = 0.6;  // seconds; time constants of the slow path's states

// Frequencies at which a loudspeaker resonates: denser towards low frequencies, with each mode as wide as the gaps
// beside it. Initially their gain is 0.
void place_filter_modes(const ParameterMap& map, double sample_rate_hz, float* p) {
  const FilterMap& at = map.filter_bank;
  const size_t modes = map.shape.filter_modes;
  const double octaves = std::log((kHighestHz + kBendHz) / (kLowestHz + kBendHz));
  for (size_t n = 0; n < modes; ++n) {
    const double bend_hz = (kLowestHz + kBendHz) * std::exp(octaves * (double(n) + 0.5) / double(modes));
    const double hz = bend_hz - kBendHz, gap_hz = bend_hz * octaves / double(modes);
    const double decay = kBreadth * std::numbers::pi * gap_hz / sample_rate_hz;  // per frame
    p[at.log_dt + n] = float(std::log(2 * decay));
    p[at.log_A_real + n] = float(std::log(0.5));
    p[at.A_imag + n] = float(2 * std::numbers::pi * hz / sample_rate_hz / (2 * decay));
  }
  p[at.D] = 1;
}

}  // namespace

std::vector<float> initial_parameters(const ParameterMap& map, Random& random, double sample_rate_hz) {
  const size_t d = map.shape.d_model, pairs = map.shape.pairs;
  std::vector<float> parameters(map.size);
  const auto draw = [&](size_t at, size_t count, double scale) {
    for (size_t i = 0; i < count; ++i) parameters[at + i] = float(random.normal() * scale);
  };
  const double slower = std::log(48000 / sample_rate_hz);
  for (size_t l = 0; l < map.shape.layers; ++l) {
    float* p = &parameters[map.at_layer(l)];
    for (size_t c = 0; c < d; ++c) {
      const double place = (double(c) + random.uniform()) / double(d);
      p[map.layer.log_dt + c] =
          float(slower + std::log(kShortestStep) + std::log(kLongestStep / kShortestStep) * place);
    }
    for (size_t c = d; c > 1; --c) std::swap(p[map.layer.log_dt + c - 1], p[map.layer.log_dt + random.below(c)]);
    for (size_t n = 0; n < map.modes(); ++n) {
      p[map.layer.log_A_real + n] = float(std::log(0.5));
      p[map.layer.A_imag + n] = float(std::numbers::pi * double(n % pairs));
    }
    const size_t at = map.at_layer(l);
    draw(at + map.layer.C, 2 * map.modes(), std::sqrt(0.5 / double(pairs)));
    std::fill_n(p + map.layer.D, d, 1.0f);
    draw(at + map.layer.in_weight, d * d, 1 / std::sqrt(double(d)));
    draw(at + map.layer.in_bias, d, 0.1);
    draw(at + map.layer.out_weight, d * d, 0.5 / std::sqrt(double(d)));
  }
  draw(map.input, d, 1);
  draw(map.output, d, 0.5 / std::sqrt(double(d)));
  if (map.slow_path.size > 0) {
    const SlowMap& slow = map.slow_path;
    constexpr double units = SlowMap::units, hidden = SlowMap::hidden, head = SlowMap::head;
    draw(map.slow + slow.in_weight, SlowMap::hidden * slow.inputs, 1 / std::sqrt(double(slow.inputs)));
    draw(map.slow + slow.in_bias, SlowMap::hidden, 0.3);
    draw(map.slow + slow.recurrent, SlowMap::hidden * SlowMap::units, 0.5 / std::sqrt(units));
    draw(map.slow + slow.gate_weight, SlowMap::units * SlowMap::hidden, 0.5 / std::sqrt(hidden));
    for (size_t i = 0; i < SlowMap::units; ++i) {
      const double share = (double(i) + random.uniform()) / units;
      const double tau_s = kFastestUnit * std::pow(kSlowestUnit / kFastestUnit, share);
      const double gate = 1 - std::exp(-double(SlowMap::kHopFrames) / (tau_s * sample_rate_hz));
      parameters[map.slow + slow.gate_bias + i] = float(std::log(gate / (1 - gate)));
    }
    draw(map.slow + slow.value_weight, SlowMap::units * SlowMap::hidden, 1 / std::sqrt(hidden));
    draw(map.slow + slow.head_weight, SlowMap::head * SlowMap::units, 1 / std::sqrt(units));
    draw(map.slow + slow.head_bias, SlowMap::head, 0.1);
    draw(map.slow + slow.out_weight, slow.film * SlowMap::head, 0.05 / std::sqrt(head));
  }
  if (map.filter_bank.size > 0) place_filter_modes(map, sample_rate_hz, &parameters[map.filter]);
  return parameters;
}

}  // namespace coil::capture
