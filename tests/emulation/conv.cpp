// Both kernels of the convolution on an emulated block against sums in float64.
#include "gpu/intrinsics.cuh"

#include "gpu/conv_kernels.cuh"
#include "tests/support/worst.h"

#include <catch2/catch.hpp>

#include <cmath>
#include <random>
#include <vector>

namespace {

using namespace coil;

TEST_CASE("both kernels of the convolution agree with sums in float64") {
  const int channels = 12, x_stride = 20, y_stride = 16, chunk_frames = 48;
  for (const int taps : {1, 2, 3, 4})
    for (const bool with_bias : {false, true})
      for (const bool vectors : {false, true}) {
        INFO(taps << " taps, bias " << with_bias << ", vectors " << vectors);
        std::minstd_rand random(uint32_t(taps + 1));
        const auto floats = [&](size_t count) {
          std::vector<float> values(count);
          for (float& x : values) x = std::uniform_real_distribution<float>(-1, 1)(random);
          return values;
        };
        const std::vector<gpu::SignalPart> signals{{101, 0, 1}, {1, 2, 3}, {48, 4, 5}, {49, 6, 7}};
        const gpu::SegmentPlan plan = gpu::plan_segment(signals, chunk_frames);
        const size_t rows = plan.extent().rows(), table_stride = size_t(channels * taps);
        const std::vector<float> x = floats(rows * size_t(x_stride)), weight = floats(size_t(channels * taps)),
                                 bias = floats(size_t(channels));
        std::vector<float> table = floats(8 * table_stride), y(rows * size_t(y_stride), std::nanf(""));
        const gpu::ConvArguments conv{weight.data(), with_bias ? bias.data() : nullptr,
                                      channels,      taps,
                                      x.data(),      x_stride,
                                      y.data(),      y_stride,
                                      table.data(),  table_stride};
        REQUIRE(gpu::conv_in_vectors(conv));
        emulation::Block block(gpu::kConvThreads, 0, 3);
        for (unsigned i = 0; i < plan.chunks.size(); ++i)
          block.run(i, unsigned(plan.chunks.size()), [&] {
            (vectors ? gpu::conv_silu_vectors : gpu::conv_silu)(conv, plan.chunks.data(), chunk_frames);
          });

        double worst = 0;
        for (size_t signal = 0, row = 0; signal < signals.size(); ++signal) {
          for (size_t t = 0; t < signals[signal].frames; ++t)
            for (int c = 0; c < channels; ++c) {
              double sum = with_bias ? double(bias[size_t(c)]) : 0;
              for (int j = 0; j < taps; ++j) {
                const ptrdiff_t at = ptrdiff_t(t) - (taps - 1) + j;
                sum += double(weight[size_t(j * channels + c)]) *
                       double(at >= 0 ? x[(row + size_t(at)) * size_t(x_stride) + size_t(c)]
                                      : table[2 * signal * table_stride + size_t(c * taps + taps + at)]);
              }
              const double difference =
                  std::abs(sum / (1 + std::exp(-sum)) - double(y[(row + t) * size_t(y_stride) + size_t(c)]));
              test::take_worst(worst, difference);
            }
          row += (signals[signal].frames + size_t(chunk_frames) - 1) / size_t(chunk_frames) * size_t(chunk_frames);
        }
        CHECK(worst <= 1e-6);
      }
}

}  // namespace
