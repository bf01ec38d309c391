// Chooses the kernel for a projection.
#include "gpu/linear.h"

#include <algorithm>
#include <cmath>

#include "gpu/linear_kernels.cuh"
#include "ssm/model/linear_weights.h"

namespace coil::gpu {
namespace {

// The number of input steps that a matrix on the tensor cores processes at once. More inputs run as several products
// that add to the same outputs.
int steps_of(int d_in) { return d_in <= 32 ? 2 : d_in <= 64 ? 4 : 8; }

// Calls f with the precision and the steps as compile-time constants.
template <class F>
void with_shape(Precision precision, int steps, const F& f) {
  with_precision(precision, [&]<Precision kPrecision>() {
    if (steps == 2)
      f.template operator()<kPrecision, 2>();
    else if (steps == 4)
      f.template operator()<kPrecision, 4>();
    else
      f.template operator()<kPrecision, 8>();
  });
}

size_t shared_bytes_of_block() { return size_t(device_attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin)); }
unsigned multiprocessors() { return unsigned(device_attribute(cudaDevAttrMultiProcessorCount)); }

// Whether all inputs are processed in one pass over the rows.
bool in_one_pass(const Linear& linear) { return linear.d_in <= 16 * steps_of(linear.d_in); }

constexpr int kMostConvolved = 512;  // channels; then their weights need at most 10 KB of shared memory

// Divides the outputs into as few parts as possible, such that a part's weights and the rows of 8 warps fit into shared
// memory, with at least one block of outputs per part. Then uses as many warps as fit.
template <Precision kPrecision, int kSteps>
void run_project(LinearArguments l, const Convolved& convolved, cudaStream_t stream) {
  using Shape = ProjectShape<kPrecision, kSteps>;
  constexpr size_t kBlockBytes = Shape::kWeightVectors * sizeof(float4),
                   kWarpBytes = Shape::kRowVectors * sizeof(float4);
  const size_t conv_bytes = size_t(conv_weight_vectors(convolved.conv)) * sizeof(float4);
  const size_t shared_bytes = shared_bytes_of_block() - conv_bytes;
  const unsigned output_blocks = blocks_of(size_t(l.d_out), Shape::kOutputs);
  const unsigned blocks_that_fit = std::max(unsigned((shared_bytes - 8 * kWarpBytes) / kBlockBytes), 1u);
  const unsigned parts = blocks_of(output_blocks, blocks_that_fit), part_blocks = blocks_of(output_blocks, parts);
  const unsigned warps =
      std::min(unsigned((shared_bytes - part_blocks * kBlockBytes) / kWarpBytes), unsigned(kProjectWarps));
  const unsigned walkers = std::max(multiprocessors() / parts, 1u);
  const unsigned blocks = std::min(walkers, blocks_of(l.rows, size_t(Shape::kRows) * warps));
  const size_t bytes = part_blocks * kBlockBytes + conv_bytes + warps * kWarpBytes;
  check(cudaFuncSetAttribute(project<kPrecision, kSteps>, cudaFuncAttributeMaxDynamicSharedMemorySize, int(bytes)),
        "preparing a kernel");
  for (int first_input = 0; first_input < l.d_in; first_input += Shape::kInputs) {
    launch(project<kPrecision, kSteps>, parts * blocks, 32 * warps, bytes, stream, l, convolved, first_input,
           int(parts), int(part_blocks));
    l.weight = static_cast<const float4*>(l.weight) + output_blocks * Shape::kWeightVectors;
    l.accumulate = true;
    l.bias = nullptr;
  }
}

void run_few_inputs(const LinearArguments& l, cudaStream_t stream) {
  const Grid grid(l.rows, (l.d_out + 3) / 4);
  launch(project_few_inputs, dim3(blocks_of(grid.blocks.x, kRowsAtOnce), grid.blocks.y), kElementThreads, 0, stream, l,
         grid.rows_per_block);
}

void run_few_outputs(const LinearArguments& l, cudaStream_t stream) {
  launch(project_few_outputs, blocks_of(l.rows, kElementThreads / kFewOutputs), kElementThreads, 0, stream, l);
}

bool has_few_inputs(int d_in, std::optional<float> norm_eps) { return !norm_eps && d_in <= 8; }
bool has_few_outputs(int d_out, std::optional<float> norm_eps) { return !norm_eps && d_out <= kFewOutputs; }

size_t up_to_multiple(int n, int of) { return size_t((n + of - 1) / of * of); }

// A matrix and its bias, multiplied by the weights of the norm before it.
struct Matrix {
  int d_in, d_out;
  std::vector<float> weight, bias;  // bias empty: none
  std::optional<float> norm_eps;

  // Only the outputs from first_output on.
  Matrix(const ssm::LinearConfig& config, const ssm::RmsNormConfig* norm, const ssm::Checkpoint& checkpoint,
         int first_output, int outputs)
      : d_in(config.d_in), d_out(outputs) {
    const ssm::LinearWeights<float> all = ssm::linear_weights<float>(config, checkpoint);
    weight.assign(all.weight.begin() + ptrdiff_t(first_output) * d_in,
                  all.weight.begin() + ptrdiff_t(first_output + outputs) * d_in);
    if (config.bias) bias.assign(all.bias.begin() + first_output, all.bias.begin() + first_output + outputs);
    if (!norm) return;
    norm_eps = norm->eps;
    if (!norm->affine) return;
    const std::vector<float> scale = checkpoint.floats(norm->name + ".weight", {d_in});
    for (size_t i = 0; i < weight.size(); ++i) weight[i] *= scale[i % size_t(d_in)];
  }

  float value(int output, int input) const { return weight[size_t(output) * size_t(d_in) + size_t(input)]; }
};

// The same on the device. pack(value, words) arranges the weights, value(output, input), in a kernel's layout.
template <class Pack>
Linear on_device(const Matrix& matrix, Precision precision, bool scaled, const Pack& pack) {
  Linear linear;
  linear.d_in = matrix.d_in, linear.d_out = matrix.d_out, linear.precision = precision,
  linear.norm_eps = matrix.norm_eps;
  float peak = 0;
  for (const float w : matrix.weight) peak = std::max(peak, std::fabs(w));
  const int exponent =
      scaled && precision != Precision::bf16 && peak > 0 && std::isfinite(peak) ? 14 - std::ilogb(peak) : 0;
  linear.weight_scale = std::ldexp(1.0f, -exponent);
  std::vector<uint32_t> words;
  pack([&](int output, int input) { return std::ldexp(matrix.value(output, input), exponent); }, words);
  linear.weight.upload(words);
  if (!matrix.bias.empty()) {
    std::vector<float> bias = matrix.bias;
    bias.resize(up_to_multiple(matrix.d_out, 32), 0.0f);
    linear.bias = uploaded(bias);
  }
  return linear;
}

Linear on_device(const Matrix& matrix, Precision precision) {
  const int d_in = matrix.d_in, d_out = matrix.d_out;
  if (has_few_inputs(d_in, matrix.norm_eps)) {
    return on_device(matrix, precision, false, [&](const auto& value, std::vector<uint32_t>& words) {
      for (int i = 0; i < d_in; ++i)
        for (int o = 0; o < int(up_to_multiple(d_out, 4)); ++o)
          words.push_back(std::bit_cast<uint32_t>(o < d_out ? value(o, i) : 0.0f));
    });
  }
  if (has_few_outputs(d_out, matrix.norm_eps)) {
    return on_device(matrix, precision, false, [&](const auto&, std::vector<uint32_t>& words) {
      for (const float w : matrix.weight) words.push_back(std::bit_cast<uint32_t>(w));
    });
  }
  return on_device(matrix, precision, true, [&](const auto& value, std::vector<uint32_t>& words) {
    with_shape(precision, steps_of(d_in), [&]<Precision kPrecision, int kSteps>() {
      for (int first_input = 0; first_input < d_in; first_input += 16 * kSteps)
        pack_weight<kPrecision, kSteps>(first_input, d_in, d_out, value, words);
    });
  });
}

}  // namespace

Linear::Linear(const ssm::LinearConfig& config, const ssm::RmsNormConfig* norm, Precision p,
               const ssm::Checkpoint& checkpoint, int first_output)
    : Linear(on_device(Matrix(config, norm, checkpoint, first_output, config.d_out - first_output), p)) {}

namespace {

LinearArguments arguments_of(const Linear& linear, const float* in, int in_stride, float* out, int out_stride,
                             size_t rows, bool accumulate) {
  return {linear.weight.data(),
          linear.weight_scale,
          linear.bias.data(),
          linear.d_in,
          linear.d_out,
          in,
          in_stride,
          out,
          out_stride,
          rows,
          accumulate,
          linear.norm_eps.has_value(),
          linear.norm_eps.value_or(0.0f)};
}

void run_on_tensor_cores(const Linear& linear, const LinearArguments& arguments, const Convolved& convolved,
                         cudaStream_t stream) {
  with_shape(linear.precision, steps_of(linear.d_in), [&]<Precision kPrecision, int kSteps>() {
    run_project<kPrecision, kSteps>(arguments, convolved, stream);
  });
}

}  // namespace

void run_linear(const Linear& linear, const float* in, int in_stride, float* out, int out_stride, size_t rows,
                bool accumulate, cudaStream_t stream) {
  const LinearArguments arguments = arguments_of(linear, in, in_stride, out, out_stride, rows, accumulate);
  if (has_few_inputs(linear.d_in, linear.norm_eps))
    run_few_inputs(arguments, stream);
  else if (has_few_outputs(linear.d_out, linear.norm_eps))
    run_few_outputs(arguments, stream);
  else
    run_on_tensor_cores(linear, arguments, {}, stream);
}

void run_linear_and_conv(const Linear& linear, const float* in, int in_stride, float* out, int out_stride,
                         const ConvArguments& conv, const DevicePlan& plan, cudaStream_t stream) {
  const int first = int(conv.x - out);
  if (has_few_inputs(linear.d_in, linear.norm_eps) || has_few_outputs(linear.d_out, linear.norm_eps) ||
      !in_one_pass(linear) || !conv_in_quads(conv) || conv.channels > kMostConvolved || first % 4 != 0) {
    run_linear(linear, in, in_stride, out, out_stride, plan.rows(), false, stream);
    run_conv(conv, plan, stream);
    return;
  }
  run_on_tensor_cores(linear, arguments_of(linear, in, in_stride, out, out_stride, plan.rows(), false),
                      {conv, first, plan.chunks, plan.chunk_frames}, stream);
}

// ---- gated

namespace {

int model_steps_of(int d_model) { return d_model <= 32 ? 2 : 4; }

// The shared memory of a kernel block of these sizes: without its warps, and per warp.
template <Precision kPrecision, int kModelSteps>
struct GatedShared {
  using GateShape = ProjectShape<kPrecision, kModelSteps, 1>;
  using Shape = ProjectShape<kPrecision, 2 * kModelSteps, 1>;
  static constexpr size_t kWarpBytes = (GateShape::kRowVectors + Shape::kRowVectors) * sizeof(float4);
  static size_t weight_bytes(int d_model, int d_inner) {
    const size_t gate_blocks = blocks_of(size_t(d_inner), GateShape::kOutputs),
                 blocks = blocks_of(size_t(d_model), Shape::kOutputs);
    return (gate_blocks * GateShape::kWeightVectors + blocks * Shape::kWeightVectors) * sizeof(float4);
  }
};

template <Precision kPrecision, int kModelSteps>
unsigned gated_warps(int d_model, int d_inner) {
  using Shared = GatedShared<kPrecision, kModelSteps>;
  const size_t weights = Shared::weight_bytes(d_model, d_inner), all = shared_bytes_of_block();
  return weights > all ? 0 : std::min(unsigned((all - weights) / Shared::kWarpBytes), unsigned(kProjectWarps));
}

// Calls f with the precision and the steps of d_model as compile-time constants.
template <class F>
void with_gated_shape(Precision precision, int d_model, const F& f) {
  with_shape(precision, model_steps_of(d_model), [&]<Precision kPrecision, int kSteps>() {
    if constexpr (kSteps <= 4) f.template operator()<kPrecision, kSteps>();
  });
}

template <Precision kPrecision, int kModelSteps, class Shape>
Linear packed_for_gated(const Matrix& matrix) {
  return on_device(matrix, kPrecision, true, [&](const auto& value, std::vector<uint32_t>& words) {
    pack_weight<kPrecision, kModelSteps, Shape>(0, matrix.d_in, matrix.d_out, value, words);
  });
}

}  // namespace

bool GatedProjection::serves(int d_model, int d_inner, Precision precision) {
  constexpr unsigned kWarps = 4;  // fewer would not hide the latency
  if (d_model > 64 || d_inner > 32 * model_steps_of(d_model)) return false;
  unsigned warps = 0;
  with_gated_shape(precision, d_model, [&]<Precision kPrecision, int kModelSteps>() {
    warps = gated_warps<kPrecision, kModelSteps>(d_model, d_inner);
  });
  return warps >= kWarps;
}

GatedProjection::GatedProjection(const ssm::LinearConfig& in_proj, const ssm::RmsNormConfig* norm,
                                 const ssm::LinearConfig& out_proj, const ssm::RmsNormConfig& gated_norm,
                                 Precision precision, const ssm::Checkpoint& checkpoint) {
  const Matrix gate(in_proj, norm, checkpoint, 0, out_proj.d_in),
      out(out_proj, &gated_norm, checkpoint, 0, out_proj.d_out);
  with_gated_shape(precision, gate.d_in, [&]<Precision kPrecision, int kModelSteps>() {
    using Shared = GatedShared<kPrecision, kModelSteps>;
    gate_ = packed_for_gated<kPrecision, kModelSteps, typename Shared::GateShape>(gate);
    out_ = packed_for_gated<kPrecision, 2 * kModelSteps, typename Shared::Shape>(out);
  });
}

void GatedProjection::run(const float* in, const float* y, float* out, size_t rows, bool accumulate,
                          cudaStream_t stream) const {
  const LinearArguments gate = arguments_of(gate_, in, gate_.d_in, nullptr, 0, rows, false);
  const LinearArguments arguments = arguments_of(out_, y, out_.d_in, out, out_.d_out, rows, accumulate);
  with_gated_shape(gate_.precision, gate_.d_in, [&]<Precision kPrecision, int kModelSteps>() {
    using Shared = GatedShared<kPrecision, kModelSteps>;
    const unsigned warps = gated_warps<kPrecision, kModelSteps>(gate_.d_in, gate_.d_out);
    const unsigned blocks = std::min(multiprocessors(), blocks_of(rows, size_t(Shared::Shape::kRows) * warps));
    const size_t bytes = Shared::weight_bytes(gate_.d_in, gate_.d_out) + warps * Shared::kWarpBytes;
    auto* kernel = gate_and_project<kPrecision, kModelSteps>;
    check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, int(bytes)), "preparing a kernel");
    launch(kernel, blocks, 32 * warps, bytes, stream, gate, arguments);
  });
}

}  // namespace coil::gpu
