// Hours of sound, silence and numbers near zero: an endless stream stays as accurate, finite and fast as in its first
// second.
//
//   COIL_HOURS_STEPS=1000000000 build/tests/realtime_tests "hours of green_overdrive"
//
// takes some minutes; without the variable it runs 2,000,000 steps.
#include <algorithm>
#include <array>
#include <bit>
#include <catch2/catch.hpp>
#include <chrono>
#include <cinttypes>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <numbers>
#include <span>
#include <string>
#include <vector>

#include "dsp/denormals.h"
#include "ssm/verify/reference.h"
#include "ssm/run/stream.h"
#include "tests/support/runs.h"

namespace {

using namespace coil;

constexpr size_t kBlock = 64, kHop = 256;
constexpr uint64_t kFirstCheckpoint = uint64_t{1} << 20;
// As in random_networks.cpp: the design's tolerance between executions.
constexpr double kTolerance = 1e-5;

// Repeating phases of different kinds; their lengths are multiples of no block and no hop.
class Signal {
  static constexpr size_t kPhase = 10007;

 public:
  static constexpr const char* kKinds[] = {"noise", "silence", "bursts", "constant", "denormals"};
  static constexpr size_t kPeriod = std::size(kKinds) * kPhase;

  Signal() {
    test::Random random(1);
    for (size_t t = 0; t < kPeriod + kBlock; ++t) {
      const double noise = random.normal(), part = static_cast<double>(t % kPhase) / kPhase;
      const double values[] = {noise, 0, t % 1000 < 50 ? 4 * noise : 0, 0.5, noise * std::pow(10, -30 - 12 * part)};
      cycle_.push_back(t < kPeriod ? static_cast<float>(values[kind(t)]) : cycle_[t - kPeriod]);
    }
  }

  static size_t kind(uint64_t frame) { return frame % kPeriod / kPhase; }
  std::span<const float> block(uint64_t frame) const { return std::span(cycle_).subspan(frame % kPeriod, kBlock); }

 private:
  std::vector<float> cycle_;
};

constexpr size_t kWindow = (Signal::kPeriod + kHop - 1) / kHop * kHop;  // the window that a checkpoint compares: every
                                                                        // phase once

// The correct output in the window before a given time, frame t at t % kWindow. The reference starts from rest so early
// that a start half as early gives the same result: the output then depends only on the signal. If it started from the
// engine's own state, it would inherit drift from there.
class Truth {
 public:
  Truth(const ssm::Checkpoint& checkpoint, const Signal& signal) : checkpoint_(checkpoint), signal_(signal) {}

  std::vector<double> before(uint64_t end) {
    for (auto shorter = run(warm_up_ / 2, end);; warm_up_ *= 2) {
      auto longer = run(warm_up_, end);
      if (test::relative_error(std::vector<float>(shorter.begin(), shorter.end()), longer) <= kTolerance)
        return longer;  // much closer
      shorter = std::move(longer);
    }
  }
  uint64_t warm_up() const { return warm_up_; }

 private:
  std::vector<double> run(uint64_t warm_up, uint64_t end) const {
    REQUIRE(warm_up + kWindow <= end);
    ssm::Reference reference(checkpoint_);
    std::vector<double> out(kWindow);
    for (uint64_t t = end - kWindow - warm_up; t < end; ++t)
      out[t % kWindow] = reference.step(std::vector<double>{signal_.block(t)[0]})[0];
    return out;
  }

  const ssm::Checkpoint& checkpoint_;
  const Signal& signal_;
  uint64_t warm_up_ = 8192;
};

struct Stopwatch {
  double ns = 0;
  uint64_t frames = 0;

  void add(std::chrono::nanoseconds time) { ns += static_cast<double>(time.count()), frames += kBlock; }
  double ns_per_step() const { return ns / static_cast<double>(frames); }
};

void hours(const char* name, const ssm::Checkpoint& checkpoint) {
  const char* asked = std::getenv("COIL_HOURS_STEPS");
  const uint64_t steps = (asked ? std::strtoull(asked, nullptr, 10) : 2000000) / kHop * kHop;
  REQUIRE(steps >= kFirstCheckpoint);
  const Signal signal;
  Truth truth(checkpoint, signal);
  ssm::Stream stream(ssm::Model::load(checkpoint));
  std::vector<float> recent(kWindow);
  Stopwatch phase, cycle;
  std::vector<double> kinds[std::size(Signal::kKinds)];  // ns per step, for each phase
  std::array<double, 4> quarters;  // ns per step in the fastest cycle of each quarter: other programs only add time
  quarters.fill(std::numeric_limits<double>::infinity());
  std::vector<double> differences;
  bool finite = true;

  std::printf("%s\n%14s %14s %14s\n", name, "steps", "warm-up", "difference");
  for (uint64_t done = 0; done < steps;) {
    const std::span<float> out = std::span(recent).subspan(done % kWindow, kBlock);
    const auto start = std::chrono::steady_clock::now();
    {
      const dsp::ScopedFlushDenormals flush;  // as processors do in every call
      stream.process(signal.block(done), out);
    }
    const auto time = std::chrono::steady_clock::now() - start;
    phase.add(time);
    cycle.add(time);
    finite &= stream.state().is_finite();
    done += kBlock;
    if (const size_t kind = Signal::kind(done - kBlock); kind != Signal::kind(done)) {
      kinds[kind].push_back(phase.ns_per_step());
      phase = {};
    }
    if (done % Signal::kPeriod < kBlock) {
      double& fastest = quarters[(done - 1) * 4 / steps];
      fastest = std::min(fastest, cycle.ns_per_step());
      cycle = {};
    }
    if (done != steps && (done < kFirstCheckpoint || !std::has_single_bit(done))) continue;
    differences.push_back(test::relative_error(recent, truth.before(done)));
    std::printf("%14" PRIu64 " %14" PRIu64 " %14.2g\n", done, truth.warm_up(), differences.back());
  }
  const double worst = *std::max_element(differences.begin(), differences.end());
  std::printf("median ns a step: ");
  for (size_t i = 0; i < std::size(kinds); ++i) {
    const auto middle = kinds[i].begin() + static_cast<std::ptrdiff_t>(kinds[i].size() / 2);
    std::nth_element(kinds[i].begin(), middle, kinds[i].end());
    std::printf("%s %.1f, ", Signal::kKinds[i], *middle);
  }
  std::printf(
      "fastest cycle of the first quarter %.1f, of the last %.1f\nworst difference %.2g, %s, %" PRIu64 " restarts\n\n",
      quarters.front(), quarters.back(), worst, finite ? "always finite" : "not always finite", stream.restarts());

  CHECK(worst <= kTolerance);
  CHECK(worst <= 2 * differences.front());  // no drift: every checkpoint compares the same phases, with blocks at other
                                            // positions
  CHECK(finite);
  CHECK(stream.restarts() == 0);
  // Short runs say nothing about time.
  if (asked) CHECK(quarters.back() <= 1.5 * quarters.front());
}

ssm::Checkpoint network(const std::string& rest_of_config) {
  return test::load(test::model_file(R"({"model_type": "coil", "norm_f": false, )" + rest_of_config + "}", 5))
      .checkpoint;
}

TEST_CASE("hours of green_overdrive") {
  hours("green_overdrive", ssm::Checkpoint::open(COIL_PRESETS_DIR "/green_overdrive.safetensors"));
}

// Without biases: in silence everything decays to zero.
TEST_CASE("hours of mamba1") {
  hours("mamba1", network(R"("d_model": 1, "layers": [{"repeat": 2, "parts": [
    {"type": "mamba1", "name": "mixer", "d_state": 8, "d_conv": 4, "expand": 8, "dt_rank": 1, "bias": false,
        "conv_bias": false}]}])"));
}

// With a slow path, whose counters must not drift either.
TEST_CASE("hours of mamba2") {
  hours("mamba2", network(R"("d_input": 1, "d_output": 1, "d_model": 4, "layers": [{"repeat": 2, "parts": [
    {"type": "rmsnorm", "name": "norm", "eps": 0.05},
    {"type": "mamba2", "name": "mixer", "d_state": 8, "d_conv": 4, "expand": 2, "headdim": 4, "norm_eps": 0.05},
        {"type": "film"}]}],
    "slow_path": {"hop_frames": )" +
                          std::to_string(kHop) + R"(, "n_features": 2, "d_model": 4, "layers": []})"));
}

constexpr const char* kMamba3 = R"("d_model": 4, "layers": [{"parts": [
    {"type": "rmsnorm", "name": "norm"},
    {"type": "mamba3", "name": "mixer", "headdim": 4, "d_state": 8}]}])";

TEST_CASE("hours of mamba3") { hours("mamba3", network(R"("d_input": 1, "d_output": 1, )" + std::string(kMamba3))); }

// What an angle turns by in a frame depends on this frame alone. So it turns by the same in each cycle of a signal that
// repeats itself, and so does its rounding, whose errors do not cancel.
TEST_CASE("angles of Mamba-3 do not drift") {
  const char* asked = std::getenv("COIL_HOURS_STEPS");
  const ssm::Checkpoint checkpoint = network(kMamba3);
  const auto model = ssm::Model::load(checkpoint);
  constexpr size_t kCycle = 1000, kWidth = 4;
  test::Random random(3);
  std::vector<float> cycle = test::random_signal(kCycle * kWidth, random);
  std::fill(cycle.begin(), cycle.begin() + kCycle * kWidth / 2, 0.3f);

  ssm::Reference reference(checkpoint);
  for (size_t t = 0; t < kCycle; ++t)
    reference.step(
        std::vector<double>(cycle.begin() + ptrdiff_t(t * kWidth), cycle.begin() + ptrdiff_t((t + 1) * kWidth)));
  std::vector<double> turned;
  for (const auto& tensor : reference.state())
    if (tensor.name.ends_with(".angle")) turned = tensor.values;
  REQUIRE(!turned.empty());

  const auto worst = [&](const ssm::State& state, size_t cycles) {
    std::vector<double> found(turned.size());
    for (const auto& tensor : state.tensors())
      for (size_t i = 0; i < found.size() && tensor.name.find(".angle") != std::string::npos; ++i)
        found[i] += double(tensor.values[i]);
    double far = 0;
    for (size_t i = 0; i < found.size(); ++i)
      far = std::max(far, std::abs(std::remainder(found[i] - double(cycles) * turned[i], 2 * std::numbers::pi)));
    return far;
  };
  const auto check = [&](const char* how, size_t steps, const auto& run) {
    auto state = model->initial_state();
    for (size_t i = 0; i < steps / kCycle; ++i) run(state);
    const double far = worst(state, steps / kCycle);
    std::printf("mamba3, %s: angles are off by %.2g after %zu steps\n", how, far, steps);
    CHECK(far <= 1e-6);  // the state gives them in radians as floats, whose rounding is up to 2^-23 here
  };
  check("blocks", asked ? std::strtoull(asked, nullptr, 10) : 10'000'000, [&](ssm::State& state) {
    test::run_blocks(model, state, cycle, std::vector<size_t>{700, 1, 299});
  });
  check("steps", 1'000'000, [&](ssm::State& state) { test::run_steps(model, state, cycle); });
  check("scan", 2'000'000, [&](ssm::State& state) {
    test::run_scan(model, state, cycle, {.chunk_frames = 128, .segment_frames = 512, .threads = 1});
  });
}

}  // namespace
