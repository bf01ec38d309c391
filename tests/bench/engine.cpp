// Benchmarks of the engine: time per frame of whole models, step by step and in blocks of 64, on one thread, beside the arithmetic floor
// of this machine measured in the same run.
//
//   cmake --preset bench && cmake --build --preset bench --target engine_bench && build-bench/tests/bench/engine_bench
//
// `floor_ns` is macs / (multiply-adds a second) + exps / (exponentials a second); `of_floor` is floor_ns over the measured time.
#include <benchmark/benchmark.h>

#include <cstdio>
#include <filesystem>
#include <string>

#include "ssm/floor.h"
#include "ssm/stream.h"
#include "ssm/stream_batch.h"
#include "tests/support/random_network.h"
#include "tests/support/temp_dir.h"

namespace {

using namespace coil;

const ssm::ArithmeticSpeed& machine_speed() {
  static const ssm::ArithmeticSpeed speed = ssm::measure_arithmetic(ssm::Target::best());
  return speed;
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
  const double floor_ns = ssm::arithmetic_floor_ns(c.model->cost(), machine_speed());
  const double processed = double(state.iterations()) * double(frames);
  state.counters["ns_per_frame"] = benchmark::Counter(processed * 1e-9, benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
  state.counters["of_floor"] = benchmark::Counter(processed * floor_ns * 1e-9, benchmark::Counter::kIsRate);
  state.counters["floor_ns"] = floor_ns;
  state.counters["macs"] = c.model->cost().macs_per_step;
}

// All streams one frame on, over and over.
void run_batch(benchmark::State& state, const Case& c, size_t streams) {
  ssm::StreamBatch batch(c.model, streams);
  test::Random random(1);
  const std::vector<float> in = test::random_signal(streams * size_t(c.model->config().d_input), random);
  std::vector<float> out(streams * size_t(c.model->config().d_output));
  for (auto _ : state) batch.step(in, out);
  state.counters["ns_per_frame"] =
      benchmark::Counter(double(state.iterations()) * double(streams) * 1e-9, benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
  state.counters["bytes_per_stream"] = double(batch.bytes_per_stream());
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

  std::printf("target %s, one thread: %.1f GMAC/s, %.3f ns an exponential\n", ssm::Target::best().name(), 1 / machine_speed().mac_ns,
              machine_speed().exp_ns);
  for (const Case& c : cases)
    for (const size_t block : {size_t(1), size_t(64)})
      benchmark::RegisterBenchmark((c.name + (block == 1 ? "/step" : "/block_64")).c_str(), [&c, block](benchmark::State& state) { run(state, c, block); });
  for (const Case& c : cases)
    for (const size_t streams : {64, 100000})
      benchmark::RegisterBenchmark((c.name + "/streams_" + std::to_string(streams)).c_str(),
                                   [&c, streams](benchmark::State& state) { run_batch(state, c, streams); });
  benchmark::RunSpecifiedBenchmarks();
}
