// Recordings through the GPU executor, several at once, compared with the CPU.
#include "gpu/executor.h"

#include <cmath>
#include <thread>

#include "dsp/offline_processor.h"
#include "base/error.h"
#include "tests/gpu/gpu_here.h"
#include "tests/support/matrix_model.h"
#include "tests/support/runs.h"

namespace {

using namespace coil;

constexpr double kTolerance = 1e-5;

void fail_on_message(const std::string& line) { FAIL("said: " << line); }

// Has the preset's memory, FiLM with one control and settling time; any sample rate.
struct Preset {
  ssm::Checkpoint checkpoint = ssm::Checkpoint::open(COIL_PRESETS_DIR "/green_overdrive.safetensors");
  std::shared_ptr<const ssm::Model> model = ssm::Model::load(checkpoint);
};

struct Recording {
  double sample_rate_hz;
  int channels;
  size_t frames;
  int block_frames;
};

std::vector<float> process(const Preset& preset, const Recording& recording, std::shared_ptr<ssm::Executor> executor) {
  test::Random random(uint32_t(recording.frames));
  const auto in = test::random_signal(recording.frames * size_t(recording.channels), random);
  const float controls[] = {7, 4, -2};
  dsp::OfflineProcessor processor(preset.model, recording.sample_rate_hz, recording.channels, recording.block_frames,
                                  controls, dsp::RateMode::model_default, std::move(executor));
  std::vector<float> out;
  const size_t read = 10000 * size_t(recording.channels);
  for (size_t begin = 0; begin < in.size(); begin += read)
    processor.process(std::span(in).subspan(begin, std::min(read, in.size() - begin)), out);
  processor.finish(out);
  return out;
}

TEST_CASE("recordings of several rates, channels and lengths that share the GPUs come out as on the CPU") {
  if (!test::gpu_here()) return;
  const Preset preset;
  const auto executor = std::make_shared<gpu::Executor>(preset.model, preset.checkpoint, fail_on_message);
  const std::vector<Recording> recordings{
      {48000, 1, 100000, 4096}, {44100, 2, 70000, 16384}, {96000, 1, 150000, 1 << 20}, {48000, 2, 1, 100},
      {48000, 1, 0, 100},       {8000, 1, 30000, 1000},   {48000, 3, 50001, 777},      {192000, 1, 40000, 5000}};
  std::vector<std::vector<float>> found(recordings.size());
  std::vector<std::thread> threads;
  for (size_t i = 0; i < recordings.size(); ++i)
    threads.emplace_back([&, i] { found[i] = process(preset, recordings[i], executor); });
  for (std::thread& thread : threads) thread.join();
  for (size_t i = 0; i < recordings.size(); ++i) {
    INFO("recording " << i);
    const auto expected = process(preset, recordings[i], nullptr);
    REQUIRE(found[i].size() == expected.size());
    CHECK(test::relative_error(found[i], expected) <= kTolerance);
  }
  CHECK(executor->working_gpus() == executor->gpus());
}

TEST_CASE("a model that overflows on the GPU restarts where it does on the CPU") {
  if (!test::gpu_here()) return;
  const test::Loaded loaded =
      test::load(test::model_file(R"({"model_type": "coil", "d_input": 1, "d_output": 1, "d_model": 4, "norm_f": false,
      "layers": [{"parts": [{"type": "s4d", "name": "mixer", "d_state": 4}]}]})",
                                  3));
  const auto model = loaded.model();
  gpu::Executor executor(model, loaded.checkpoint, fail_on_message);
  std::vector<float> in(4000, 0.5f), found(in.size()), expected(in.size());
  in[1500] = 3e38f, in[1501] = 3e38f;
  ssm::Stream on_gpu(model), on_cpu(model);
  const ssm::Stretch stretch{&on_gpu, in, found};
  executor.run({&stretch, 1});
  on_cpu.process(in, expected);
  REQUIRE(on_cpu.restarts() > 0);
  CHECK(on_gpu.restarts() == on_cpu.restarts());
  CHECK(test::relative_error(found, expected) <= kTolerance);
}

TEST_CASE("without a GPU the executor says why it cannot be made") {
  if (!gpu::devices().empty()) return;
  const Preset preset;
  CHECK_THROWS_WITH(gpu::Executor(preset.model, preset.checkpoint, fail_on_message),
                    Catch::Contains(gpu::why_no_device()));
}

}  // namespace
