// Properties of models with rescaled steps: their continuous-time filters stay the same, and all executions agree at
// every rate.
#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <complex>
#include <numbers>
#include <numeric>
#include <string>
#include <vector>

#include "base/error.h"
#include "ssm/verify/reference.h"
#include "tests/support/runs.h"

namespace {

using namespace coil;

constexpr double kOwnHz = 48000;
constexpr double kRates[] = {16000, 22050, 44100, 88200, 96000, 192000};
// As in random_networks.cpp: the design's tolerance between executions.
constexpr double kTolerance = 1e-5;

std::string bank(const std::string& mode, const std::string& rule) {
  return R"({"model_type": "s4d", "sample_rate": 48000, "d_model": 3, "d_state": 8, "mode": ")" + mode +
         R"(", "discretization": ")" + rule + "\"}";
}

// A channel of a bank in continuous time: y(t) = Re sum c e^(a t) is the contribution of a frame (at the own rate) to
// later frames.
struct Continuous {
  std::vector<std::complex<double>> a, c;  // a per second
  double skip;                             // D
};

Continuous continuous(const ssm::Checkpoint& checkpoint, bool is_complex, int channel) {
  const int64_t channels = 3, modes = is_complex ? 4 : 8;
  const auto log_dt = checkpoint.doubles("kernel.log_dt", {channels}),
             log_a = checkpoint.doubles("kernel.log_A_real", {channels, modes});
  const auto imaginary = is_complex ? checkpoint.doubles("kernel.A_imag", {channels, modes}) : std::vector<double>();
  const auto c = is_complex ? checkpoint.doubles("kernel.C", {channels, modes, 2})
                            : checkpoint.doubles("kernel.C", {channels, modes});
  Continuous made{{}, {}, checkpoint.doubles("D", {channels})[size_t(channel)]};
  const double dt = std::exp(log_dt[size_t(channel)]);
  for (int64_t m = 0; m < modes; ++m) {
    const size_t i = size_t(channel * modes + m);
    const std::complex<double> A(-std::exp(log_a[i]), is_complex ? imaginary[i] : 0);
    made.a.push_back(A * dt * kOwnHz);
    made.c.push_back((std::exp(dt * A) - 1.0) / A *
                     (is_complex ? 2.0 * std::complex<double>(c[2 * i], c[2 * i + 1]) : std::complex<double>(c[i])));
  }
  return made;
}

// The response of a bank's channel to an impulse of one frame.
std::vector<float> impulse_response(const std::shared_ptr<const ssm::Model>& model, int channel, size_t frames) {
  std::vector<float> in(frames * 3);
  in[size_t(channel)] = 1;
  ssm::State state = model->initial_state();
  const auto out = test::run_steps(model, state, in);
  std::vector<float> response;
  for (size_t t = 0; t < frames; ++t) response.push_back(out[t * 3 + size_t(channel)]);
  return response;
}

TEST_CASE(
    "the impulse response of an S4D bank at any rate is its continuous kernel, sampled there, a constant passes as at "
    "its own rate") {
  for (const std::string mode : {"complex", "real"}) {
    const auto loaded = test::load(test::model_file(bank(mode, "zoh"), 5));
    for (const double rate_hz : kRates)
      for (int channel = 0; channel < 3; ++channel) {
        INFO(mode << " at " << rate_hz << " Hz, channel " << channel);
        const Continuous kernel = continuous(loaded.checkpoint, mode == "complex", channel);
        const auto found = impulse_response(loaded.model()->at_rate(rate_hz), channel, 4000);
        std::vector<double> expected;
        for (size_t t = 0; t < found.size(); ++t) {
          std::complex<double> sum = 0;
          for (size_t m = 0; m < kernel.a.size(); ++m)
            sum += kernel.c[m] * std::exp(kernel.a[m] * (double(t) / rate_hz));
          expected.push_back(sum.real() * kOwnHz / rate_hz);
        }
        CHECK(test::relative_error(std::span(found).subspan(1), std::span<const double>(expected).subspan(1)) <=
              kTolerance);

        std::complex<double> constant = kernel.skip;
        for (size_t m = 0; m < kernel.a.size(); ++m) constant += kernel.c[m] / (1.0 - std::exp(kernel.a[m] / kOwnHz));
        CHECK(std::accumulate(found.begin(), found.end(), 0.0) ==
              Approx(constant.real()).margin(1e-4));  // 4,000 roundings in float32
      }
  }
}

TEST_CASE("at another rate an S4D bank delays a slow signal as at its own, to a fraction of a frame") {
  for (const std::string mode : {"complex", "real"})
    for (const std::string rule : {"zoh", "bilinear"}) {
      const auto loaded = test::load(test::model_file(bank(mode, rule), 6));
      const auto response = [&](const std::shared_ptr<const ssm::Model>& model, double hz) {
        const auto answer = impulse_response(model, 0, 4000);
        std::complex<double> sum = 0;
        const double turn = -2 * std::numbers::pi * hz / model->config().sample_rate_hz;
        for (size_t t = 0; t < answer.size(); ++t) sum += double(answer[t]) * std::polar(1.0, turn * double(t));
        return sum;
      };
      for (const double rate_hz : {44100.0, 96000.0, 192000.0})
        for (const double hz : {50.0, 500.0}) {
          const auto own = response(loaded.model(), hz), other = response(loaded.model()->at_rate(rate_hz), hz);
          INFO(mode << " " << rule << ", " << hz << " Hz at " << rate_hz << " Hz: " << own << " and " << other);
          // The next term of the kernel's sum: a twelfth of a frame's phase.
          CHECK(std::abs(other - own) <= 2 * std::numbers::pi * hz / kOwnHz / 12 * 4);
        }
    }
}

TEST_CASE("reference, step, block and scan agree at other rates") {
  int rescaled = 0;
  for (uint32_t seed = 0; seed < 200 && rescaled < 25; ++seed) {
    const auto loaded = test::load(test::random_coil_network(seed));
    for (const double rate_hz : {24000.0, 96000.0}) {
      if (!ssm::steps_obstacle(loaded.model()->config(), rate_hz).empty()) continue;
      ++rescaled;
      INFO("network " << seed << " at " << rate_hz << " Hz");
      test::Random random(seed);
      const auto model = loaded.model()->at_rate(rate_hz);
      const auto in = test::random_signal(300 * test::width_in(*model), random);
      const auto controls = test::random_controls(*model, random);
      const test::ReferenceRun reference = test::run_reference(loaded, in, controls, rate_hz);
      const auto begin = [&] {
        ssm::State state = model->initial_state();
        model->set_controls(state, controls);
        return state;
      };
      ssm::State stepped = begin(), blocks = begin(), scanned = begin();
      CHECK(test::relative_error(test::run_steps(model, stepped, in), reference.output) <= kTolerance);
      CHECK(test::relative_error(test::run_blocks(model, blocks, in, test::random_blocks(300, random)),
                                 reference.output) <= kTolerance);
      const ssm::ScanOptions scan{.chunk_frames = 16, .segment_frames = 100, .threads = 2};
      CHECK(test::relative_error(test::run_scan(model, scanned, in, scan), reference.output) <= kTolerance);
      for (const ssm::State& state : {stepped, blocks, scanned})
        CHECK(test::state_error(state, reference) <= kTolerance);
    }
  }
  CHECK(rescaled >= 10);
}

}  // namespace
