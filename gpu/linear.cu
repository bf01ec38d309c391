// Chooses the kernel of a projection.
#include "gpu/linear.h"

#include "gpu/elements.cuh"
#include "gpu/linear_kernels.cuh"

namespace coil::gpu {
namespace {

// A thread per value; for matrices of few inputs or few outputs, which only move memory. In float32 whatever the precision.
__global__ void __launch_bounds__(kElementThreads) narrow_product(LinearArguments l, int rows_per_block) {
  size_t row;
  int column;
  if (!find_element(l.rows, l.d_out, rows_per_block, row, column)) return;
  const float *weight = reinterpret_cast<const float*>(l.weight) + size_t(column) * size_t(l.d_in), *in = l.in + row * size_t(l.in_stride);
  float sum = 0;
  if (l.d_in % 4 == 0 && l.in_stride % 4 == 0) {
    for (int k = 0; k < l.d_in; k += 4) {
      const float4 x = *reinterpret_cast<const float4*>(in + k), w = *reinterpret_cast<const float4*>(weight + k);
      sum = fmaf(w.x, x.x, fmaf(w.y, x.y, fmaf(w.z, x.z, fmaf(w.w, x.w, sum))));
    }
  } else {
    for (int k = 0; k < l.d_in; ++k) sum = fmaf(weight[k], in[k], sum);
  }
  if (l.bias) sum += l.bias[column];
  float& y = l.out[row * size_t(l.out_stride) + size_t(column)];
  y = l.accumulate ? y + sum : sum;
}

bool is_narrow(const Linear& linear) { return !linear.norm_eps && (linear.d_in <= 8 || linear.d_out <= 8); }

template <Precision kPrecision>
void run_tiles(const LinearArguments& arguments, cudaStream_t stream) {
  const unsigned output_blocks = blocks_of(size_t(arguments.d_out), kLinearOutputs);
  launch(tiled_product<kPrecision>, output_blocks * blocks_of(arguments.rows, kLinearRows), 32 * kLinearWarps,
         PackedRight<kPrecision>::kSlab * sizeof(uint32_t), stream, arguments, int(output_blocks));
}

}  // namespace

Linear::Linear(const ssm::LinearConfig& config, const ssm::RmsNormConfig* norm, Precision p, const ssm::Checkpoint& checkpoint)
    : d_in(config.d_in), d_out(config.d_out), precision(p) {
  const std::vector<float> matrix = checkpoint.floats(config.name + ".weight", {d_out, d_in});
  if (config.bias) bias = uploaded(checkpoint.floats(config.name + ".bias", {d_out}));
  std::vector<float> scale(size_t(d_in), 1.0f);
  if (norm) {
    norm_eps = norm->eps;
    if (norm->affine) scale = checkpoint.floats(norm->name + ".weight", {d_in});
  }
  const auto value = [&](int output, int input) { return matrix[size_t(output) * size_t(d_in) + size_t(input)] * scale[size_t(input)]; };
  if (is_narrow(*this)) {
    const auto* words = reinterpret_cast<const uint32_t*>(matrix.data());
    weight.upload({words, matrix.size()});
  } else if (precision == Precision::float32) {
    weight.upload(packed_weight<Precision::float32>(d_in, d_out, value));
  } else if (precision == Precision::tf32) {
    weight.upload(packed_weight<Precision::tf32>(d_in, d_out, value));
  } else {
    weight.upload(packed_weight<Precision::bf16>(d_in, d_out, value));
  }
}

void run_linear(const Linear& linear, const float* in, int in_stride, float* out, int out_stride, size_t rows, bool accumulate, cudaStream_t stream) {
  const LinearArguments arguments{linear.weight.data(), linear.bias.data(), linear.d_in, linear.d_out, in, in_stride, out, out_stride, rows, accumulate,
                                  linear.norm_eps.has_value(), linear.norm_eps.value_or(0.0f)};
  if (is_narrow(linear)) {
    const Grid grid(rows, linear.d_out);
    launch(narrow_product, grid.blocks, kElementThreads, 0, stream, arguments, grid.rows_per_block);
  } else if (linear.precision == Precision::float32) {
    run_tiles<Precision::float32>(arguments, stream);
  } else if (linear.precision == Precision::tf32) {
    run_tiles<Precision::tf32>(arguments, stream);
  } else {
    run_tiles<Precision::bf16>(arguments, stream);
  }
}

}  // namespace coil::gpu
