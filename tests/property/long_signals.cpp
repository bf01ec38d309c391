// Signals longer than a scan's segment, and memories longer than the signal: accumulated errors stay within bounds.
#include <catch2/catch.hpp>
#include <cmath>
#include <limits>
#include <string>

#include "ssm/run/stream.h"
#include "tests/support/runs.h"
#include "tests/support/worst.h"

namespace {

using namespace coil;

constexpr double kEps = std::numeric_limits<float>::epsilon();

TEST_CASE("a signal of several segments: block and scan agree with the reference to the end") {
  // These networks forget within about 200 frames, so the error at the end is that of any 200 frames.
  constexpr double kTolerance = 1e-5;
  for (const std::string part :
       {R"({"type": "s4d", "name": "m", "d_state": 4})",
        R"({"type": "mamba1", "name": "m", "d_state": 2, "d_conv": 3, "expand": 1})",
        R"({"type": "mamba2", "name": "m", "d_state": 2, "headdim": 2, "expand": 1, "norm_eps": 0.05})"}) {
    const std::string config =
        R"({"model_type": "coil", "d_model": 2, "layers": [{"parts": [)" + part + R"(, {"type": "film"}]}],
        "slow_path": {"hop_frames": 1000, "n_features": 2, "d_model": 2, "layers": []}})";
    const auto loaded = test::load(test::model_file(config, 21));
    const auto model = loaded.model();
    test::Random random(22);
    const size_t frames = 150001;  // more than two default segments, and not a round number
    const auto in = test::random_signal(2 * frames, random);
    const auto reference = test::run_reference(loaded, in, {});
    INFO(config);
    auto state = model->initial_state();
    CHECK(test::relative_error(test::run_scan(model, state, in, {.threads = 2}), reference.output) <= kTolerance);
    CHECK(test::state_error(state, reference) <= kTolerance);
    state = model->initial_state();
    CHECK(test::relative_error(test::run_blocks(model, state, in, std::vector<size_t>{frames}), reference.output) <=
          kTolerance);
    CHECK(test::state_error(state, reference) <= kTolerance);
  }
}

TEST_CASE("a memory of 20,000 frames reaches the level that its weights ask for") {
  // One real mode, constant input 1: the state tends to 1 / -A for any small step. The decay 1 - dt is stored as
  // float32, so 1 - decay has an error of up to half an epsilon below 1, a quarter of kEps. The level may deviate by
  // that over dt, and by the same for the sums.
  const double dt = 5e-5;
  const std::string config = R"({"model_type": "s4d", "d_model": 1, "d_state": 1, "mode": "real"})";
  const test::ModelFile file{config,
                             "",
                             {{"kernel.log_dt", {1}, {static_cast<float>(std::log(dt))}},
                              {"kernel.log_A_real", {1, 1}, {0}},
                              {"kernel.C", {1, 1}, {1}},
                              {"D", {1}, {0}}}};
  const auto loaded = test::load(file);
  const double tolerance = 2 * 0.25 * kEps / dt;
  const size_t frames = 400000;  // twenty time constants
  const std::vector<float> ones(frames, 1.0f);
  for (const ssm::Target& target : ssm::Target::all()) {
    INFO(target.name());
    const auto model = loaded.model(target);
    auto state = model->initial_state();
    const auto blocks = test::run_blocks(model, state, ones, std::vector<size_t>{frames});
    CHECK(std::abs(blocks.back() - 1) <= tolerance);
    state = model->initial_state();
    const auto scanned = test::run_scan(model, state, ones, {.threads = 2});
    CHECK(std::abs(scanned.back() - 1) <= tolerance);
    // On the way it follows 1 - e^(-dt t); the error is the same share of the current value.
    double worst = 0;
    for (size_t t = 0; t < frames; t += 1000)
      test::take_worst(worst, std::abs(blocks[t] + std::expm1(-dt * (static_cast<double>(t) + 1))));
    CHECK(worst <= tolerance);
  }
}

TEST_CASE("a memory of 20,000 frames in a selective scan: steps far below 1 keep their relative accuracy") {
  // dt = softplus(bias) = 5e-5 for every input: x_proj's dt rows are zero. B and C come from the signal, which is
  // constant.
  const double dt = 5e-5;
  const std::string config = R"({"model_type": "coil", "d_model": 1, "layers": [{"residual": false, "parts": [
      {"type": "mamba1", "name": "m", "d_state": 1, "d_conv": 0, "expand": 1, "dt_rank": 1}]}]})";
  const test::ModelFile file{config,
                             "",
                             {{"backbone.layers.0.m.in_proj.weight", {2, 1}, {1, 1}},
                              {"backbone.layers.0.m.x_proj.weight", {3, 1}, {0, 1, 1}},
                              {"backbone.layers.0.m.dt_proj.weight", {1, 1}, {1}},
                              {"backbone.layers.0.m.dt_proj.bias", {1}, {static_cast<float>(std::log(std::expm1(dt)))}},
                              {"backbone.layers.0.m.A_log", {1, 1}, {0}},
                              {"backbone.layers.0.m.D", {1}, {0}},
                              {"backbone.layers.0.m.out_proj.weight", {1, 1}, {1}}}};
  const auto loaded = test::load(file);
  const size_t frames = 400000;
  const std::vector<float> twos(frames, 2.0f);
  const double u = 2 / (1 + std::exp(-2.0)), level = u * u * u * u;  // u B / -A, times C, times silu(z)
  // As above, plus the polynomial's error: 1 - 2^t is accurate to 1e-3 relative to the rounding of 2^t.
  const double tolerance = level * (1e-3 + 2 * 0.25 * kEps / dt);
  for (const ssm::Target& target : ssm::Target::all()) {
    INFO(target.name());
    const auto model = loaded.model(target);
    auto state = model->initial_state();
    const auto y = test::run_blocks(model, state, twos, std::vector<size_t>{frames});
    CHECK(std::abs(y.back() - level) <= tolerance);
    state = model->initial_state();
    CHECK(std::abs(test::run_scan(model, state, twos, {.threads = 2}).back() - level) <= tolerance);
  }
}

TEST_CASE("silence after sound decays to nothing and stays finite") {
  for (uint32_t seed = 0; seed < 12; ++seed) {
    const auto loaded = test::load(test::random_coil_network(seed));
    const auto model = loaded.model();
    INFO("network " << seed);
    test::Random random(seed);
    const size_t d_in = test::width_in(*model), d_out = test::width_out(*model);
    const auto sound = test::random_signal(100 * d_in, random);
    const std::vector<float> silence(20000 * d_in, 0.0f);
    auto heard = model->initial_state(), unheard = model->initial_state();
    test::run_blocks(model, heard, sound, std::vector<size_t>{100});
    const auto after = test::run_blocks(model, heard, silence, std::vector<size_t>{20000});
    const auto never = test::run_blocks(model, unheard, silence, std::vector<size_t>{20000});
    // Input from 20,000 frames ago no longer matters. Only the slow path's phase may differ, and its input is silence,
    // too.
    CHECK(test::relative_error(std::span(after).last(d_out), std::span(never).last(d_out)) <= 1e-5);
    CHECK(heard.is_finite());
  }
}

}  // namespace
