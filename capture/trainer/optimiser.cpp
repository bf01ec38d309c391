// The constants were tuned on a simulated overdrive and a simulated tube preamp.
#include "capture/trainer/optimiser.h"

#include <algorithm>
#include <cmath>

namespace coil::capture {
namespace {

constexpr double kRate = 0.02, kLastRate = 0.005;  // relative to kRate
constexpr double kConstantShare = 0.4;             // of the training; the rate then falls linearly
constexpr double kTimeConstantShare = 0.5, kKnobShare = 0.5, kSlowShare = 0.5;  // relative to the rate
constexpr double kDecay = 1e-4;
constexpr double kBeta1 = 0.9, kBeta2 = 0.98, kEps = 1e-8;
constexpr double kWarmUpSteps = 100;
constexpr double kLargestNorm = 1,
                 kSpike = 2;  // the gradient's norm is clipped there, and at this multiple of its usual value
constexpr double kAverage = 0.999;
constexpr size_t kModesPerBasis = 8;  // of the filter

}  // namespace

Optimiser::Optimiser(const ParameterMap& map, std::vector<float> parameters, double slowest_frames)
    : map_(map),
      slowest_frames_(slowest_frames),
      parameters_(std::move(parameters)),
      average_(parameters_.begin(), parameters_.end()),
      mean_(map.size),
      square_(map.size),
      clipped_(map.size),
      direction_(map.size),
      in_matrix_(map.size),
      is_step_(map.size) {
  const size_t d = map.shape.d_model;
  for (size_t l = 0; l < map.shape.layers; ++l) {
    const size_t at = map.at_layer(l);
    std::fill_n(is_step_.begin() + std::ptrdiff_t(at), map.layer.C, char(1));
    add_matrix(at + map.layer.in_weight, d, d);
    add_matrix(at + map.layer.out_weight, d, d);
    add_matrix(at + map.layer.C, d, 2 * map.shape.pairs);
    for (const size_t vector : {map.layer.log_dt, map.layer.D, map.layer.in_bias}) add_matrix(at + vector, d, 1);
  }
  for (const size_t row : {map.input, map.output}) add_matrix(row, d, 1);
  if (map.slow_path.size > 0) add_slow_matrices();
  if (map.filter_bank.size > 0) add_filter_matrices();
  bound_time_constants();
}

// The last matrix is split into blocks of d_model rows, because SOAP's bases for hundreds of rows would cost more than
// everything else.
void Optimiser::add_slow_matrices() {
  const SlowMap& slow = map_.slow_path;
  add_matrix(map_.slow + slow.in_weight, SlowMap::hidden, slow.inputs);
  add_matrix(map_.slow + slow.recurrent, SlowMap::hidden, SlowMap::units);
  add_matrix(map_.slow + slow.gate_weight, SlowMap::units, SlowMap::hidden);
  add_matrix(map_.slow + slow.value_weight, SlowMap::units, SlowMap::hidden);
  add_matrix(map_.slow + slow.head_weight, SlowMap::head, SlowMap::units);
  for (size_t row = 0; row < slow.film; row += map_.shape.d_model)
    add_matrix(map_.slow + slow.out_weight + row * SlowMap::head, map_.shape.d_model, SlowMap::head);
}

// Neighbouring modes have similar frequencies and gradients, so each group of modes shares one basis for all its
// values.
void Optimiser::add_filter_matrices() {
  const size_t modes = map_.shape.filter_modes, C = map_.filter + map_.filter_bank.C;
  std::fill_n(is_step_.begin() + std::ptrdiff_t(map_.filter), map_.filter_bank.C, char(1));
  for (size_t n = 0; n < modes; n += kModesPerBasis) add_matrix(C + 2 * n, 2 * std::min(kModesPerBasis, modes - n), 1);
}

void Optimiser::add_matrix(size_t at, size_t rows, size_t columns) {
  matrices_.push_back({at, rows, columns, Soap(rows, columns)});
  std::fill_n(in_matrix_.begin() + std::ptrdiff_t(at), rows * columns, char(1));
}

double Optimiser::rate_of(size_t parameter) const {
  if (is_step_[parameter]) return rate_ * kTimeConstantShare;
  if (parameter >= map_.filter) return rate_;
  if (parameter >= map_.slow) return rate_ * kSlowShare;
  return parameter >= map_.knobs ? rate_ * kKnobShare : rate_;
}

double Optimiser::decay_of(size_t parameter) const {
  return is_step_[parameter] || parameter >= map_.knobs ? 0 : kDecay;
}

bool Optimiser::begin(const std::vector<double>& gradient, double progress) {
  double norm = 0;
  for (const double g : gradient) norm += g * g;
  norm = std::sqrt(norm);
  if (!std::isfinite(norm)) return false;
  ++steps_;
  const double step = double(steps_);
  const double most =
      typical_norm_ > 0 && step > kWarmUpSteps ? std::min(kLargestNorm, kSpike * typical_norm_) : kLargestNorm;
  typical_norm_ += (std::min(norm, most) - typical_norm_) * std::max(0.01, 1 / step);
  const double clip = std::min(1.0, most / (norm + 1e-12));
  for (size_t i = 0; i < map_.size; ++i) clipped_[i] = gradient[i] * clip;
  const double left = std::clamp((1 - progress) / (1 - kConstantShare), 0.0, 1.0);
  rate_ = kRate * std::min(1.0, step / kWarmUpSteps) * (kLastRate + (1 - kLastRate) * left);
  return true;
}

void Optimiser::find_direction(size_t matrix) {
  Matrix& m = matrices_[matrix];
  m.soap.direction(&clipped_[m.at], kBeta1, kBeta2, steps_, &direction_[m.at]);
}

void Optimiser::finish() {
  const double step = double(steps_), mean_part = 1 - std::pow(kBeta1, step), square_part = 1 - std::pow(kBeta2, step);
  for (size_t i = 0; i < map_.size; ++i) {
    if (!in_matrix_[i]) {
      const double g = clipped_[i];
      mean_[i] += (g - mean_[i]) * (1 - kBeta1), square_[i] += (g * g - square_[i]) * (1 - kBeta2);
      direction_[i] = mean_[i] / (mean_part * (std::sqrt(square_[i] / square_part) + kEps));
    }
    const double rate = rate_of(i);
    parameters_[i] = float(double(parameters_[i]) * (1 - rate * decay_of(i)) - rate * direction_[i]);
  }
  bound_time_constants();
  const double share = 1 - std::min(kAverage, (1 + step) / (10 + step));
  for (size_t i = 0; i < map_.size; ++i) average_[i] += (double(parameters_[i]) - average_[i]) * share;
}

// 1 / (dt exp(log_A_real)) <= slowest_frames
void Optimiser::bound_time_constants() {
  const float least = float(-std::log(slowest_frames_));
  for (size_t l = 0; l < map_.shape.layers; ++l) {
    float* p = &parameters_[map_.at_layer(l)];
    for (size_t n = 0; n < map_.modes(); ++n) {
      float& log_A_real = p[map_.layer.log_A_real + n];
      log_A_real = std::max(log_A_real, least - p[map_.layer.log_dt + n / map_.shape.pairs]);
    }
  }
  for (size_t n = 0; n < map_.shape.filter_modes; ++n) {
    float* p = &parameters_[map_.filter];
    float& log_A_real = p[map_.filter_bank.log_A_real + n];
    log_A_real = std::max(log_A_real, least - p[map_.filter_bank.log_dt + n]);
  }
}

}  // namespace coil::capture
