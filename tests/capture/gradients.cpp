// Checks the gradient of every parameter: double precision against central differences and PyTorch, each SIMD target
// against double precision.
#include <catch2/catch.hpp>
#include <cmath>
#include <string>
#include <vector>

#include "capture/trainer/discretisation.h"
#include "capture/trainer/initial_parameters.h"
#include "capture/trainer/lane_group.h"
#include "capture/trainer/kernel_table-inl.h"  // compiled for this file's own target, in double precision
#include "ssm/model/safetensors.h"

using namespace coil::capture;

namespace {

constexpr size_t kFrames = 4 * kBlockFrames;
constexpr size_t kHops = 3, kLookbackHops = 4;  // with a slow path
constexpr size_t kLanesUsed = 16;

// A batch of lanes with knobs, weights, initial memory, and frames that are not scored.
struct Problem {
  // One with gradients from PyTorch, see make_torch_gradients.py.
  static Problem of_file(const coil::ssm::Safetensors& file, const std::string& name, const Shape& shape) {
    Problem problem(shape);
    const auto read = [&](const char* what) { return file.tensors().at(name + "." + what).to_doubles(); };
    problem.parameters = read("parameters"), problem.input = read("input"), problem.target = read("target"),
    problem.state = read("states"), problem.filter_state = read("filter_states");
    problem.slow_state = read("slow_states");
    const std::vector<double> knobs = read("knobs"), features = read("features");
    problem.hops.assign(features.begin(), features.end());
    for (size_t i = 0; i < kLanesUsed; ++i)
      for (size_t k = 0; k < shape.knobs; ++k) problem.knobs[i][k] = knobs[shape.knobs * i + k];
    problem.weights.assign(kLanesUsed, 1);
    problem.unscored.assign(kLanesUsed, 0);
    problem.uncounted = problem.frames;
    problem.first_hop = 10;
    return problem;
  }

  explicit Problem(const Shape& shape)
      : map(shape), frames(shape.slow_features > 0 ? kHops * SlowMap::kHopFrames : kFrames) {
    Random random{7};
    parameters.resize(map.size);
    const std::vector<float> initial = initial_parameters(map, random, 48000);
    for (size_t i = 0; i < map.size; ++i) parameters[i] = double(initial[i]) + 0.1 * random.normal();
    for (size_t i = 0; i < kLanesUsed; ++i) {
      knobs.push_back({});
      for (size_t k = 0; k < shape.knobs; ++k) knobs.back().push_back(random.uniform());
      weights.push_back(0.5 + random.uniform());
      unscored.push_back(i % 2 ? 20 : 0);
    }
    for (size_t i = 0; i < frames * kLanesUsed; ++i)
      input.push_back(0.5 * random.normal()), target.push_back(random.normal());
    for (size_t i = 0; i < shape.layers * map.modes() * kStates * kLanesUsed; ++i) state.push_back(random.normal());
    for (size_t i = 0; i < shape.filter_modes * kStates * kLanesUsed; ++i) filter_state.push_back(random.normal());
    if (shape.filter_modes > 0) parameters[map.direct] = 0;
    if (shape.slow_features == 0) return;
    for (size_t i = 0; i < SlowMap::units * kLanesUsed; ++i) slow_state.push_back(random.normal());
    for (size_t i = 0; i < 64 * 2 * shape.slow_features; ++i) hops.push_back(float(random.uniform()));
  }

  // The loss with lanes in vectors of the kernels' size; adds to the gradient.
  template <class T>
  double loss(const Kernels<T>& kernels, std::vector<double>* gradient) const {
    const std::vector<T> w(parameters.begin(), parameters.end());
    std::vector<T> modes(kModeValues * map.all_modes());
    discretise(map, w.data(), modes.data());
    const Weights<T> shared{w.data(), modes.data(), map.shape.layers};
    Workspace<T> workspace(map, kernels.lanes, frames);
    std::vector<double> ignored(map.size);
    double sum = 0;
    for (size_t first = 0; first < lanes_used; first += kernels.lanes) {
      LaneGroup<T> group(map, kernels, frames, kLookbackHops);
      for (size_t i = 0; i < kernels.lanes; ++i) fill(group, first + i, i, w);
      group.prepare();
      for (size_t s = 0; s < segments; ++s) group.forward(shared, workspace);
      const LossSums sums = group.loss(2 * plain_share, 2 * (1 - plain_share), workspace);
      group.backward(shared, workspace, gradient ? gradient->data() : ignored.data());
      sum += plain_share * sums.plain + (1 - plain_share) * sums.pre_emphasised;
    }
    if (gradient) chain_modes(map, w.data(), gradient->data());
    return sum;
  }

  template <class T>
  void fill(LaneGroup<T>& group, size_t from, size_t lane, const std::vector<T>& w) const {
    const size_t n = group.lanes();
    group.set_lane(lane, w.data(), knobs[from], weights[from]);
    for (size_t t = 0; t < frames; ++t) {
      group.input()[t * n + lane] = T(input[t * kLanesUsed + from]);
      group.target()[t * n + lane] = T(target[t * kLanesUsed + from]);
      group.counts()[t * n + lane] = T(t >= unscored[from] && t != uncounted);
    }
    for (size_t i = 0; i < group.state().size() / n; ++i) group.state()[i * n + lane] = T(state[i * kLanesUsed + from]);
    for (size_t i = 0; i < group.filter_state().size() / n; ++i)
      group.filter_state()[i * n + lane] = T(filter_state[i * kLanesUsed + from]);
    if (!group.slow()) return;
    // some lanes have just started, or started shortly before
    const size_t first = first_hop + from, begin = first_hop > 0 ? 0 : from % 4 == 3 ? from : from / 2;
    group.slow()->set_hops(lane, hops, knobs[from], first, begin);
    for (size_t i = 0; i < SlowMap::units; ++i)
      group.slow()->state()[i * n + lane] =
          first > begin + kLookbackHops + 1 ? T(slow_state[i * kLanesUsed + from]) : T(0);
  }

  ParameterMap map;
  size_t frames, lanes_used = kLanesUsed;
  size_t segments = 1;   // the last of them is scored; all have the same input
  size_t first_hop = 0;  // of lane 0; above 0: all lanes started long ago
  std::vector<double> parameters, input, target, state, filter_state, weights, slow_state;
  std::vector<float> hops;
  std::vector<std::vector<double>> knobs;
  std::vector<size_t> unscored;
  size_t uncounted = 40;
  double plain_share = 0.3;
};

template <size_t d, size_t pairs>
Kernels<double> exact_kernels() {
  return HWY_NAMESPACE::KernelsOf<double, d, pairs>();
}

std::string name_of(const ParameterMap& map, size_t i) {
  if (i >= map.filter) {
    const FilterMap& l = map.filter_bank;
    const size_t at = i - map.filter;
    return at >= l.D            ? "filter.D"
           : at >= l.C          ? "filter.C"
           : at >= l.A_imag     ? "filter.A_imag"
           : at >= l.log_A_real ? "filter.log_A_real"
                                : "filter.log_dt";
  }
  if (i >= map.slow) {
    const SlowMap& l = map.slow_path;
    const size_t at = i - map.slow;
    return at >= l.out_bias       ? "slow.out_bias"
           : at >= l.out_weight   ? "slow.out_weight"
           : at >= l.head_bias    ? "slow.head_bias"
           : at >= l.head_weight  ? "slow.head_weight"
           : at >= l.value_bias   ? "slow.value_bias"
           : at >= l.value_weight ? "slow.value_weight"
           : at >= l.gate_bias    ? "slow.gate_bias"
           : at >= l.gate_weight  ? "slow.gate_weight"
           : at >= l.recurrent    ? "slow.recurrent"
           : at >= l.in_bias      ? "slow.in_bias"
                                  : "slow.in_weight";
  }
  if (i >= map.knobs) return "knobs";
  if (i >= map.input) return i >= map.direct ? "direct" : i >= map.output ? "output" : "input";
  const size_t at = i % map.layer.size;
  const LayerMap& l = map.layer;
  return at >= l.out_weight   ? "out_weight"
         : at >= l.in_bias    ? "in_bias"
         : at >= l.in_weight  ? "in_weight"
         : at >= l.D          ? "D"
         : at >= l.C          ? "C"
         : at >= l.A_imag     ? "A_imag"
         : at >= l.log_A_real ? "log_A_real"
                              : "log_dt";
}

// Compares the loss's derivative by parameter i with its central difference, and returns the latter.
double check_derivative(Problem& problem, const Kernels<double>& kernels, size_t i, double derivative) {
  const double kStep = 1e-6, before = problem.parameters[i];
  problem.parameters[i] = before + kStep;
  const double up = problem.loss(kernels, nullptr);
  problem.parameters[i] = before - kStep;
  const double difference = (up - problem.loss(kernels, nullptr)) / (2 * kStep);
  problem.parameters[i] = before;
  INFO(name_of(problem.map, i) << ", parameter " << i);
  // The loss is about 1e3 with a relative error of 1e-13, so its difference is accurate to 1e-4 of a gradient of 1.
  REQUIRE(std::abs(difference - derivative) <= 2e-6 * std::abs(derivative) + 2e-4);
  return difference;
}

template <size_t d, size_t pairs>
void check_against_differences(size_t knobs, size_t slow_features = 0, size_t filter_modes = 0) {
  Problem problem({d, pairs, 2, knobs, slow_features, filter_modes});
  const Kernels<double> kernels = exact_kernels<d, pairs>();
  if (slow_features > 0) problem.lanes_used = 4;
  std::vector<double> gradient(problem.map.size);
  problem.loss(kernels, &gradient);
  for (size_t i = 0; i < problem.map.size; ++i) {
    if (i == problem.map.direct && filter_modes > 0) continue;  // stays 0
    check_derivative(problem, kernels, i, gradient[i]);
  }
}

}  // namespace

TEST_CASE("every gradient agrees with central differences") {
  SECTION("with two knobs") { check_against_differences<8, 3>(2); }
  SECTION("without knobs") { check_against_differences<8, 4>(0); }
  SECTION("with a slow path") { check_against_differences<8, 3>(0, 2); }
  SECTION("with a slow path and a knob") { check_against_differences<8, 3>(1, 1); }
  SECTION("with one pair of modes") { check_against_differences<8, 1>(1); }
  SECTION("with a filter and a knob") { check_against_differences<8, 3>(1, 0, 8); }
  SECTION("with a slow path and a filter") { check_against_differences<8, 1>(0, 1, 4); }
}

TEST_CASE("gradients of modes include their effect through the previous segment") {
  const auto check = [](size_t filter_modes) {
    Problem problem({8, 3, 1, 1, 0, filter_modes});
    problem.segments = 2;
    problem.lanes_used = 4;
    const Kernels<double> kernels = exact_kernels<8, 3>();
    std::vector<double> gradient(problem.map.size);
    problem.loss(kernels, &gradient);
    // What the filter remembers of the layer before it is cut off at the segment.
    const size_t begin = filter_modes > 0 ? problem.map.filter : 0;
    const size_t end = filter_modes > 0 ? begin + problem.map.filter_bank.C : problem.map.layer.C;
    double with_memory = 0;
    for (size_t i = begin; i < end; ++i) {
      with_memory = std::max(with_memory, std::abs(check_derivative(problem, kernels, i, gradient[i])));
    }
    CHECK(with_memory > 1);
  };
  check(0);
  check(8);
}

TEST_CASE("the gradient agrees with PyTorch") {
  const coil::ssm::Safetensors file =
      coil::ssm::Safetensors::open(COIL_CAPTURE_TESTS_DIR "/torch_gradients.safetensors");
  const std::vector<std::pair<std::string, Shape>> cases = {{"plain", {8, 3, 2, 2}},
                                                            {"filter", {8, 3, 2, 1, 0, 8}},
                                                            {"slow", {8, 3, 2, 1, 2}},
                                                            {"slow_filter", {8, 3, 2, 0, 1, 4}}};
  for (const auto& [name, shape] : cases) {
    Problem problem = Problem::of_file(file, name, shape);
    problem.plain_share = 0.5;  // both parts of the loss have equal weight
    std::vector<double> expected = file.tensors().at(name + ".gradient").to_doubles();
    REQUIRE(expected.size() == problem.map.size);
    if (shape.filter_modes > 0) expected[problem.map.direct] = 0;  // it stays
    std::vector<double> gradient(problem.map.size);
    const double loss = problem.loss(exact_kernels<8, 3>(), &gradient);
    INFO(name);
    REQUIRE(2 * loss == Approx(file.tensors().at(name + ".loss").to_doubles()[0]).epsilon(1e-12));
    for (size_t i = 0; i < gradient.size(); ++i) {
      INFO(name_of(problem.map, i) << ", parameter " << i);
      REQUIRE(std::abs(2 * gradient[i] - expected[i]) <= 1e-9 * std::abs(expected[i]) + 1e-9);
    }
  }
}

TEST_CASE("Every SIMD target and shape gives the gradient of double precision") {
  const auto check = [](const Problem& problem, const Kernels<double>& exact) {
    std::vector<double> expected(problem.map.size);
    const double loss = problem.loss(exact, &expected);
    double magnitude = 0;
    for (const double value : expected) magnitude = std::max(magnitude, std::abs(value));
    for (const TrainerKernels& target : available_trainer_kernels()) {
      INFO(target.target);
      std::vector<double> found(problem.map.size);
      REQUIRE(problem.loss(target.of(problem.map.shape), &found) == Approx(loss).epsilon(1e-5));
      // float32 sums of 96 frames and 16 lanes
      for (size_t i = 0; i < found.size(); ++i) {
        INFO(name_of(problem.map, i) << ", parameter " << i);
        REQUIRE(std::abs(found[i] - expected[i]) <= 1e-4 * std::abs(expected[i]) + 2e-6 * magnitude);
      }
    }
  };
  check(Problem({8, 4, 6, 2}), exact_kernels<8, 4>());
  check(Problem({8, 3, 4, 1}), exact_kernels<8, 3>());
  check(Problem({8, 4, 6, 1, 8}), exact_kernels<8, 4>());
  check(Problem({8, 1, 3, 1}), exact_kernels<8, 1>());
  check(Problem({8, 4, 6, 1, 0, 64}), exact_kernels<8, 4>());
}
