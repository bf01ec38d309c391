// Benchmarks of the engine on one thread: time per frame of whole models, step by step, in blocks, and many streams at
// once, on every SIMD target and in every weight format, compared with this machine's roofline, measured in the same
// run.
//
//   cmake --preset bench && cmake --build --preset bench --target engine_bench && build-bench/tests/bench/engine_bench
//
// `floor_ns` is macs / (multiply-adds per second) + exps / (exponentials per second); for language models with a single
// token it is the time to read the weights. `of_floor` is floor_ns over the measured time. A model is made when its
// first benchmark runs (--benchmark_filter).
#include <benchmark/benchmark.h>

#include <cstdio>
#include <filesystem>
#include <string>

#include "ssm/measure/roofline.h"
#include "ssm/run/stream.h"
#include "ssm/run/stream_batch.h"
#include "tests/support/random_network.h"
#include "tests/support/temp_dir.h"

namespace {

using namespace coil;

const ssm::ArithmeticSpeed& machine_speed() {
  static const ssm::ArithmeticSpeed speed = ssm::measure_arithmetic(ssm::Target::best());
  return speed;
}

// A model and the ways to load it; made at its first use. Only the last one is kept.
class Case {
 public:
  Case(std::string name, std::filesystem::path path, std::string config = "")
      : name(std::move(name)), path_(std::move(path)), config_(std::move(config)) {}

  std::shared_ptr<const ssm::Model> model(ssm::Target target = ssm::Target::best()) const {
    static std::string loaded;
    static std::shared_ptr<const ssm::Model> kept;
    const std::string key = name + target.label();
    if (key == loaded) return kept;
    kept.reset();
    if (!config_.empty() && !std::filesystem::exists(path_)) test::model_file(config_, 1).write(path_);
    kept = ssm::Model::load(path_, target);
    loaded = key;
    return kept;
  }

  std::string name;

 private:
  std::filesystem::path path_;
  std::string config_;  // empty: the file exists
};

void report(benchmark::State& state, double frames, double floor_ns) {
  using benchmark::Counter;
  state.counters["ns_per_frame"] = Counter(frames * 1e-9, Counter::kIsRate | Counter::kInvert);
  state.counters["of_floor"] = Counter(frames * floor_ns * 1e-9, Counter::kIsRate);
  state.counters["floor_ns"] = floor_ns;
}

void run(benchmark::State& state, ssm::Stream stream, size_t block) {
  const ssm::Model& model = stream.model();
  const size_t frames = 4096 / block * block, d_input = size_t(model.config().d_input),
               d_output = size_t(model.config().d_output);
  test::Random random(1);
  std::vector<float> in = test::random_signal(frames * d_input, random), out(frames * d_output);
  for (auto _ : state)
    for (size_t t = 0; t < frames; t += block)
      stream.process({in.data() + t * d_input, block * d_input}, {out.data() + t * d_output, block * d_output});
  report(state, double(state.iterations() * frames), ssm::arithmetic_floor_ns(model.cost(), machine_speed()));
}

// One token after another, or a prompt of which only the last logits are needed.
void run_tokens(benchmark::State& state, const std::shared_ptr<const ssm::Model>& loaded, size_t block) {
  const ssm::Model& model = *loaded;
  const size_t vocabulary = size_t(model.config().d_output);
  ssm::Stream stream(loaded);
  std::vector<int32_t> tokens(block);
  for (size_t i = 0; i < block; ++i) tokens[i] = int32_t(i * 7919 % vocabulary);
  std::vector<float> logits(vocabulary);
  for (auto _ : state) stream.process_tokens(tokens, logits);
  const double bytes = double(model.cost().parameters) * double(ssm::bytes_of(model.target().weights()));
  const double head_ns = double(model.config().d_model) * double(vocabulary) * machine_speed().mac_ns;
  const double arithmetic_ns =
      ssm::arithmetic_floor_ns(model.cost(), machine_speed()) - head_ns * (1 - 1.0 / double(block));
  report(state, double(state.iterations() * block), block == 1 ? ssm::measure_read_ns(size_t(bytes)) : arithmetic_ns);
  state.counters["tokens_per_s"] = benchmark::Counter(double(state.iterations() * block), benchmark::Counter::kIsRate);
}

// Advances all streams by one frame, repeatedly.
void run_batch(benchmark::State& state, const std::shared_ptr<const ssm::Model>& model, size_t streams) {
  ssm::StreamBatch batch(model, streams);
  test::Random random(1);
  const std::vector<float> in = test::random_signal(streams * size_t(model->config().d_input), random);
  std::vector<float> out(streams * size_t(model->config().d_output));
  for (auto _ : state) batch.step(in, out);
  report(state, double(state.iterations() * streams), ssm::arithmetic_floor_ns(model->cost(), machine_speed()));
  state.counters["bytes_per_stream"] = double(batch.bytes_per_stream());
}

std::string frame(int d_model, int repeat, const std::string& parts) {
  return R"({"model_type": "coil", "d_input": 1, "d_output": 1, "direct": true, "d_model": )" +
         std::to_string(d_model) + R"(, "layers": [{"repeat": )" + std::to_string(repeat) + R"(, "parts": [)" + parts +
         "]}]}";
}

}  // namespace

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  const test::TempDir folder;
  std::vector<Case> cases;
  const auto add = [&](const std::string& name, const std::string& config) {
    cases.emplace_back(name, folder.path() / (name + ".safetensors"), config);
  };
  const std::string s4d_tanh =
      R"({"type": "s4d", "name": "mixer", "d_state": 8}, {"type": "linear", "name": "in_proj"}, {"type": "tanh"},
                                  {"type": "linear", "name": "out_proj", "bias": false})";
  const std::string norm = R"({"type": "rmsnorm", "name": "norm"}, )";
  const std::string mamba1 = norm + R"({"type": "mamba1", "name": "mixer", "d_state": 16})";
  const auto mamba2 = [&](int d_state, int headdim) {
    return norm + R"({"type": "mamba2", "name": "mixer", "d_state": )" + std::to_string(d_state) + R"(, "headdim": )" +
           std::to_string(headdim) + "}";
  };
  for (const auto& entry : std::filesystem::directory_iterator(COIL_PRESETS_DIR))
    if (entry.path().extension() == ".safetensors")
      cases.emplace_back("preset_" + entry.path().stem().string(), entry.path());
  add("s4d_tanh_d8_l6", frame(8, 6, s4d_tanh));
  add("s4d_tanh_d16_l6", frame(16, 6, s4d_tanh));
  add("mamba1_d16_l2", frame(16, 2, mamba1));
  add("mamba1_d32_l4", frame(32, 4, mamba1));
  add("mamba1_d64_l4", frame(64, 4, mamba1));
  add("mamba2_d16_l2", frame(16, 2, mamba2(16, 16)));
  add("mamba2_d32_l4", frame(32, 4, mamba2(16, 16)));
  add("mamba2_d64_l4", frame(64, 4, mamba2(16, 16)));
  add("mamba2_d64_l4_state64", frame(64, 4, mamba2(64, 32)));
  // d_inner 27, d_state 5, dt_rank 3: no size matches a vector.
  add("mamba1_awkward",
      frame(27, 4, norm + R"({"type": "mamba1", "name": "mixer", "expand": 1, "d_state": 5, "dt_rank": 3})"));
  const Case language_model(
      "mamba1_130m", folder.path() / "130m.safetensors",
      R"({"model_type": "mamba", "hidden_size": 768, "num_hidden_layers": 24, "vocab_size": 50280, "state_size": 16})");

  std::printf("target %s, one thread: %.1f GMAC/s, %.3f ns an exponential\n", ssm::Target::best().name(),
              1 / machine_speed().mac_ns, machine_speed().exp_ns);
  const auto enter = [](const std::string& name, auto function) {
    return benchmark::RegisterBenchmark(name.c_str(), function);
  };
  for (const Case& c : cases) {
    for (const ssm::Target& target : ssm::Target::all())
      for (const size_t block : {1, 64}) {
        const std::string name = c.name + (block == 1 ? "/step" : "/block_64");
        enter(target == ssm::Target::best() ? name : name + "/" + target.name(),
              [&c, target, block](benchmark::State& state) { run(state, ssm::Stream(c.model(target)), block); });
      }
    for (const size_t block : {16, 1000})
      enter(c.name + "/block_" + std::to_string(block),
            [&c, block](benchmark::State& state) { run(state, ssm::Stream(c.model()), block); });
    for (const size_t streams : {64, 100000})
      enter(c.name + "/streams_" + std::to_string(streams),
            [&c, streams](benchmark::State& state) { run_batch(state, c.model(), streams); });
  }
  for (const auto weights : {ssm::WeightFormat::f32, ssm::WeightFormat::bf16, ssm::WeightFormat::int8})
    for (const size_t block : {1, 64})
      enter(language_model.name + (block == 1 ? "/generate/" : "/prefill_64/") + ssm::to_string(weights),
            [&, weights, block](benchmark::State& state) {
              run_tokens(state, language_model.model(ssm::Target::best().with(weights)), block);
            })
          ->Unit(benchmark::kMillisecond);
  benchmark::RunSpecifiedBenchmarks();
}
