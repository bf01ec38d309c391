// Batches on the GPU compared with the double reference and the CPU engine: every part, lengths near the borders of
// chunks, batches, hand-over.
#include "gpu/batched_model.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <string>
#include <vector>

#include "ssm/run/stream.h"
#include "tests/gpu/gpu_here.h"
#include "tests/support/runs.h"
#include "tests/support/temp_dir.h"

namespace {

using namespace coil;

// The design's tolerance, 84 epsilon of max(1, peak).
constexpr double kTolerance = 1e-5;

// A rotation sums up the errors of all frames' inputs: two units of rounding for each frame.
double tolerance_of_states(size_t frames) { return kTolerance + 2 * 1.2e-7 * double(frames); }

// With all options that the fused kernels support; also of a size that they do not support.
std::string mamba1(int d_model, const std::string& more, int layers = 2) {
  return R"({"model_type": "coil", "d_input": 1, "d_output": 1, "d_model": )" + std::to_string(d_model) +
         R"(, "layers": [{"repeat": )" + std::to_string(layers) +
         R"(, "parts": [{"type": "rmsnorm", "name": "norm", "eps": 0.05}, {"type": "mamba1", "name": "mixer",
             "d_state": 16)" +
         more + "}]}]}";
}

std::string mamba2(int d_model, const std::string& options, int layers = 2) {
  return R"({"model_type": "coil", "d_input": 1, "d_output": 1, "d_model": )" + std::to_string(d_model) +
         R"(, "layers": [{"repeat": )" + std::to_string(layers) +
         R"(, "parts": [{"type": "rmsnorm", "name": "norm", "eps": 0.05}, {"type": "mamba2", "name": "mixer", )" +
         options + "}]}]}";
}

struct Case {
  test::Loaded loaded;
  std::shared_ptr<const ssm::Model> model;

  explicit Case(const test::ModelFile& file) : loaded(test::load(file)), model(loaded.model()) {}

  gpu::BatchedModel on_gpu(const gpu::BatchedOptions& options = {}) const {
    return gpu::BatchedModel(model, loaded.checkpoint, options);
  }

  std::vector<float> signal(size_t frames, uint32_t seed) const {
    test::Random random(seed);
    return test::random_signal(frames * test::width_in(*model), random);
  }
  std::vector<float> room(size_t frames) const {
    return std::vector<float>(frames * test::width_out(*model), std::numeric_limits<float>::quiet_NaN());
  }
  std::vector<float> on_cpu(ssm::State& state, std::span<const float> in) const {
    return test::run_blocks(model, state, in, std::vector<size_t>{in.size() / test::width_in(*model)});
  }
};

std::vector<float> run(gpu::BatchedModel& device, const Case& c, ssm::State& state, std::span<const float> in) {
  std::vector<float> out = c.room(in.size() / test::width_in(*c.model));
  const gpu::Frames one[] = {{&state, in, out}};
  device.process(one);
  return out;
}

double state_difference(const ssm::State& a, const ssm::State& b) {
  const auto left = a.tensors(), right = b.tensors();
  double worst = 0;
  for (size_t i = 0; i < left.size(); ++i) {
    std::vector<float> found = left[i].values;
    if (left[i].name.ends_with(".angle"))  // angles that differ by whole turns are the same
      for (size_t k = 0; k < found.size(); ++k)
        found[k] = right[i].values[k] + float(std::remainder(double(found[k]) - double(right[i].values[k]), 2 * M_PI));
    worst = std::max(worst, test::relative_error(found, right[i].values));
  }
  return worst;
}

TEST_CASE("random networks agree with the reference on the GPU") {
  if (!test::gpu_here()) return;
  for (uint32_t seed = 0; seed < 80; ++seed) {
    const Case c(test::random_coil_network(seed));
    test::Random random(seed + 77);
    const size_t frames = size_t(random.whole(1, 400));
    const auto in = c.signal(frames, seed);
    const auto controls = test::random_controls(*c.model, random);
    const auto reference = test::run_reference(c.loaded, in, controls);
    const gpu::BatchedOptions options{.chunk_frames = random.pick({16, 32, 128}),
                                      .memory_bytes = random.chance(0.5) ? size_t(1) : size_t(1) << 28};
    INFO("network " << seed << ", " << frames << " frames, chunks of " << options.chunk_frames << ", memory "
                    << options.memory_bytes << "\n"
                    << c.loaded.checkpoint.config_json());
    auto device = c.on_gpu(options);
    ssm::State state = c.model->initial_state();
    c.model->set_controls(state, controls);
    CHECK(test::relative_error(run(device, c, state, in), reference.output) <= kTolerance);
    CHECK(test::state_error(state, reference) <= kTolerance);
  }
}

TEST_CASE("random hybrids agree with the reference on the GPU") {
  if (!test::gpu_here()) return;
  for (uint32_t seed = 0; seed < 120; ++seed) {
    const Case c(test::random_family_network(seed));
    test::Random random(seed + 77);
    const size_t frames = size_t(random.whole(1, 300));
    const auto in = c.signal(frames, seed);
    const auto reference = test::run_reference(c.loaded, in, {});
    const gpu::BatchedOptions options{.chunk_frames = random.pick({16, 32, 128}),
                                      .memory_bytes = random.chance(0.5) ? size_t(1) : size_t(1) << 28};
    INFO("network " << seed << ", " << frames << " frames, chunks of " << options.chunk_frames << ", memory "
                    << options.memory_bytes << "\n"
                    << c.loaded.checkpoint.config_json());
    auto device = c.on_gpu(options);
    ssm::State state = c.model->initial_state();
    // The norm of a head, with upstream's eps of 1e-5, amplifies rounding where a head's few outputs are near 0.
    const bool amplifies = c.loaded.checkpoint.config_json().find(R"("is_outproj_norm":true)") != std::string::npos;
    const double tolerance = amplifies ? 10 * kTolerance : kTolerance;
    CHECK(test::relative_error(run(device, c, state, in), reference.output) <= tolerance);
    CHECK(test::state_error(state, reference) <= tolerance + tolerance_of_states(frames));
  }
}

TEST_CASE("a network at rest gives 0 to the last bit on the GPU, whatever its knobs do") {
  if (!test::gpu_here()) return;
  for (const int width : {3, 8, 40}) {
    const std::string d = std::to_string(width);
    test::ModelFile file = test::model_file(
        R"({"model_type": "coil", "d_input": 1, "d_output": 2, "direct": true, "in_proj_bias": false,
            "out_proj_bias": false, "d_model": )" +
            d +
            R"(, "layers": [{"repeat": 2, "parts": [{"type": "s4d", "name": "mixer", "d_state": 4},
                {"type": "linear", "name": "in_proj", "d_out": )" +
            d +
            R"(}, {"type": "film"}, {"type": "tanh", "rest": true}, {"type": "linear", "name": "out_proj",
                "bias": false}]},
            {"parts": [{"type": "linear", "name": "fixed"}, {"type": "tanh", "rest": true}]}],
            "controls": {"count": 1, "polynomial": 2, "output": true}})",
        4);
    file.card_json = R"({"name": "amp", "controls": [{"name": "a", "min": 0, "max": 1, "default": 0.3}]})";
    const Case c(file);
    for (const gpu::Precision precision : {gpu::Precision::float32, gpu::Precision::tf32, gpu::Precision::bf16}) {
      auto device = c.on_gpu({.chunk_frames = 32, .precision = precision});
      ssm::State state = c.model->initial_state();
      const std::vector<float> silence(1500);
      for (const float knob : {0.3f, 0.9f, 0.1f}) {
        INFO("width " << width << ", knob " << knob);
        c.model->set_controls(state, std::vector<float>{knob});
        const auto out = run(device, c, state, silence);
        CHECK(std::all_of(out.begin(), out.end(), [](float v) { return v == 0; }));
      }
    }
  }
}

TEST_CASE("Mamba-1 of every fused size and option agrees with the reference, as do its neighbours in size") {
  if (!test::gpu_here()) return;
  for (const int d_model : {16, 32, 64, 48})
    for (const std::string more :
         {R"(, "dt_rank": 1)", R"(, "dt_rank": 4, "bias": true, "x_proj_bias": true)",
          R"(, "dt_rank": 2, "d_conv": 3, "conv_bias": false)", R"(, "dt_rank": 3, "d_conv": 1)",
          R"(, "dt_rank": 1, "d_conv": 0)", R"(, "dt_rank": 5)", R"(, "dt_rank": 2, "rms_eps": 0.05)"}) {
      const Case c(test::model_file(mamba1(d_model, more), 5));
      for (const size_t frames : {1, 2, 3, 15, 16, 17, 31, 32, 33, 127, 128, 129, 300}) {
        INFO("d_model " << d_model << more << ", " << frames << " frames");
        const auto in = c.signal(frames, 6);
        const auto reference = test::run_reference(c.loaded, in, {});
        auto device = c.on_gpu({.chunk_frames = 32});
        ssm::State state = c.model->initial_state();
        CHECK(test::relative_error(run(device, c, state, in), reference.output) <= kTolerance);
        CHECK(test::state_error(state, reference) <= kTolerance);
      }
    }
}

TEST_CASE("Mamba-2 in matrix form of many shapes and options agrees with the reference") {
  if (!test::gpu_here()) return;
  for (const std::string more :
       {R"("headdim": 8, "d_state": 16)", R"("headdim": 16, "d_state": 16, "ngroups": 2)",
        R"("headdim": 24, "expand": 3, "d_state": 10)", R"("headdim": 64, "d_state": 64, "conv_bias": false)",
        R"("headdim": 32, "d_state": 128, "d_conv": 3)", R"("headdim": 8, "d_state": 33, "bias": true, "d_conv": 2)",
        R"("headdim": 4, "d_state": 16)"}) {
    const Case c(test::model_file(mamba2(32, more), 15));
    for (const size_t frames : {1, 2, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 128, 129, 300}) {
      const auto in = c.signal(frames, 6);
      const auto reference = test::run_reference(c.loaded, in, {});
      for (const int chunk_frames : {32, 128}) {
        INFO(more << ", " << frames << " frames, chunks of " << chunk_frames);
        auto device = c.on_gpu({.chunk_frames = chunk_frames});
        ssm::State state = c.model->initial_state();
        CHECK(test::relative_error(run(device, c, state, in), reference.output) <= kTolerance);
        CHECK(test::state_error(state, reference) <= kTolerance);
      }
    }
  }
}

TEST_CASE("products in tf32 and bf16 differ from float32 by what they round, and not by the batch") {
  if (!test::gpu_here()) return;
  // Networks amplify rounding errors differently, so the median over several is tested for each kind.
  constexpr uint32_t kNetworks = 8;
  for (const std::string& config :
       {mamba1(16, ""), mamba1(64, "", 1), mamba1(24, "", 1), mamba2(32, R"("headdim": 8, "d_state": 16)")}) {
    std::map<gpu::Precision, std::vector<double>> errors;
    for (uint32_t seed = 16; seed < 16 + kNetworks; ++seed) {
      const Case c(test::model_file(config, seed));
      const auto in = c.signal(1000, 7);
      const auto reference = test::run_reference(c.loaded, in, {});
      for (const gpu::Precision precision : {gpu::Precision::tf32, gpu::Precision::bf16}) {
        INFO(gpu::to_string(precision) << ", network " << seed << "\n" << config);
        auto device = c.on_gpu({.precision = precision});
        ssm::State state = c.model->initial_state(), other = state;
        const auto alone = run(device, c, state, in);
        errors[precision].push_back(test::relative_error(alone, reference.output));
        CHECK(errors[precision].back() > 1e-6);
        if (seed > 16) continue;
        auto in_parts = c.on_gpu({.memory_bytes = 1, .precision = precision});
        CHECK(test::relative_error(run(in_parts, c, other, in), alone) <= kTolerance);
        CHECK(state_difference(other, state) <= kTolerance);
      }
    }
    for (const auto& [precision, tolerance] :
         {std::pair(gpu::Precision::tf32, 2e-3), std::pair(gpu::Precision::bf16, 2e-2)}) {
      std::vector<double>& sorted = errors[precision];
      std::ranges::sort(sorted);
      INFO(gpu::to_string(precision) << ", up to " << sorted.back() << "\n" << config);
      CHECK(sorted[kNetworks / 2] <= tolerance);
      CHECK(sorted.back() <= 4 * tolerance);
    }
  }
}

TEST_CASE("signals of many lengths agree with the CPU, in one batch and alone, in one segment and in many") {
  if (!test::gpu_here()) return;
  for (const std::string& config : {mamba1(16, ""), mamba1(24, "", 1), mamba2(16, R"("headdim": 8, "d_state": 16)")}) {
    const Case c(test::model_file(config, 7));
    const std::vector<size_t> lengths{1, 2, 31, 32, 33, 0, 2047, 2048, 2049, 4097, 10000};
    std::vector<std::vector<float>> in, expected;
    std::vector<ssm::State> after;
    for (size_t i = 0; i < lengths.size(); ++i) {
      in.push_back(c.signal(lengths[i], uint32_t(i)));
      after.push_back(c.model->initial_state());
      expected.push_back(c.on_cpu(after.back(), in.back()));
    }
    for (const gpu::BatchedOptions& options :
         {gpu::BatchedOptions{}, gpu::BatchedOptions{.memory_bytes = 1}, gpu::BatchedOptions{.memory_bytes = 4 << 20},
          gpu::BatchedOptions{.chunk_frames = 16}, gpu::BatchedOptions{.chunk_frames = 500}}) {
      auto device = c.on_gpu(options);
      std::vector<ssm::State> states(lengths.size(), c.model->initial_state());
      std::vector<std::vector<float>> out;
      std::vector<gpu::Frames> batch;
      for (size_t i = 0; i < lengths.size(); ++i) out.push_back(c.room(lengths[i]));
      for (size_t i = 0; i < lengths.size(); ++i) batch.push_back({&states[i], in[i], out[i]});
      device.process(batch);
      for (size_t i = 0; i < lengths.size(); ++i) {
        INFO(lengths[i] << " frames, chunks of " << options.chunk_frames << ", memory " << options.memory_bytes);
        CHECK(test::relative_error(out[i], expected[i]) <= kTolerance);
        CHECK(state_difference(states[i], after[i]) <= kTolerance);
        ssm::State alone = c.model->initial_state();
        CHECK(test::relative_error(run(device, c, alone, in[i]), expected[i]) <= kTolerance);
        CHECK(state_difference(alone, after[i]) <= kTolerance);
      }
    }
  }
}

TEST_CASE("batches of 1 to 257 signals agree with the CPU") {
  if (!test::gpu_here()) return;
  const Case c(test::model_file(mamba1(16, ""), 8));
  auto device = c.on_gpu();
  for (const size_t batch_size : {1, 2, 7, 8, 9, 64, 256, 257}) {
    std::vector<std::vector<float>> in, out;
    std::vector<ssm::State> states(batch_size, c.model->initial_state());
    std::vector<gpu::Frames> batch;
    for (size_t i = 0; i < batch_size; ++i)
      in.push_back(c.signal(1 + 37 * i % 300, uint32_t(i))), out.push_back(c.room(in.back().size()));
    for (size_t i = 0; i < batch_size; ++i) batch.push_back({&states[i], in[i], out[i]});
    device.process(batch);
    double worst = 0;
    for (size_t i = 0; i < batch_size; ++i) {
      ssm::State state = c.model->initial_state();
      worst = std::max(worst, test::relative_error(out[i], c.on_cpu(state, in[i])));
      worst = std::max(worst, state_difference(states[i], state));
    }
    INFO("batch of " << batch_size);
    CHECK(worst <= kTolerance);
  }
}

TEST_CASE("a signal moves from the GPU to the CPU and back in its middle") {
  if (!test::gpu_here()) return;
  for (uint32_t seed = 0; seed < 20; ++seed) {
    const Case c(test::random_coil_network(seed));
    INFO("network " << seed << "\n" << c.loaded.checkpoint.config_json());
    const auto in = c.signal(1000, seed);
    ssm::State state = c.model->initial_state(), all = c.model->initial_state();
    const auto expected = c.on_cpu(all, in);
    auto device = c.on_gpu({.chunk_frames = 64});
    std::vector<float> out;
    const size_t width = test::width_in(*c.model);
    size_t begin = 0;
    bool gpu = true;
    for (const size_t end : {301, 302, 640, 997, 1000}) {
      const auto part = std::span(in).subspan(begin * width, (end - begin) * width);
      const auto y = gpu ? run(device, c, state, part) : c.on_cpu(state, part);
      out.insert(out.end(), y.begin(), y.end());
      begin = end, gpu = !gpu;
    }
    CHECK(test::relative_error(out, expected) <= kTolerance);
    CHECK(state_difference(state, all) <= kTolerance);
  }
}

// A hybrid with every kind of memory.
std::string hybrid() {
  return R"({"model_type": "coil", "d_input": 1, "d_output": 1, "d_model": 24, "layers": [
      {"parts": [{"type": "rmsnorm", "name": "norm", "eps": 0.05},
          {"type": "mamba2", "name": "mixer", "headdim": 8, "d_state": 16}]},
      {"parts": [{"type": "rmsnorm", "name": "norm", "eps": 0.05}, {"type": "attention", "name": "attn", "window": 90,
          "heads": 4, "kv_heads": 2, "headdim": 6, "rope_theta": 100, "qk_norm": true, "sinks": true}]},
      {"parts": [{"type": "tap", "from": "layer_before", "how": "replace"}, {"type": "layernorm", "name": "norm"},
          {"type": "moe", "name": "moe", "d_ff": 20, "experts": 5, "top_k": 2, "shared_d_ff": 9}]},
      {"parts": [{"type": "rmsnorm", "name": "norm", "eps": 0.05},
          {"type": "mamba3", "name": "mixer", "headdim": 16, "d_state": 16}]},
      {"parts": [{"type": "rmsnorm", "name": "norm", "eps": 0.05},
          {"type": "mamba3", "name": "mixer", "headdim": 8, "d_state": 8, "is_mimo": true, "mimo_rank": 4}]},
      {"parts": [{"type": "rmsnorm", "name": "norm", "eps": 0.05},
          {"type": "mamba1", "name": "mixer", "d_state": 8, "dt_rank": 2}]},
      {"parts": [{"type": "mlp", "name": "mlp", "d_ff": 40}]}]})";
}

TEST_CASE("a hybrid's stream is saved on the CPU, continued on the GPU, and back") {
  if (!test::gpu_here()) return;
  const Case c(test::model_file(hybrid(), 3));
  const test::TempDir dir;
  const auto path = dir / "state.safetensors";
  const auto in = c.signal(2000, 5);
  ssm::State all = c.model->initial_state();
  const auto expected = c.on_cpu(all, in);
  for (const bool gpu_first : {false, true}) {
    auto device = c.on_gpu({.chunk_frames = 64});
    c.model->initial_state().save(path);
    std::vector<float> out;
    size_t begin = 0;
    bool gpu = gpu_first;
    for (const size_t end : {300, 301, 555, 1200, 1999, 2000}) {
      ssm::State state = ssm::State::load(path, c.model->state_layout());
      const auto part = std::span(in).subspan(begin, end - begin);
      const auto y = gpu ? run(device, c, state, part) : c.on_cpu(state, part);
      out.insert(out.end(), y.begin(), y.end());
      state.save(path);
      begin = end, gpu = !gpu;
    }
    CHECK(test::relative_error(out, expected) <= kTolerance);
    CHECK(state_difference(ssm::State::load(path, c.model->state_layout()), all) <= tolerance_of_states(2000));
  }
}

TEST_CASE("a hybrid's signals agree with the CPU in a batch, in one segment and in many") {
  if (!test::gpu_here()) return;
  const Case c(test::model_file(hybrid(), 4));
  const std::vector<size_t> lengths{1, 15, 16, 17, 0, 127, 128, 129, 1000, 3000};
  for (const gpu::BatchedOptions& options :
       {gpu::BatchedOptions{}, gpu::BatchedOptions{.memory_bytes = 1}, gpu::BatchedOptions{.chunk_frames = 16}}) {
    auto device = c.on_gpu(options);
    std::vector<ssm::State> states(lengths.size(), c.model->initial_state());
    std::vector<std::vector<float>> in, out;
    for (size_t i = 0; i < lengths.size(); ++i)
      in.push_back(c.signal(lengths[i], uint32_t(i))), out.push_back(c.room(lengths[i]));
    std::vector<gpu::Frames> batch;
    for (size_t i = 0; i < lengths.size(); ++i) batch.push_back({&states[i], in[i], out[i]});
    device.process(batch);
    for (size_t i = 0; i < lengths.size(); ++i) {
      INFO(lengths[i] << " frames, chunks of " << options.chunk_frames << ", memory " << options.memory_bytes);
      ssm::State state = c.model->initial_state();
      CHECK(test::relative_error(out[i], c.on_cpu(state, in[i])) <= kTolerance);
      CHECK(state_difference(states[i], state) <= tolerance_of_states(lengths[i]));
    }
  }
}

TEST_CASE("Mamba-3 of many shapes agrees with the reference on the GPU") {
  if (!test::gpu_here()) return;
  for (const std::string more :
       {R"("headdim": 16, "d_state": 16)", R"("headdim": 4, "d_state": 8, "ngroups": 2, "rope_fraction": 1.0)",
        R"("headdim": 64, "d_state": 128)", R"("headdim": 32, "d_state": 34, "is_outproj_norm": true)",
        R"("headdim": 64, "d_state": 64, "is_mimo": true, "mimo_rank": 4)",
        R"("headdim": 16, "d_state": 128, "is_mimo": true, "mimo_rank": 2, "rope_fraction": 1.0)",
        R"("headdim": 8, "d_state": 16, "is_mimo": true, "mimo_rank": 3, "is_outproj_norm": true)"}) {
    const Case c(test::model_file(
        R"({"model_type": "coil", "d_input": 1, "d_output": 1, "d_model": 32, "layers": [{"repeat": 2, "parts": [
            {"type": "rmsnorm", "name": "norm", "eps": 0.05}, {"type": "mamba3", "name": "mixer", )" +
            more + "}]}]}",
        15));
    for (const size_t frames : {1, 2, 15, 16, 17, 31, 32, 33, 127, 128, 129, 300}) {
      const auto in = c.signal(frames, 6);
      const auto reference = test::run_reference(c.loaded, in, {});
      for (const int chunk_frames : {32, 128}) {
        INFO(more << ", " << frames << " frames, chunks of " << chunk_frames);
        auto device = c.on_gpu({.chunk_frames = chunk_frames});
        ssm::State state = c.model->initial_state();
        CHECK(test::relative_error(run(device, c, state, in), reference.output) <= kTolerance);
        CHECK(test::state_error(state, reference) <= tolerance_of_states(frames));
      }
    }
  }
}

TEST_CASE("Mamba-3 in bf16 of common sizes agrees with the reference on the GPU") {
  if (!test::gpu_here()) return;
  for (const std::string more :
       {R"("headdim": 64, "d_state": 128)", R"("headdim": 32, "d_state": 64, "ngroups": 2, "rope_fraction": 1.0)",
        R"("headdim": 64, "d_state": 128, "is_mimo": true, "mimo_rank": 4)",
        R"("headdim": 16, "d_state": 64, "is_mimo": true, "mimo_rank": 4, "rope_fraction": 1.0)"}) {
    const Case c(test::model_file(
        R"({"model_type": "coil", "d_input": 1, "d_output": 1, "d_model": 64, "layers": [{"parts": [
            {"type": "rmsnorm", "name": "norm", "eps": 0.05}, {"type": "mamba3", "name": "mixer", )" +
            more + "}]}]}",
        16));
    for (const size_t frames : {1, 7, 8, 9, 31, 32, 33, 129, 700}) {
      const auto in = c.signal(frames, 6);
      const auto reference = test::run_reference(c.loaded, in, {});
      for (const int chunk_frames : {16, 48, 256}) {
        INFO(more << ", " << frames << " frames, chunks of " << chunk_frames);
        auto device = c.on_gpu({.chunk_frames = chunk_frames, .precision = gpu::Precision::bf16});
        ssm::State state = c.model->initial_state();
        const double error = test::relative_error(run(device, c, state, in), reference.output);
        CHECK(error <= 3e-2);
        CHECK(error > 1e-7);
        CHECK(test::state_error(state, reference) <= 3e-2);
      }
    }
  }
}

TEST_CASE("results do not depend on earlier contents of the GPU's memory") {
  if (!test::gpu_here()) return;
  const std::string no_projection =
      R"({"model_type": "coil", "d_model": 16, "layers": [{"parts": [{"type": "mamba1", "name": "a",
          "d_state": 16}]}]})";
  for (const std::string& config :
       {mamba1(16, ""), mamba1(24, ""), mamba2(24, R"("headdim": 16, "d_state": 20)"), no_projection, hybrid(),
        std::string(R"({"model_type": "coil", "d_model": 6, "layers": [{"parts": [
           {"type": "rmsnorm", "name": "n"}, {"type": "mamba2", "name": "a", "d_state": 5, "headdim": 3},
               {"type": "s4d", "name": "b", "d_state": 6}]}]})")}) {
    const Case c(test::model_file(config, 9));
    const auto in = c.signal(700, 1);
    auto fresh = c.on_gpu(), used = c.on_gpu();
    ssm::State poisoned = c.model->initial_state();
    for (const auto& tensor : poisoned.tensors())
      poisoned.set(tensor.name, std::vector<float>(tensor.values.size(), std::nanf("")));
    const auto nothing = run(used, c, poisoned, c.signal(5000, 2));
    CHECK(std::isnan(nothing.front()));  // the poison was effective
    ssm::State one = c.model->initial_state(), other = one;
    CHECK(test::same_bits(run(fresh, c, one, in), run(used, c, other, in)));
    CHECK(one == other);
  }
}

TEST_CASE("a million frames agree with the CPU") {
  if (!test::gpu_here()) return;
  for (const std::string& config : {mamba1(16, ""), mamba2(16, R"("headdim": 8, "d_state": 16)")}) {
    const Case c(test::model_file(config, 10));
    const auto in = c.signal(1'000'007, 3);
    ssm::State state = c.model->initial_state(), expected_state = state;
    auto device = c.on_gpu();
    const auto out = run(device, c, state, in);
    CHECK(test::relative_error(out, c.on_cpu(expected_state, in)) <= kTolerance);
    CHECK(state_difference(state, expected_state) <= kTolerance);
    CHECK(device.device_bytes() < size_t(1) << 30);
  }
}

TEST_CASE("values that are not finite read as 0") {
  if (!test::gpu_here()) return;
  const Case c(test::model_file(mamba1(16, ""), 11));
  auto broken = c.signal(200, 4), mended = broken;
  for (const size_t at : {0, 17, 199})
    broken[at] = at == 17 ? std::nanf("") : std::numeric_limits<float>::infinity(), mended[at] = 0;
  auto device = c.on_gpu();
  ssm::State one = c.model->initial_state(), other = one;
  CHECK(test::same_bits(run(device, c, one, broken), run(device, c, other, mended)));
}

TEST_CASE("calls that do not fit the model are errors") {
  if (!test::gpu_here()) return;
  const Case c(test::model_file(mamba1(16, ""), 12));
  auto device = c.on_gpu();
  ssm::State state = c.model->initial_state();
  std::vector<float> in(4), out(3);
  const gpu::Frames wrong[] = {{&state, in, out}};
  CHECK_THROWS_WITH(device.process(wrong), Catch::Contains("an output of 1 values a frame"));
  const gpu::Tokens tokens[] = {{&state, {}, {}}};
  CHECK_THROWS_WITH(device.process_tokens(tokens), Catch::Contains("takes frames, not token ids"));
  CHECK_THROWS_WITH(c.on_gpu({.device = 99}), Catch::Contains("there is no GPU 99"));
}

TEST_CASE("without a GPU a model says why it cannot be made") {
  if (!gpu::devices().empty()) return;
  CHECK_FALSE(gpu::why_no_device().empty());
  const Case c(test::model_file(mamba1(16, ""), 13));
  CHECK_THROWS_WITH(c.on_gpu(), Catch::Contains(gpu::why_no_device()));
}

}  // namespace
