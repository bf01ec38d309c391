// Launches the two kernels of a fused Mamba-1 layer.
#include "gpu/mamba1_fused.h"

#include <algorithm>
#include <cstddef>

#include "gpu/mamba1_kernels.cuh"

namespace coil::gpu {
namespace {

using namespace mamba1;

// How many groups fit into the shared memory of a multiprocessor of the current device.
template <int kModel, class Shared>
int groups_that_fit() {
  const int left =
      device_attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin) - int(sizeof(Shared) - sizeof(typename Shared::Group));
  return std::min(left / int(sizeof(typename Shared::Group)), kGroups<kModel>);
}

template <int kModel, class Shared>
void start(void (*kernel)(Arguments), const Arguments& arguments, cudaStream_t stream) {
  const int groups = groups_that_fit<kModel, Shared>();
  const size_t bytes = sizeof(Shared) + size_t(groups - 1) * sizeof(typename Shared::Group);
  check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, int(bytes)), "preparing a kernel");
  const unsigned blocks = std::min(blocks_of(size_t(arguments.chunk_count), size_t(groups)),
                                   unsigned(device_attribute(cudaDevAttrMultiProcessorCount)));
  launch(kernel, blocks, unsigned(groups * 2 * kModel), bytes, stream, arguments);
}

// Calls f.operator()<kPrecision, kModel>() with the constants for these sizes.
template <class F>
auto with_sizes(Precision precision, int d_model, const F& f) {
  return with_precision(precision, [&]<Precision kPrecision>() {
    if (d_model == 16) return f.template operator()<kPrecision, 16>();
    if (d_model == 32) return f.template operator()<kPrecision, 32>();
    return f.template operator()<kPrecision, 64>();
  });
}

// The smaller number of the two kernels.
int groups_of(Precision precision, int d_model) {
  return with_sizes(precision, d_model, [&]<Precision kPrecision, int kModel>() {
    return std::min(groups_that_fit<kModel, ExpandShared<kPrecision, kModel>>(),
                    groups_that_fit<kModel, RecurShared<kPrecision, kModel>>());
  });
}

}  // namespace

size_t FusedMamba1::chunks_at_once() const {
  return size_t(groups_of(precision_, config_.d_model)) * size_t(device_attribute(cudaDevAttrMultiProcessorCount));
}

bool FusedMamba1::serves(const ssm::Mamba1Config& config, Precision precision) {
  const bool width = config.d_model == 16 || config.d_model == 32 || config.d_model == 64;
  return width && config.d_inner == 2 * config.d_model && config.d_state == kStates && config.dt_rank <= kRank &&
         config.d_conv <= kTaps && !config.rms_eps && groups_of(precision, config.d_model) > 0;
}

FusedMamba1::FusedMamba1(const ssm::Mamba1Config& config, const ssm::RmsNormConfig* norm, Precision precision,
                         const ssm::Checkpoint& checkpoint)
    : config_(config),
      precision_(precision),
      norm_factor_(norm ? 1.0f / float(config.d_model) : 0.0f),
      eps_(norm ? norm->eps : 1.0f) {
  weights_ = uploaded(with_sizes(precision, config.d_model, [&]<Precision kPrecision, int kModel>() {
    return packed<kPrecision, kModel>(config, norm, checkpoint);
  }));
}

size_t FusedMamba1::scratch_floats(const Extent& e) const {
  const size_t inner = size_t(config_.d_inner);
  return e.rows() * (2 * inner + kMixing) + ScanScratch::floats(e, inner * kStates, inner);
}

void FusedMamba1::run(const float* in, float* out, bool residual, const float* conv_table, const float* scan_table,
                      size_t table_stride, float* scratch, const DevicePlan& plan, cudaStream_t stream) const {
  const size_t inner = size_t(config_.d_inner), rows = plan.rows();
  float *x = scratch, *dt = x + rows * inner, *mixing = dt + rows * inner;
  const ScanScratch scan(mixing + rows * kMixing, plan.extent(), inner * kStates);
  const Arguments arguments{weights_.data(),
                            in,
                            out,
                            reinterpret_cast<float4*>(x),
                            reinterpret_cast<float4*>(dt),
                            reinterpret_cast<float4*>(mixing),
                            scan,
                            conv_table,
                            scan_table,
                            table_stride,
                            plan.chunks,
                            plan.chunk_count,
                            plan.chunk_frames,
                            config_.d_conv,
                            norm_factor_,
                            eps_,
                            residual};
  const JoinBuffers<float> join{int(inner) * kStates, scan.carry, scan_table, table_stride};
  with_sizes(precision_, config_.d_model, [&]<Precision kPrecision, int kModel>() {
    start<kModel, ExpandShared<kPrecision, kModel>>(expand<kPrecision, kModel>, arguments, stream);
    using All = Weights<kPrecision, kModel>;
    const float* a = weights_.data() + offsetof(All, a) / sizeof(float);
    join_chunks(SelectiveFactor{a, 1, scan.sums, kStates, 2 * kModel}, join, plan, stream);
    start<kModel, RecurShared<kPrecision, kModel>>(recur<kPrecision, kModel>, arguments, stream);
  });
}

}  // namespace coil::gpu
