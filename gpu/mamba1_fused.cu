// Starts the two kernels of a fused Mamba-1 layer.
#include "gpu/mamba1_fused.h"

#include <algorithm>
#include <cstddef>

#include "gpu/mamba1_kernels.cuh"

namespace coil::gpu {
namespace {

using namespace mamba1;

// How many groups fit the shared memory of the current device's multiprocessor.
template <int kModel, class Shared>
int groups_that_fit() {
  const int left = attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin) - int(sizeof(Shared) - sizeof(typename Shared::Group));
  return std::min(left / int(sizeof(typename Shared::Group)), kGroups<kModel>);
}

template <int kModel, class Shared>
void start(void (*kernel)(Arguments), const Arguments& arguments, cudaStream_t stream) {
  const int groups = groups_that_fit<kModel, Shared>();
  const size_t bytes = sizeof(Shared) + size_t(groups - 1) * sizeof(typename Shared::Group);
  check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, int(bytes)), "preparing a kernel");
  const unsigned blocks = std::min(blocks_of(size_t(arguments.chunk_count), size_t(groups)), unsigned(attribute(cudaDevAttrMultiProcessorCount)));
  launch(kernel, blocks, unsigned(groups * 2 * kModel), bytes, stream, arguments);
}

template <Precision kPrecision, int kModel>
void run_as(const Arguments& arguments, const DeviceFloats& weights, const JoinBuffers<float>& join, const DevicePlan& plan, cudaStream_t stream) {
  start<kModel, ExpandShared<kModel>>(expand<kPrecision, kModel>, arguments, stream);
  const SelectiveFactor factor{weights.data() + offsetof(Weights<kModel>, a) / sizeof(float), 1, arguments.scan.sums, kStates, 2 * kModel};
  join_chunks(factor, join, plan, stream);
  start<kModel, RecurShared<kModel>>(recur<kPrecision, kModel>, arguments, stream);
}

template <Precision kPrecision>
void run_in(const Arguments& arguments, int d_model, const DeviceFloats& weights, const JoinBuffers<float>& join, const DevicePlan& plan,
            cudaStream_t stream) {
  if (d_model == 16) run_as<kPrecision, 16>(arguments, weights, join, plan, stream);
  else if (d_model == 32) run_as<kPrecision, 32>(arguments, weights, join, plan, stream);
  else run_as<kPrecision, 64>(arguments, weights, join, plan, stream);
}

// Of the kernel that fits fewer.
int groups_of(int d_model) {
  if (d_model == 16) return std::min(groups_that_fit<16, ExpandShared<16>>(), groups_that_fit<16, RecurShared<16>>());
  if (d_model == 32) return std::min(groups_that_fit<32, ExpandShared<32>>(), groups_that_fit<32, RecurShared<32>>());
  if (d_model == 64) return std::min(groups_that_fit<64, ExpandShared<64>>(), groups_that_fit<64, RecurShared<64>>());
  return 0;
}

}  // namespace

size_t FusedMamba1::chunks_at_once() const { return size_t(groups_of(config_.d_model)) * size_t(attribute(cudaDevAttrMultiProcessorCount)); }

bool FusedMamba1::serves(const ssm::Mamba1Config& config) {
  return config.d_inner == 2 * config.d_model && config.d_state == kStates && config.dt_rank <= kRank && config.d_conv <= kTaps && !config.rms_eps &&
         groups_of(config.d_model) > 0;
}

FusedMamba1::FusedMamba1(const ssm::Mamba1Config& config, const ssm::RmsNormConfig* norm, Precision precision, const ssm::Checkpoint& checkpoint)
    : config_(config), precision_(precision), has_norm_(norm != nullptr), eps_(norm ? norm->eps : 0.0f) {
  weights_ = uploaded(config.d_model == 16   ? packed<16>(config, norm, checkpoint)
                      : config.d_model == 32 ? packed<32>(config, norm, checkpoint)
                                             : packed<64>(config, norm, checkpoint));
}

size_t FusedMamba1::scratch_floats(const Extent& e) const {
  const size_t inner = size_t(config_.d_inner);
  return e.rows() * (2 * inner + kMixing) + ScanScratch::floats(e, inner * kStates, inner);
}

void FusedMamba1::run(const float* in, float* out, bool residual, const float* conv_table, const float* scan_table, size_t table_stride,
                      float* scratch, const DevicePlan& plan, cudaStream_t stream) const {
  const size_t inner = size_t(config_.d_inner), rows = plan.rows();
  float *x = scratch, *dt = x + rows * inner, *mixing = dt + rows * inner;
  const ScanScratch scan(mixing + rows * kMixing, plan.extent(), inner * kStates);
  const Arguments arguments{weights_.data(), in, out, reinterpret_cast<float4*>(x), reinterpret_cast<float4*>(dt), reinterpret_cast<float4*>(mixing),
                            scan, conv_table, scan_table, table_stride, plan.chunks, plan.chunk_count, plan.chunk_frames, config_.d_conv, eps_,
                            has_norm_, residual};
  const JoinBuffers<float> join{int(inner) * kStates, scan.carry, scan.ends, scan.factors, scan_table, table_stride};
  if (precision_ == Precision::float32) run_in<Precision::float32>(arguments, config_.d_model, weights_, join, plan, stream);
  else if (precision_ == Precision::tf32) run_in<Precision::tf32>(arguments, config_.d_model, weights_, join, plan, stream);
  else run_in<Precision::bf16>(arguments, config_.d_model, weights_, join, plan, stream);
}

}  // namespace coil::gpu
