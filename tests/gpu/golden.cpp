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
    const ssm::GoldenResult result = gpu::run_golden(golden);
    INFO(entry.path().stem().string() << ", worst state " << result.errors.worst_state);
    const double tolerance = entry.path().stem() == "op_ss_large_delta" ? kLargeDeltaTolerance : kTolerance;
    CHECK(result.errors.output <= tolerance);
    CHECK(result.errors.output_step <= tolerance);
    CHECK(result.errors.state <= tolerance);
  }
  CHECK(files >= 46);  // none is missing; tests/golden names them
}

TEST_CASE("hybrids agree with transformers on the GPU") {
  if (!test::gpu_here()) return;
  size_t directories = 0;
  for (const auto& entry : std::filesystem::directory_iterator(std::filesystem::path(COIL_GOLDEN_DIR) / "hybrids")) {
    if (!entry.is_directory()) continue;
    INFO(entry.path().filename().string());
    const auto golden = ssm::Golden::open(entry.path(), entry.path().string() + ".io.safetensors");
    if (entry.path().filename() == "mamba2attn_a") {
      CHECK_THROWS_WITH(gpu::run_golden(golden), Catch::Contains("cannot run attention with a convolution"));
      continue;
    }
    ++directories;
    CHECK(gpu::run_golden(golden).errors.output <= kTolerance);
    // Networks amplify what rounding changes, and a router may choose another expert; but the results are alike.
    for (const auto& [precision, tolerance] :
         {std::pair(gpu::Precision::tf32, 0.02), std::pair(gpu::Precision::bf16, 0.2)}) {
      INFO(gpu::to_string(precision));
      const double error = gpu::run_golden(golden, precision).errors.output;
      CHECK(error > 1e-6);
      CHECK(error <= tolerance);
    }
  }
  CHECK(directories == 6);
}

}  // namespace
