// The scan over chunks: from what every chunk adds to a zero state to the state that every chunk truly begins with.
//
// h' = factor h + end is associative: (factor, end) of two neighbours make one of both. Groups of kGroupChunks are joined at once, then
// the groups of every signal one after the other, then the chunks of every group.
#pragma once

#include <type_traits>

#include "gpu/intrinsics.cuh"
#include "gpu/memory.h"
#include "gpu/segment.h"

namespace coil::gpu {

__device__ inline float product(float a, float b) { return a * b; }
__device__ inline float2 product(float2 a, float2 b) { return {a.x * b.x - a.y * b.y, a.x * b.y + a.y * b.x}; }
__device__ inline float joined(float factor, float h, float end) { return fmaf(factor, h, end); }
__device__ inline float2 joined(float2 factor, float2 h, float2 end) {
  return {fmaf(factor.x, h.x, fmaf(-factor.y, h.y, end.x)), fmaf(factor.x, h.y, fmaf(factor.y, h.x, end.y))};
}

// By how much a full chunk shrinks each state: 2^(a sum of dt), the sum taken per channel or head.
struct SelectiveFactor {
  using Value = float;
  const float* a;  // a[state / a_divisor]
  int a_divisor;
  const float* sums;  // sums[chunk * sum_stride + state / sum_divisor]
  int sum_divisor, sum_stride;
  __device__ float operator()(int chunk, int state) const {
    return exp2_fast(a[state / a_divisor] * sums[size_t(chunk) * size_t(sum_stride) + size_t(state / sum_divisor)]);
  }
};

// The same, where the sums are those of dt A already, in base 2.
struct DecayFactor {
  using Value = float;
  const float* sums;  // sums[chunk * sum_stride + state / sum_divisor]
  int sum_divisor, sum_stride;
  __device__ float operator()(int chunk, int state) const { return exp2_fast(sums[size_t(chunk) * size_t(sum_stride) + size_t(state / sum_divisor)]); }
};

// A constant one, z^chunk_frames.
template <class V>
struct ConstantFactor {
  using Value = V;
  const V* factors;
  __device__ V operator()(int, int state) const { return factors[state]; }
};

// carry: [chunk][states], on entry the state that each full chunk reaches from zero, on return the state that each chunk begins with.
// ends, factors: [group][states]. table: the states of all signals, rows of table_stride floats.
template <class Value>
struct JoinBuffers {
  int states;
  Value *carry, *ends, *factors;
  const float* table;
  size_t table_stride;

  __device__ Value initial(int row, int state) const {
    return reinterpret_cast<const Value*>(table + size_t(row) * table_stride)[state];
  }
};

inline constexpr int kJoinThreads = 128, kJoinAhead = 8;  // loads in flight

template <class Factor, class Value = typename Factor::Value>
__global__ void join_within_groups(Factor factor, JoinBuffers<Value> b, const Group* groups) {
  const Group group = groups[blockIdx.x];
  const int state = int(blockIdx.y) * kJoinThreads + int(threadIdx.x);
  if (state >= b.states || group.chunks < kGroupChunks) return;  // an unfinished group ends its signal: nothing follows
  Value end{}, all = factor(group.first_chunk, state);
  for (int i = 0; i < kGroupChunks; i += kJoinAhead) {
    Value ends[kJoinAhead], factors[kJoinAhead];
    for (int k = 0; k < kJoinAhead; ++k) {
      const int chunk = group.first_chunk + i + k;
      ends[k] = b.carry[size_t(chunk) * size_t(b.states) + size_t(state)];
      factors[k] = factor(chunk, state);
    }
    for (int k = 0; k < kJoinAhead; ++k) {
      if (i + k > 0) all = product(factors[k], all);
      end = joined(factors[k], end, ends[k]);
    }
  }
  const size_t at = size_t(blockIdx.x) * size_t(b.states) + size_t(state);
  b.ends[at] = end;
  b.factors[at] = all;
}

template <class Value>
__global__ void join_groups(JoinBuffers<Value> b, const Signal* signals) {
  const Signal signal = signals[blockIdx.x];
  const int state = int(blockIdx.y) * kJoinThreads + int(threadIdx.x);
  if (state >= b.states) return;
  Value h = b.initial(signal.state_in, state);
  for (int i = 0; i < signal.groups; i += kJoinAhead) {
    Value ends[kJoinAhead], factors[kJoinAhead];
    for (int k = 0; k < kJoinAhead; ++k) {
      const size_t at = size_t(signal.first_group + min(i + k, signal.groups - 1)) * size_t(b.states) + size_t(state);
      ends[k] = b.ends[at];
      factors[k] = b.factors[at];
    }
    for (int k = 0; k < kJoinAhead && i + k < signal.groups; ++k) {
      b.ends[size_t(signal.first_group + i + k) * size_t(b.states) + size_t(state)] = h;  // the state that the group begins with
      h = joined(factors[k], h, ends[k]);
    }
  }
}

template <class Factor, class Value = typename Factor::Value>
__global__ void start_chunks(Factor factor, JoinBuffers<Value> b, const Group* groups, const Chunk* chunks, int one_group) {
  const Group group = groups[blockIdx.x];
  const int state = int(blockIdx.y) * kJoinThreads + int(threadIdx.x);
  if (state >= b.states) return;
  Value h = one_group ? b.initial(chunks[group.first_chunk].state_in, state) : b.ends[size_t(blockIdx.x) * size_t(b.states) + size_t(state)];
  for (int i = 0; i < group.chunks; i += kJoinAhead) {
    Value ends[kJoinAhead], factors[kJoinAhead];
    for (int k = 0; k < kJoinAhead; ++k) {
      const int chunk = group.first_chunk + min(i + k, group.chunks - 1);
      ends[k] = b.carry[size_t(chunk) * size_t(b.states) + size_t(state)];
      factors[k] = factor(chunk, state);
    }
    for (int k = 0; k < kJoinAhead && i + k < group.chunks; ++k) {
      b.carry[size_t(group.first_chunk + i + k) * size_t(b.states) + size_t(state)] = h;
      h = joined(factors[k], h, ends[k]);
    }
  }
}

// A segment's plan on the device.
struct DevicePlan {
  const Chunk* chunks;
  const Group* groups;
  const Signal* signals;
  int chunk_count, group_count, signal_count, chunk_frames;

  Extent extent() const { return {size_t(chunk_count), size_t(signal_count), chunk_frames}; }
  size_t rows() const { return extent().rows(); }
};

template <class Factor, class Value = typename Factor::Value>
void join_chunks(const Factor& factor, const JoinBuffers<Value>& buffers, const DevicePlan& plan, cudaStream_t stream) {
  const unsigned tiles = blocks_of(size_t(buffers.states), kJoinThreads);
  const bool one_group = plan.group_count == plan.signal_count;
  if (!one_group) {
    launch(join_within_groups<Factor, Value>, dim3(unsigned(plan.group_count), tiles), kJoinThreads, 0, stream, factor, buffers, plan.groups);
    launch(join_groups<Value>, dim3(unsigned(plan.signal_count), tiles), kJoinThreads, 0, stream, buffers, plan.signals);
  }
  launch(start_chunks<Factor, Value>, dim3(unsigned(plan.group_count), tiles), kJoinThreads, 0, stream, factor, buffers, plan.groups, plan.chunks,
         int(one_group));
}

}  // namespace coil::gpu
