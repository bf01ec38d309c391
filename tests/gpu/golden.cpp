// Every golden file on the GPU.
#include <filesystem>

#include "gpu/golden_backend.h"
#include "tests/gpu/gpu_here.h"

namespace {

using namespace coil;

// As on the CPU (tests/golden): 84 epsilon of max(1, peak); dt A reaches 2^7 in the file with large deltas.
constexpr double kTolerance = 1e-5, kLargeDeltaTolerance = 1e-4;

TEST_CASE("golden files agree on the GPU") {
  if (!test::gpu_here()) return;
  size_t files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(COIL_GOLDEN_DIR)) {
    if (entry.path().extension() != ".safetensors") continue;
    ++files;
    const auto golden = ssm::Golden::open(entry.path());
    golden.require_complete();
    if (const std::string name = entry.path().stem().string();
        name.starts_with("mamba3") || name.starts_with("jamba")) {
      CHECK_THROWS_WITH(gpu::run_golden(golden), Catch::Contains("the GPU has no kernels for"));
      continue;
    }
    const ssm::GoldenResult result = gpu::run_golden(golden);
    INFO(entry.path().stem().string() << ", worst state " << result.errors.worst_state);
    const double tolerance = entry.path().stem() == "op_ss_large_delta" ? kLargeDeltaTolerance : kTolerance;
    CHECK(result.errors.output <= tolerance);
    CHECK(result.errors.output_step <= tolerance);
    CHECK(result.errors.state <= tolerance);
  }
  CHECK(files >= 38);  // none is missing; tests/golden names them
}

}  // namespace
