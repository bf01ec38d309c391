// A GPU that runs out of memory in the middle of a recording: the CPU continues.
#include <thread>

#include "dsp/offline_processor.h"
#include "gpu/executor.h"
#include "gpu/memory.h"
#include "tests/gpu/gpu_here.h"
#include "tests/support/runs.h"

namespace {

using namespace coil;

// Allocates all free memory of the GPUs, in smaller and smaller pieces.
std::vector<gpu::DeviceFloats> take_all_memory() {
  std::vector<gpu::DeviceFloats> taken;
  for (const gpu::Device& device : gpu::devices()) {
    cudaSetDevice(device.index);
    for (size_t floats = device.memory_bytes / sizeof(float); floats > 1000;) {
      try {
        taken.emplace_back(floats);
      } catch (const Error&) {
        cudaGetLastError();
        floats /= 2;
      }
    }
  }
  return taken;
}

TEST_CASE("a GPU that fails in the middle of a recording is given up, and the CPU goes on from there") {
  if (!test::gpu_here()) return;
  const ssm::Checkpoint checkpoint = ssm::Checkpoint::open(COIL_PRESETS_DIR "/green_overdrive.safetensors");
  const auto model = ssm::Model::load(checkpoint);
  std::mutex mutex;
  std::vector<std::string> said;
  const auto executor = std::make_shared<gpu::Executor>(model, checkpoint, [&](const std::string& line) {
    const std::lock_guard lock(mutex);
    said.push_back(line);
  });
  test::Random random(1);
  const auto in = test::random_signal(300000, random);
  dsp::OfflineProcessor on_gpu(model, 48000, 1, 1 << 20, {}, dsp::RateMode::model_default, executor),
      on_cpu(model, 48000, 1, 4096);
  std::vector<float> found, expected;
  on_gpu.process(std::span(in).first(1000), found);  // needs little memory
  REQUIRE(executor->working_gpus() == executor->gpus());
  {
    const auto taken = take_all_memory();
    // each GPU fails once
    for (int i = 0; i < executor->gpus(); ++i)
      on_gpu.process(std::span(in).subspan(1000 + size_t(i) * 140000, 140000), found);
  }
  const size_t done = found.size();
  on_gpu.process(std::span(in).subspan(done), found);
  CHECK(executor->working_gpus() == 0);
  on_cpu.process(in, expected);
  REQUIRE(found.size() == expected.size());
  CHECK(test::relative_error(found, expected) <= 1e-5);
  const std::lock_guard lock(mutex);
  REQUIRE(said.size() == size_t(executor->gpus()));
  CHECK_THAT(said.back(), Catch::Contains("out of memory") && Catch::Contains("going on on the CPU"));
}

}  // namespace
