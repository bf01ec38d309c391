// The kernel of projections on an emulated block against sums in float64.
#include "gpu/intrinsics.cuh"

#include "gpu/linear_kernels.cuh"
#include "gpu/memory.h"

#include <catch2/catch.hpp>

#include <cmath>
#include <random>
#include <vector>

namespace {

using namespace coil;

template <gpu::Precision kPrecision>
double error_of(int d_in, int d_out, size_t rows, int in_stride, int out_stride, bool accumulate, bool normalise, int offset) {
  std::minstd_rand random(uint32_t(d_in * 100 + d_out));
  const auto floats = [&](size_t count) {
    std::vector<float> values(count);
    for (float& x : values) x = std::uniform_real_distribution<float>(-1, 1)(random);
    return values;
  };
  const std::vector<float> in = floats(rows * size_t(in_stride) + 4), weight = floats(size_t(d_in) * size_t(d_out)), bias = floats(size_t(d_out));
  std::vector<float> out = floats(rows * size_t(out_stride) + 4);
  const std::vector<float> before = out;
  const auto packed = gpu::packed_weight<kPrecision>(d_in, d_out, [&](int output, int input) { return weight[size_t(output * d_in + input)]; });
  const float eps = 0.03f;
  const gpu::LinearArguments arguments{packed.data(), bias.data(), d_in, d_out, in.data() + offset, in_stride, out.data() + offset, out_stride,
                                       rows, accumulate, normalise, eps};
  const unsigned output_blocks = gpu::blocks_of(size_t(d_out), gpu::kLinearOutputs), blocks = output_blocks * gpu::blocks_of(rows, gpu::kLinearRows);
  emulation::Block block(32 * gpu::kLinearWarps, gpu::PackedRight<kPrecision>::kSlab * sizeof(uint32_t), 2);
  for (unsigned i = 0; i < blocks; ++i) block.run(i, blocks, [&] { gpu::tiled_product<kPrecision>(arguments, int(output_blocks)); });

  double worst = 0, peak = 1;
  for (size_t row = 0; row < rows; ++row) {
    double squares = 0;
    for (int k = 0; k < d_in; ++k) squares += std::pow(double(in[size_t(offset) + row * size_t(in_stride) + size_t(k)]), 2);
    const double scale = normalise ? 1 / std::sqrt(squares / d_in + double(eps)) : 1;
    for (int o = 0; o < out_stride; ++o) {
      const size_t at = size_t(offset) + row * size_t(out_stride) + size_t(o);
      double sum = before[at];
      if (o < d_out) {
        sum = accumulate ? sum : 0;
        for (int k = 0; k < d_in; ++k)
          sum += scale * double(in[size_t(offset) + row * size_t(in_stride) + size_t(k)]) * double(weight[size_t(o * d_in + k)]);
        sum += double(bias[size_t(o)]);
      }
      peak = std::max(peak, std::abs(sum));
      const double difference = std::abs(sum - double(out[at]));
      worst = difference <= worst ? worst : difference;
    }
  }
  return worst / peak;
}

template <gpu::Precision kPrecision>
void check(double tolerance) {
  CHECK(error_of<kPrecision>(64, 304, 130, 64, 304, false, true, 0) <= tolerance);   // the norm in front
  CHECK(error_of<kPrecision>(128, 64, 40, 128, 64, true, true, 0) <= tolerance);     // two slabs, accumulating
  CHECK(error_of<kPrecision>(50, 19, 33, 57, 23, true, false, 1) <= tolerance);      // no vectors, no pairs
  CHECK(error_of<kPrecision>(9, 9, 1, 12, 10, false, true, 0) <= tolerance);
  if (kPrecision != gpu::Precision::float32) CHECK(error_of<kPrecision>(64, 64, 32, 64, 64, false, false, 0) > 1e-6);  // it does round
}

TEST_CASE("projections on the tensor cores agree with sums in float64 in float32") { check<gpu::Precision::float32>(1e-6); }
TEST_CASE("projections on the tensor cores are as close as tf32 and bf16 allow") {
  check<gpu::Precision::tf32>(1e-3);
  check<gpu::Precision::bf16>(1e-2);
}

}  // namespace
