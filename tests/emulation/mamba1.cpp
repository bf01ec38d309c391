// The two kernels of a fused Mamba-1 layer on an emulated block against the reference in float64.
#include "gpu/intrinsics.cuh"

#include "gpu/mamba1_kernels.cuh"

#include <catch2/catch.hpp>

#include <variant>

#include "tests/support/runs.h"

namespace {

using namespace coil;
using namespace coil::gpu::mamba1;

constexpr int kWidth = 16, kInner = 32;

template <gpu::Precision kPrecision>
double error_of(size_t frames, int chunk_frames, int groups) {
  const test::Loaded loaded = test::load(test::model_file(
      R"({"model_type": "coil", "d_model": 16, "layers": [{"parts": [{"type": "rmsnorm", "name": "n"},
          {"type": "mamba1", "name": "a", "d_state": 16}]}]})",
      3));
  const auto model = loaded.model();
  const auto& norm = std::get<ssm::RmsNormConfig>(model->config().layers[0].parts[0]);
  const auto& config = std::get<ssm::Mamba1Config>(model->config().layers[0].parts[1]);
  test::Random random(4);
  const std::vector<float> in = test::random_signal(frames * kWidth, random);
  const auto reference = test::run_reference(loaded, in, {});

  const gpu::SegmentPlan plan = gpu::plan_segment(std::vector<gpu::SignalPart>{{frames, 0, 1}}, chunk_frames);
  const size_t chunks = plan.chunks.size(), rows = plan.extent().rows(), states = kInner * kStates;
  std::vector<float> h(rows * kWidth, std::nanf(""));
  std::copy(in.begin(), in.end(), h.begin());
  const std::vector<float> floats = packed<kPrecision, kWidth>(config, &norm, loaded.checkpoint);
  std::vector<float4> weights(floats.size() / 4), x(rows * kInner / 4), dt(x), mixing(rows * 32 / 4);
  std::copy(floats.begin(), floats.end(), &weights[0].x);
  std::vector<float> carry(chunks * states), sums(chunks * kInner);
  const auto scratch = std::bit_cast<gpu::ScanScratch>(std::array<float*, 2>{carry.data(), sums.data()});
  Arguments arguments{weights.data(), h.data(), h.data(), x.data(),           dt.data(),   mixing.data(), scratch,
                      nullptr,        nullptr,  0,        plan.chunks.data(), int(chunks), chunk_frames,  config.d_conv,
                      1.0f / kWidth,  norm.eps, 1};
  // The table has one row per tensor here, so that its strides differ from the row width.
  std::vector<float> table(2 * (kInner * 4 + states));
  arguments.conv_table = table.data(), arguments.scan_table = table.data() + kInner * 4,
  arguments.table_stride = kInner * 4 + states;

  const auto start = [&](auto* kernel, size_t bytes) {
    emulation::Block block(unsigned(32 * groups), bytes, 5);
    for (unsigned i = 0; i < 2; ++i) block.run(i, 2, [&] { kernel(arguments); });
  };
  using Expand = ExpandShared<kPrecision, kWidth>;
  using Recur = RecurShared<kPrecision, kWidth>;
  start(expand<kPrecision, kWidth>, sizeof(Expand) + size_t(groups) * sizeof(typename Expand::Group));
  const auto& w = *reinterpret_cast<const Weights<kPrecision, kWidth>*>(weights.data());
  for (size_t i = 0; i < states; ++i) {
    float running = 0;
    for (size_t chunk = 0; chunk < chunks; ++chunk) {
      float& at = carry[chunk * states + i];
      const float end = at;
      at = running;
      running = std::exp2(w.a[i / kStates][i % kStates] * sums[chunk * kInner + i / kStates]) * running + end;
    }
  }
  start(recur<kPrecision, kWidth>, sizeof(Recur) + size_t(groups) * sizeof(typename Recur::Group));
  h.resize(frames * kWidth);
  return test::relative_error(h, reference.output);
}

TEST_CASE("the fused Mamba-1 layer agrees with the reference in float32") {
  for (const size_t frames : {1, 15, 33, 100}) CHECK(error_of<gpu::Precision::float32>(frames, 32, 2) <= 2e-6);
}
TEST_CASE("the fused Mamba-1 layer is as close as tf32 and bf16 allow") {
  for (const double error : {error_of<gpu::Precision::tf32>(100, 32, 2), error_of<gpu::Precision::bf16>(100, 48, 3)}) {
    CHECK(error <= 2e-2);
    CHECK(error > 1e-6);
  }
}

}  // namespace
