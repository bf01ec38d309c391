// Chooses the kernel of a projection.
#include "gpu/linear.h"

#include <algorithm>
#include <cmath>

#include "gpu/linear_kernels.cuh"

namespace coil::gpu {
namespace {

// The inputs that a matrix on the tensor cores takes at once; more run as several products, into the same outputs.
int steps_of(int d_in) { return d_in <= 32 ? 2 : d_in <= 64 ? 4 : 8; }

// Calls f with the precision and the steps as constants.
template <class F>
void with_shape(Precision precision, int steps, const F& f) {
  const auto with_steps = [&]<Precision kPrecision>() {
    if (steps == 2) f.template operator()<kPrecision, 2>();
    else if (steps == 4) f.template operator()<kPrecision, 4>();
    else f.template operator()<kPrecision, 8>();
  };
  switch (precision) {
    case Precision::float32: return with_steps.template operator()<Precision::float32>();
    case Precision::tf32: return with_steps.template operator()<Precision::tf32>();
    case Precision::bf16: return with_steps.template operator()<Precision::bf16>();
  }
}

// Whether all inputs run in one pass over the rows.
bool in_one_pass(const Linear& linear) { return linear.d_in <= 16 * steps_of(linear.d_in); }

constexpr int kMostConvolved = 1024;  // channels, so that their weights take 20 KB of shared memory at most

// As few parts of the outputs as leave room for the rows of 8 warps beside their weights; then as many warps as there is room for.
template <Precision kPrecision, int kSteps>
void run_project(LinearArguments l, const Convolved& convolved, cudaStream_t stream) {
  using Shape = ProjectShape<kPrecision, kSteps>;
  constexpr size_t kBlockBytes = Shape::kWeightVectors * sizeof(float4), kWarpBytes = Shape::kRowVectors * sizeof(float4);
  const size_t conv_bytes = size_t(conv_weight_vectors(convolved.conv)) * sizeof(float4);
  const size_t shared_bytes = size_t(device_attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin)) - conv_bytes;
  const unsigned output_blocks = blocks_of(size_t(l.d_out), Shape::kOutputs), blocks_that_fit = unsigned((shared_bytes - 8 * kWarpBytes) / kBlockBytes);
  const unsigned parts = blocks_of(output_blocks, blocks_that_fit), part_blocks = blocks_of(output_blocks, parts);
  const unsigned warps = std::min(unsigned((shared_bytes - part_blocks * kBlockBytes) / kWarpBytes), unsigned(kProjectWarps));
  const unsigned walkers = std::max(unsigned(device_attribute(cudaDevAttrMultiProcessorCount)) / parts, 1u);
  const unsigned blocks = std::min(walkers, blocks_of(l.rows, size_t(Shape::kRows) * warps));
  const size_t bytes = part_blocks * kBlockBytes + conv_bytes + warps * kWarpBytes;
  check(cudaFuncSetAttribute(project<kPrecision, kSteps>, cudaFuncAttributeMaxDynamicSharedMemorySize, int(bytes)), "preparing a kernel");
  for (int first_input = 0; first_input < l.d_in; first_input += Shape::kInputs) {
    launch(project<kPrecision, kSteps>, parts * blocks, 32 * warps, bytes, stream, l, convolved, first_input, int(parts), int(part_blocks));
    l.weight = static_cast<const float4*>(l.weight) + output_blocks * Shape::kWeightVectors;
    l.accumulate = true;
    l.bias = nullptr;
  }
}

void run_few_inputs(const LinearArguments& l, cudaStream_t stream) {
  constexpr size_t kSets = 8;  // of rows, that a thread runs
  const Grid grid(l.rows, (l.d_out + 3) / 4);
  launch(project_few_inputs, dim3(blocks_of(grid.blocks.x, kSets), grid.blocks.y), kElementThreads, 0, stream, l, grid.rows_per_block);
}

void run_few_outputs(const LinearArguments& l, cudaStream_t stream) {
  launch(project_few_outputs, blocks_of(l.rows, kElementThreads / kFewOutputs), kElementThreads, 0, stream, l);
}

bool has_few_inputs(const Linear& linear) { return !linear.norm_eps && linear.d_in <= 8; }
bool has_few_outputs(const Linear& linear) { return !linear.norm_eps && linear.d_out <= kFewOutputs; }

size_t up_to_multiple(int n, int of) { return size_t((n + of - 1) / of * of); }

}  // namespace

Linear::Linear(const ssm::LinearConfig& config, const ssm::RmsNormConfig* norm, Precision p, const ssm::Checkpoint& checkpoint)
    : d_in(config.d_in), d_out(config.d_out), precision(p) {
  const std::vector<float> matrix = checkpoint.floats(config.name + ".weight", {d_out, d_in});
  if (config.bias) {
    std::vector<float> values = checkpoint.floats(config.name + ".bias", {d_out});
    values.resize(up_to_multiple(d_out, 32), 0.0f);
    bias = uploaded(values);
  }
  std::vector<float> scale(size_t(d_in), 1.0f);
  if (norm) {
    norm_eps = norm->eps;
    if (norm->affine) scale = checkpoint.floats(norm->name + ".weight", {d_in});
  }
  const auto value = [&](int output, int input) { return matrix[size_t(output) * size_t(d_in) + size_t(input)] * scale[size_t(input)]; };
  std::vector<uint32_t> words;
  if (has_few_inputs(*this)) {
    for (int input = 0; input < d_in; ++input)
      for (int output = 0; output < int(up_to_multiple(d_out, 4)); ++output) words.push_back(std::bit_cast<uint32_t>(output < d_out ? value(output, input) : 0.0f));
  } else if (has_few_outputs(*this)) {
    for (const float w : matrix) words.push_back(std::bit_cast<uint32_t>(w));
  } else {
    float peak = 0;
    for (int output = 0; output < d_out; ++output)
      for (int input = 0; input < d_in; ++input) peak = std::max(peak, std::fabs(value(output, input)));
    int exponent = 0;
    if (precision != Precision::bf16 && peak > 0 && std::isfinite(peak)) exponent = 14 - std::ilogb(peak);
    weight_scale = std::ldexp(1.0f, -exponent);
    with_shape(precision, steps_of(d_in), [&]<Precision kPrecision, int kSteps>() {
      for (int first_input = 0; first_input < d_in; first_input += 16 * kSteps)
        pack_weight<kPrecision, kSteps>(first_input, d_in, d_out, [&](int o, int i) { return std::ldexp(value(o, i), exponent); }, words);
    });
  }
  weight.upload(words);
}

namespace {

LinearArguments arguments_of(const Linear& linear, const float* in, int in_stride, float* out, int out_stride, size_t rows, bool accumulate) {
  return {linear.weight.data(), linear.weight_scale, linear.bias.data(), linear.d_in, linear.d_out, in, in_stride, out, out_stride,
          rows, accumulate, linear.norm_eps.has_value(), linear.norm_eps.value_or(0.0f)};
}

void run_on_tensor_cores(const Linear& linear, const LinearArguments& arguments, const Convolved& convolved, cudaStream_t stream) {
  with_shape(linear.precision, steps_of(linear.d_in),
             [&]<Precision kPrecision, int kSteps>() { run_project<kPrecision, kSteps>(arguments, convolved, stream); });
}

}  // namespace

void run_linear(const Linear& linear, const float* in, int in_stride, float* out, int out_stride, size_t rows, bool accumulate, cudaStream_t stream) {
  const LinearArguments arguments = arguments_of(linear, in, in_stride, out, out_stride, rows, accumulate);
  if (has_few_inputs(linear)) run_few_inputs(arguments, stream);
  else if (has_few_outputs(linear)) run_few_outputs(arguments, stream);
  else run_on_tensor_cores(linear, arguments, {}, stream);
}

void run_linear_and_conv(const Linear& linear, const float* in, int in_stride, float* out, int out_stride, const Conv& conv, const DevicePlan& plan,
                         cudaStream_t stream) {
  const int first = int(conv.x - out);
  if (has_few_inputs(linear) || has_few_outputs(linear) || !in_one_pass(linear) || !conv_in_quads(conv) ||
      conv.channels > kMostConvolved || first % 4 != 0) {
    run_linear(linear, in, in_stride, out, out_stride, plan.rows(), false, stream);
    run_conv(conv, plan, stream);
    return;
  }
  run_on_tensor_cores(linear, arguments_of(linear, in, in_stride, out, out_stride, plan.rows(), false), {conv, first, plan.chunks, plan.chunk_frames}, stream);
}

}  // namespace coil::gpu
