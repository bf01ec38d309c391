// Random networks with every part and unusual sizes, compared with the double reference in every execution on every
// SIMD target.
#include <catch2/catch.hpp>
#include <string>

#include "ssm/run/stream.h"
#include "tests/support/runs.h"

namespace {

using namespace coil;

// The design's tolerance, 84 epsilon of max(1, peak): each of up to eight layers rounds its sums (some 10 epsilon
// including exponentials), and the following layers propagate these errors.
constexpr double kTolerance = 1e-5;
constexpr uint32_t kNetworks = 80;

TEST_CASE("random networks agree with the reference in every execution") {
  for (uint32_t seed = 0; seed < kNetworks; ++seed) {
    const auto loaded = test::load(test::random_coil_network(seed));
    test::Random random(seed + 77);
    const auto first = loaded.model();
    const auto frames = static_cast<size_t>(random.whole(1, 400));
    const auto in = test::random_signal(frames * test::width_in(*first), random);
    const auto controls = test::random_controls(*first, random);
    const auto blocks = test::random_blocks(frames, random);
    const ssm::ScanOptions scan{
        .chunk_frames = random.whole(1, 100), .segment_frames = random.whole(1, 500), .threads = random.whole(1, 3)};
    const auto reference = test::run_reference(loaded, in, controls);

    for (const ssm::Target& target : ssm::Target::all()) {
      const auto model = loaded.model(target);
      INFO("network " << seed << ", " << frames << " frames, target " << target.name() << ", scan chunks "
                      << scan.chunk_frames << ", segments " << scan.segment_frames << "\n"
                      << loaded.checkpoint.config_json());
      auto fresh = model->initial_state();
      model->set_controls(fresh, controls);
      test::check_executions(model, fresh, in, blocks, scan, reference, kTolerance);
    }
  }
}

TEST_CASE("networks at the edges of what a config can say agree with the reference") {
  for (const std::string config : {
           R"({"model_type": "coil", "d_model": 3, "layers": []})",
           R"({"model_type": "coil", "d_input": 2, "d_model": 3, "d_output": 1, "direct": true, "layers": []})",
           R"({"model_type": "coil", "d_model": 16, "layers": [{"parts": [{"type": "mamba1", "name": "a",
              "d_state": 1, "d_conv": 1, "expand": 1}]}]})",
           R"({"model_type": "coil", "d_model": 17, "layers": [{"parts": [{"type": "mamba2", "name": "a",
              "d_state": 33, "headdim": 1, "ngroups": 17,
                "expand": 1, "d_conv": 0, "norm_eps": 0.05}]}]})",
           R"({"model_type": "coil", "d_model": 5, "layers": [{"parts": [{"type": "mamba2", "name": "a",
              "d_state": 3, "headdim": 10,
                "norm_group_size": 5, "norm_eps": 0.05}, {"type": "s4d", "name": "b", "d_state": 1, "mode": "real"},
                {"type": "mamba1", "name": "c", "d_state": 40, "d_conv": 7}]}]})",
           R"({"model_type": "coil", "d_model": 2, "layers": [{"parts": [{"type": "s4d", "name": "a",
              "d_state": 2}]}]})",
           // layers of 4, 1 and 2 modes, which one kernel computes as a whole, and one of 3
           R"({"model_type": "coil", "d_model": 8, "layers": [{"parts": [{"type": "s4d", "name": "a",
              "d_state": 8}, {"type": "linear", "name": "b", "d_out": 8}, {"type": "tanh"},
                {"type": "linear", "name": "c", "d_out": 8}]}, {"parts": [{"type": "s4d", "name": "a",
              "d_state": 2}, {"type": "linear", "name": "b", "d_out": 8}, {"type": "tanh", "rest": true},
                {"type": "linear", "name": "c", "d_out": 8}]}, {"parts": [{"type": "s4d", "name": "a",
              "d_state": 4}, {"type": "linear", "name": "b", "d_out": 8}, {"type": "tanh"},
                {"type": "linear", "name": "c", "d_out": 8}]}, {"parts": [{"type": "s4d", "name": "a",
              "d_state": 6}, {"type": "linear", "name": "b", "d_out": 8}, {"type": "tanh", "rest": true},
                {"type": "linear", "name": "c", "d_out": 8}]}]})",
           R"({"model_type": "coil", "d_model": 2, "layers": [{"residual": false, "parts": [{"type": "linear",
              "name": "a", "d_out": 70},
                {"type": "glu"}, {"type": "s4d", "name": "b", "d_state": 4}, {"type": "linear", "name": "c",
                    "d_out": 1}]},
                {"parts": [{"type": "s4d", "name": "b", "d_state": 4}]}]})",
           R"({"model_type": "coil", "d_model": 1, "d_input": 1, "layers": [{"parts": [{"type": "film"}]}],
                "slow_path": {"hop_frames": 1, "n_features": 17, "d_model": 3, "layers": []}})",
           R"({"model_type": "coil", "d_model": 4, "layers": [{"parts": [{"type": "film"}, {"type": "tanh"},
              {"type": "film"}]}],
                "controls": {"count": 3}, "slow_path": {"hop_frames": 5, "n_features": 1, "d_model": 2,
                    "controls": true, "layers": [
                {"residual": false, "parts": [{"type": "linear", "name": "l", "d_out": 19}, {"type": "mamba1",
                    "name": "m", "d_state": 2, "d_conv": 2},
                {"type": "gelu"}]}]}})",
       }) {
    const auto loaded = test::load(test::model_file(config, 3));
    for (const ssm::Target& target : ssm::Target::all()) {
      INFO(target.name() << " " << config);
      const auto model = loaded.model(target);
      test::Random random(4);
      const size_t frames = 67;
      const auto in = test::random_signal(frames * test::width_in(*model), random);
      const auto controls = test::random_controls(*model, random);
      const auto reference = test::run_reference(loaded, in, controls);
      auto fresh = model->initial_state();
      model->set_controls(fresh, controls);
      auto state = fresh;
      CHECK(test::relative_error(test::run_blocks(model, state, in, std::vector<size_t>{frames}), reference.output) <=
            kTolerance);
      CHECK(test::state_error(state, reference) <= kTolerance);
      state = fresh;
      CHECK(test::relative_error(
                test::run_scan(model, state, in, {.chunk_frames = 9, .segment_frames = 40, .threads = 2}),
                reference.output) <= kTolerance);
      CHECK(test::state_error(state, reference) <= kTolerance);
    }
  }
}

TEST_CASE("a transformers model with time_step_limit agrees with the reference") {
  const std::string config =
      R"({"model_type": "mamba2", "hidden_size": 12, "expand": 2, "num_heads": 6, "head_dim": 4, "state_size": 8,
          "n_groups": 3,
      "conv_kernel": 4, "num_hidden_layers": 2, "input_kind": "embeddings", "time_step_limit": [0.03, 0.08],
          "layer_norm_epsilon": 0.01})";
  const auto loaded = test::load(test::model_file(config, 9));
  test::Random random(10);
  const auto in = test::random_signal(200 * 12, random);
  const auto reference = test::run_reference(loaded, in, {});
  for (const ssm::Target& target : ssm::Target::all()) {
    const auto model = loaded.model(target);
    INFO(target.name());
    auto state = model->initial_state();
    CHECK(test::relative_error(test::run_steps(model, state, in), reference.output) <= kTolerance);
    CHECK(test::state_error(state, reference) <= kTolerance);
  }
}

TEST_CASE(
    "a frame of Mamba-1 in one kernel gives the bits of its stages, for every rank that it serves and on every "
    "target") {
  for (const int d_model : {3, 12, 16, 27, 64})
    for (const int rank : {1, 2, 3, 4})
      for (const int d_state : {1, 5, 8, 16, 21}) {
        const auto loaded = test::load(test::model_file(
            R"({"model_type": "coil", "d_input": 1, "d_output": 1, "d_model": )" + std::to_string(d_model) +
                R"(, "layers": [{"repeat": 2, "parts": [{"type": "rmsnorm", "name": "norm"}, {"type": "mamba1",
                    "name": "mixer", "d_state": )" +
                std::to_string(d_state) + R"(, "dt_rank": )" + std::to_string(rank) + "}]}]}",
            1));
        for (const ssm::Target& target : ssm::Target::all()) {
          INFO("d_model " << d_model << " rank " << rank << " d_state " << d_state << " target " << target.name());
          const auto model = loaded.model(target);
          test::Random random(7);
          const auto in = test::random_signal(80, random);
          auto frames = model->initial_state(), block = frames;
          CHECK(test::same_bits(test::run_steps(model, frames, in),
                                test::run_blocks(model, block, in, std::vector<size_t>{in.size()})));
          CHECK(frames == block);
        }
      }
}

}  // namespace
