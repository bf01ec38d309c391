// Joins the scan over chunks: from each chunk's final state when started from zero, computes the true state at the
// start of each chunk.
//
// h' = factor h + end is associative: (factor, end) of two neighbouring chunks combine to one pair. A block handles a
// few states of one signal and divides its chunks into runs, with one thread per state and run. A thread first joins
// its run; then the runs are joined in shared memory; then the thread goes through its run again from its true starting
// state.
#pragma once

#include <algorithm>

#include "gpu/intrinsics.cuh"
#include "gpu/memory.h"
#include "gpu/segment.h"

namespace coil::gpu {

__device__ inline float product(float a, float b) { return a * b; }
__device__ inline float2 product(float2 a, float2 b) { return {a.x * b.x - a.y * b.y, a.x * b.y + a.y * b.x}; }
__device__ inline float one(float) { return 1.0f; }
__device__ inline float2 one(float2) { return {1.0f, 0.0f}; }
__device__ inline float joined(float factor, float h, float end) { return fmaf(factor, h, end); }
__device__ inline float2 joined(float2 factor, float2 h, float2 end) {
  return {fmaf(factor.x, h.x, fmaf(-factor.y, h.y, end.x)), fmaf(factor.x, h.y, fmaf(factor.y, h.x, end.y))};
}

// The factor by which a full chunk scales each state: 2^(a sum of dt), where the sum is per channel or head.
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

// The same, if the sums are already those of dt A, in base 2.
struct DecayFactor {
  using Value = float;
  const float* sums;  // sums[chunk * sum_stride + state / sum_divisor]
  int sum_divisor, sum_stride;
  __device__ float operator()(int chunk, int state) const {
    return exp2_fast(sums[size_t(chunk) * size_t(sum_stride) + size_t(state / sum_divisor)]);
  }
};

// A constant factor, z^chunk_frames.
template <class V>
struct ConstantFactor {
  using Value = V;
  const V* factors;
  __device__ V operator()(int, int state) const { return factors[state]; }
};

// carry: [chunk][states]; in, the state that each full chunk reaches from zero; out, the state at the start of each
// chunk. table: the states of all signals, rows of table_stride floats.
template <class Value>
struct JoinBuffers {
  int states;
  Value* carry;
  const float* table;
  size_t table_stride;

  __device__ Value initial(int row, int state) const {
    return reinterpret_cast<const Value*>(table + size_t(row) * table_stride)[state];
  }
};

inline constexpr int kJoinAhead =
    8;  // chunks whose loads are in flight; a run has at least this many chunks, if there are enough
inline constexpr int kJoinStates = 8;  // minimum per block: one memory sector
inline constexpr int kJoinThreads = 1024;

// Into how many runs the longest signal is divided; a power of two.
inline int join_runs(int longest) {
  int runs = 1;
  while (runs < kJoinThreads / kJoinStates && runs * kJoinAhead < longest) runs *= 2;
  return runs;
}

// Block `signal * tiles + tile` of `width * runs` threads: states [width * tile, width * (tile + 1)). Shared memory:
// two Values per thread.
template <class Factor, class Value = typename Factor::Value>
__global__ void __launch_bounds__(kJoinThreads)
    join_signals(Factor factor, JoinBuffers<Value> b, const Signal* signals, int tiles, int width) {
  const Signal signal = signals[blockIdx.x / unsigned(tiles)];
  const int run = int(threadIdx.x) / width, runs = int(blockDim.x) / width;
  const int wanted = int(blockIdx.x % unsigned(tiles)) * width + int(threadIdx.x) % width,
            state = min(wanted, b.states - 1);
  const int chunks = wanted < b.states ? signal.chunks : 0;  // threads without a state only take part in the
                                                             // synchronisation
  const int length = (chunks + runs - 1) / runs, begin = min(run * length, chunks), end = min(begin + length, chunks);
  Value* carry = b.carry + size_t(signal.first_chunk) * size_t(b.states) + size_t(state);
  // The contribution of the signal's last chunk is not needed, because no chunk follows it.
  Value factors[kJoinAhead], ends[kJoinAhead];
  const auto load = [&](int first) {
#pragma unroll
    for (int k = 0; k < kJoinAhead; ++k) {
      const int chunk = min(first + k, end - 1);
      ends[k] = carry[size_t(chunk) * size_t(b.states)];
      factors[k] = factor(signal.first_chunk + chunk, state);
    }
  };
  // Calls f(chunk, its factor, its end) for the chunks of the run; the first ones are already loaded.
  const auto each_chunk = [&](const auto& f) {
    for (int first = begin; first < end; first += kJoinAhead) {
      if (first > begin) load(first);
#pragma unroll
      for (int k = 0; k < kJoinAhead; ++k)
        if (first + k < end) f(first + k, factors[k], ends[k]);
    }
  };

  Value h = b.initial(signal.state_in, state);
  if (begin < end) load(begin);
  if (runs > 1) {
    Value all = one(Value()), sum{};
    each_chunk([&](int, Value f, Value e) { all = product(f, all), sum = joined(f, sum, e); });
    if (end - begin > kJoinAhead) load(begin);
    Value *run_factors = reinterpret_cast<Value*>(dynamic_shared()), *run_sums = run_factors + blockDim.x;
    for (int back = 1; back < runs; back *= 2) {
      run_factors[threadIdx.x] = all, run_sums[threadIdx.x] = sum;
      __syncthreads();
      if (run >= back) {
        const int before = int(threadIdx.x) - back * width;
        sum = joined(all, run_sums[before], sum);
        all = product(all, run_factors[before]);
      }
      __syncthreads();
    }
    run_factors[threadIdx.x] = all, run_sums[threadIdx.x] = sum;
    __syncthreads();
    if (run > 0) h = joined(run_factors[int(threadIdx.x) - width], h, run_sums[int(threadIdx.x) - width]);
  }
  each_chunk([&](int chunk, Value f, Value e) {
    carry[size_t(chunk) * size_t(b.states)] = h;
    h = joined(f, h, e);
  });
}

// A segment's plan on the device.
struct DevicePlan {
  const Chunk* chunks;
  const Signal* signals;
  int chunk_count, signal_count, longest, chunk_frames;  // longest: the longest signal, in chunks

  Extent extent() const { return {size_t(chunk_count), chunk_frames}; }
  size_t rows() const { return extent().rows(); }
};

template <class Factor, class Value = typename Factor::Value>
void join_chunks(const Factor& factor, const JoinBuffers<Value>& buffers, const DevicePlan& plan, cudaStream_t stream) {
  const int runs = join_runs(plan.longest), width = std::max(kJoinStates, 256 / runs);
  const unsigned tiles = blocks_of(size_t(buffers.states), size_t(width)), threads = unsigned(width * runs);
  launch(join_signals<Factor, Value>, unsigned(plan.signal_count) * tiles, threads, 2 * threads * sizeof(Value), stream,
         factor, buffers, plan.signals, int(tiles), width);
}

}  // namespace coil::gpu
