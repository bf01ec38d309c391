// Benchmarks of the engine: time per frame of whole models, step by step and in blocks of 64, on one thread, beside the arithmetic floor
// of this machine measured in the same run.
//
//   cmake --preset bench && cmake --build --preset bench --target engine_bench && build-bench/tests/bench/engine_bench
//
// `floor_ns` is macs / (multiply-adds a second) + exps / (exponentials a second); `of_floor` is floor_ns over the measured time.
#include <benchmark/benchmark.h>

#include <chrono>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <string>

#include "ssm/kernels/kernels.h"
#include "ssm/stream.h"
#include "tests/support/random_network.h"
#include "tests/support/temp_dir.h"

namespace {

using namespace coil;

double seconds_of(const std::function<void()>& work) {
  double best = 1e9;
  for (int i = 0; i < 20; ++i) {
    const auto start = std::chrono::steady_clock::now();
    work();
    best = std::min(best, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  return best;
}

// Nanoseconds of one multiply-add and of one exponential at this machine's best rate on the best target: a matrix product from L1 with
// long sums, and decays of a block.
struct Floor {
  double mac_ns = 0, exp_ns = 0;

  Floor() {
    const ssm::Kernels& kernels = ssm::Target::best().kernels();
    constexpr size_t kRows = 64, kColumns = 64, kFrames = 64, kTimes = 200;
    const std::vector<float> source(kRows * kColumns, 0.01f);
    std::vector<int> index(kRows);
    for (size_t i = 0; i < kRows; ++i) index[i] = int(i);
    const ssm::PackedLinear matrix = ssm::pack_linear(kernels, ssm::WeightFormat::f32, source.data(), kColumns, nullptr, index, index);
    ssm::AlignedFloats x(kFrames * kColumns, 0.5f), y(kFrames * kRows), a(kRows, -0.3f);
    mac_ns = 1e9 / kTimes / (kRows * kColumns * kFrames) * seconds_of([&] {
      for (size_t i = 0; i < kTimes; ++i) kernels.linear(matrix, nullptr, x.data(), kColumns, y.data(), kRows, kFrames, false);
      benchmark::DoNotOptimize(y.data());
    });
    exp_ns = 1e9 / kTimes / (kRows * kFrames) * seconds_of([&] {
      for (size_t i = 0; i < kTimes; ++i) kernels.decay(a.data(), x.data(), kColumns, y.data(), kRows, kRows, kFrames);
      benchmark::DoNotOptimize(y.data());
    });
  }
};

const Floor& machine_floor() {
  static const Floor floor;
  return floor;
}

struct Case {
  std::string name;
  std::shared_ptr<const ssm::Model> model;
};

void run(benchmark::State& state, const Case& c, size_t block) {
  ssm::Stream stream(c.model);
  const size_t frames = 4096 / block * block;
  test::Random random(1);
  std::vector<float> in = test::random_signal(frames * size_t(c.model->config().d_input), random);
  std::vector<float> out(frames * size_t(c.model->config().d_output));
  const size_t d_input = size_t(c.model->config().d_input), d_output = size_t(c.model->config().d_output);
  for (auto _ : state)
    for (size_t t = 0; t < frames; t += block)
      stream.process({in.data() + t * d_input, block * d_input}, {out.data() + t * d_output, block * d_output});
  const ssm::Cost& cost = c.model->cost();
  const double floor_ns = cost.macs_per_step * machine_floor().mac_ns + cost.exps_per_step * machine_floor().exp_ns;
  const double processed = double(state.iterations()) * double(frames);
  state.counters["ns_per_frame"] = benchmark::Counter(processed * 1e-9, benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
  state.counters["of_floor"] = benchmark::Counter(processed * floor_ns * 1e-9, benchmark::Counter::kIsRate);
  state.counters["floor_ns"] = floor_ns;
  state.counters["macs"] = cost.macs_per_step;
}

std::string frame(int d_model, int repeat, const std::string& parts) {
  return R"({"model_type": "coil", "d_input": 1, "d_output": 1, "direct": true, "d_model": )" + std::to_string(d_model) +
         R"(, "layers": [{"repeat": )" + std::to_string(repeat) + R"(, "parts": [)" + parts + "]}]}";
}

}  // namespace

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  const test::TempDir folder;
  std::vector<Case> cases;
  const auto add = [&](const std::string& name, const std::string& config) {
    const auto path = folder.path() / (name + ".safetensors");
    test::model_file(config, 1).write(path);
    cases.push_back({name, ssm::Model::load(path)});
  };
  const std::string s4d_tanh = R"({"type": "s4d", "name": "mixer", "d_state": 8}, {"type": "linear", "name": "in_proj"}, {"type": "tanh"},
                                  {"type": "linear", "name": "out_proj", "bias": false})";
  const std::string norm = R"({"type": "rmsnorm", "name": "norm"}, )";
  const std::string mamba1 = norm + R"({"type": "mamba1", "name": "mixer", "d_state": 16})";
  const std::string mamba2 = norm + R"({"type": "mamba2", "name": "mixer", "d_state": 16, "headdim": 16})";
  for (const auto& entry : std::filesystem::directory_iterator(COIL_PRESETS_DIR))
    if (entry.path().extension() == ".safetensors") cases.push_back({"preset_" + entry.path().stem().string(), ssm::Model::load(entry.path())});
  add("s4d_tanh_d8_l6", frame(8, 6, s4d_tanh));
  add("s4d_tanh_d16_l6", frame(16, 6, s4d_tanh));
  add("mamba1_d16_l2", frame(16, 2, mamba1));
  add("mamba1_d32_l4", frame(32, 4, mamba1));
  add("mamba1_d64_l4", frame(64, 4, mamba1));
  add("mamba2_d16_l2", frame(16, 2, mamba2));
  add("mamba2_d32_l4", frame(32, 4, mamba2));
  add("mamba2_d64_l4", frame(64, 4, mamba2));

  std::printf("target %s, one thread: %.1f GMAC/s in matrix products, %.3f ns an exponential\n", ssm::Target::best().name(), 1 / machine_floor().mac_ns,
              machine_floor().exp_ns);
  for (const Case& c : cases)
    for (const size_t block : {size_t(1), size_t(64)})
      benchmark::RegisterBenchmark((c.name + (block == 1 ? "/step" : "/block_64")).c_str(), [&c, block](benchmark::State& state) { run(state, c, block); });
  benchmark::RunSpecifiedBenchmarks();
}
