// The selective scan on tensors whose time axis is innermost; SSD uses the kernels of the networks.
//
// A warp processes 32 channels of a chunk in tiles of 16 frames. A tile is transposed through shared memory; then one
// thread per channel scans it with 16 states in registers.
#include "gpu/operators.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "gpu/math.cuh"
#include "gpu/pointwise.h"
#include "gpu/scan.h"
#include "gpu/ssd.h"
#include "gpu/uniform_plan.h"

namespace coil::gpu {
namespace {

constexpr int kLanes = 32, kFrames = 16, kStates = 16, kWarps = 4;
constexpr int kBlocks = 5;  // a multiprocessor
constexpr int kSignalRow = kFrames + 4,
              kMixingRow = kStates + 4;  // floats; vectors of neighbouring rows are in different banks

struct Arguments {
  SelectiveScanTensors tensors;
  SelectiveScanShape shape;
  ScanScratch scratch;
  const Chunk* chunks;
  int chunk_count, chunk_frames, chunks_per_entry;
};

struct WarpTile {
  float u[kLanes][kSignalRow], dt[kLanes][kSignalRow], B[kFrames][kMixingRow], C[kFrames][kMixingRow];
};

// Calls f(channel of the tile, frame of the tile) for vectors of 4 frames, or single frames. Neighbouring lanes get
// neighbouring frames.
template <bool kVectors, class F>
__device__ void each_value(int lane, const F& f) {
#pragma unroll
  for (int i = 0; i < (kVectors ? 4 : 16); ++i) {
    if constexpr (kVectors)
      f(8 * i + lane / 4, lane % 4 * 4);
    else
      f(2 * i + lane / 16, lane % 16);
  }
}

// Loads frames [t0, t0 + valid) of rows that are `frames` long, zero elsewhere, and applies `change(channel, value)`.
template <bool kVectors, class Change>
__device__ void load_signals(const float* from, size_t frames, int channels, int valid, float (*to)[kSignalRow],
                             int lane, const Change& change) {
  each_value<kVectors>(lane, [&](int c, int t) {
    const float* at = from + size_t(c) * frames + size_t(t);
    if constexpr (kVectors) {
      float4 v = c < channels && t < valid ? *reinterpret_cast<const float4*>(at) : float4{0, 0, 0, 0};
      if (t < valid) v = {change(c, v.x), change(c, v.y), change(c, v.z), change(c, v.w)};
      *reinterpret_cast<float4*>(&to[c][t]) = v;
    } else {
      to[c][t] = c < channels && t < valid ? change(c, *at) : 0.0f;
    }
  });
}

// Loads 16 states of B or C: each lane gets one frame and every other vector of 4 states.
__device__ void load_mixing(const float* from, size_t frames, int states, int valid, float (*to)[kMixingRow],
                            int lane) {
  const int t = lane % kFrames;
#pragma unroll
  for (int n = lane / kFrames * 4; n < kStates; n += 8) {
    float v[4];
#pragma unroll
    for (int i = 0; i < 4; ++i) v[i] = t < valid && n + i < states ? from[size_t(n + i) * frames + size_t(t)] : 0.0f;
    *reinterpret_cast<float4*>(&to[t][n]) = float4{v[0], v[1], v[2], v[3]};
  }
}

// kTrue: from the chunk's true state, with outputs; else from zero, computing the chunk's end state and its sum of dt.
//
// Stages, for every 16 states of a channel: load them; then for every tile of frames
//   1. load u, dt, B and C into shared memory
//   2. step frame by frame; y replaces u
//   3. add y of the states before, gate, and write it (kTrue)
// and store the end state.
template <bool kTrue, bool kVectors, bool kConstantB, bool kConstantC>
__global__ void __launch_bounds__(kWarps * 32, kBlocks) scan_rows(Arguments p) {
  const SelectiveScanShape& shape = p.shape;
  const SelectiveScanTensors& x = p.tensors;
  const int lane = int(threadIdx.x) % 32, channel_blocks = (shape.d_inner + kLanes - 1) / kLanes;
  const size_t warp = size_t(blockIdx.x) * kWarps + threadIdx.x / 32;
  const size_t index = warp / size_t(channel_blocks);
  const int first_channel = int(warp % size_t(channel_blocks)) * kLanes,
            channels = min(shape.d_inner - first_channel, kLanes);
  if (index >= size_t(p.chunk_count)) return;
  const Chunk chunk = p.chunks[index];
  if (!kTrue && chunk.last) return;
  WarpTile& tile = reinterpret_cast<WarpTile*>(dynamic_shared())[threadIdx.x / 32];

  const int entry = chunk.state_in,
            c = first_channel + min(lane, channels - 1);  // lanes without a channel repeat the last one
  const size_t first_frame = (index % size_t(p.chunks_per_entry)) * size_t(p.chunk_frames);
  const size_t rows = (size_t(entry) * size_t(shape.d_inner) + size_t(first_channel)) * shape.frames + first_frame;
  // All channels of a warp are in one group; otherwise each lane reads its own (groups that are no multiple of 32
  // channels run one channel at a time).
  const int group = first_channel / (shape.d_inner / shape.groups);
  const size_t mixing =
      (size_t(entry) * size_t(shape.groups) + size_t(group)) * size_t(shape.d_state) * shape.frames + first_frame;
  const bool alive = lane < channels;
  const float D = x.D ? x.D[c] : 0.0f;
  float* carry = p.scratch.carry + (index * size_t(shape.d_inner) + size_t(c)) * size_t(shape.d_state);
  float* after = x.state + (size_t(entry) * size_t(shape.d_inner) + size_t(c)) * size_t(shape.d_state);

  for (int n0 = 0; n0 < shape.d_state; n0 += kStates) {
    const int states = min(shape.d_state - n0, kStates);
    const bool last_states = n0 + kStates >= shape.d_state;
    float h[kStates], a[kStates], constant_B[kConstantB ? kStates : 1], constant_C[kConstantC ? kStates : 1],
        elapsed = 0;
#pragma unroll
    for (int n = 0; n < kStates; ++n) {
      const size_t at = size_t(c) * size_t(shape.d_state) + size_t(n0 + n);
      h[n] = kTrue && n < states ? carry[n0 + n] : 0.0f;
      a[n] = n < states ? x.A[at] * kLog2E : 0.0f;
      if constexpr (kConstantB) constant_B[n] = n < states ? x.B[at] : 0.0f;
      if constexpr (kConstantC) constant_C[n] = n < states ? x.C[at] : 0.0f;
    }

    for (int t0 = 0; t0 < chunk.frames; t0 += kFrames) {
      const int valid = min(chunk.frames - t0, kFrames);
      __syncwarp();
      load_signals<kVectors>(x.u + rows + size_t(t0), shape.frames, channels, valid, tile.u, lane,
                             [](int, float v) { return v; });
      load_signals<kVectors>(x.delta + rows + size_t(t0), shape.frames, channels, valid, tile.dt, lane,
                             [&](int row, float v) {
                               if (x.delta_bias) v += x.delta_bias[first_channel + min(row, channels - 1)];
                               return shape.delta_softplus ? softplus(v) : v;
                             });
      if constexpr (!kConstantB)
        load_mixing(x.B + mixing + size_t(n0) * shape.frames + size_t(t0), shape.frames, states, valid, tile.B, lane);
      if constexpr (!kConstantC && kTrue)
        load_mixing(x.C + mixing + size_t(n0) * shape.frames + size_t(t0), shape.frames, states, valid, tile.C, lane);
      __syncwarp();

#pragma unroll 1
      for (int quad = 0; quad < valid; quad += 4) {
        float us[4], dts[4], ys[4];
        *reinterpret_cast<float4*>(us) = *reinterpret_cast<const float4*>(&tile.u[lane][quad]);
        *reinterpret_cast<float4*>(dts) = *reinterpret_cast<const float4*>(&tile.dt[lane][quad]);
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          const float dt = dts[i], dtu = dt * us[i];
          float sums[2] = {};
          elapsed += dt;
#pragma unroll
          for (int n = 0; n < kStates; n += 4) {
            float B[4], C[4];
            if constexpr (!kConstantB)
              *reinterpret_cast<float4*>(B) = *reinterpret_cast<const float4*>(&tile.B[quad + i][n]);
            if constexpr (!kConstantC && kTrue)
              *reinterpret_cast<float4*>(C) = *reinterpret_cast<const float4*>(&tile.C[quad + i][n]);
#pragma unroll
            for (int k = 0; k < 4; ++k) {
              h[n + k] = fmaf(exp2_fast(dt * a[n + k]), h[n + k],
                              dtu * (kConstantB ? constant_B[kConstantB ? n + k : 0] : B[k]));
              if constexpr (kTrue)
                sums[k % 2] = fmaf(kConstantC ? constant_C[kConstantC ? n + k : 0] : C[k], h[n + k], sums[k % 2]);
            }
          }
          ys[i] = (n0 == 0 ? D * us[i] : 0.0f) + (sums[0] + sums[1]);
        }
        if constexpr (kTrue) *reinterpret_cast<float4*>(&tile.u[lane][quad]) = *reinterpret_cast<const float4*>(ys);
      }
      if constexpr (kTrue) {
        __syncwarp();
        each_value<kVectors>(lane, [&](int row, int t) {
          if (row >= channels || t >= valid) return;
          const size_t at = rows + size_t(row) * shape.frames + size_t(t0 + t);
          for (int i = 0; i < (kVectors ? 4 : 1); ++i) {
            float& y = tile.u[row][t + i];
            if (n0 > 0) y += x.y[at + size_t(i)];
            if (x.z && last_states) y *= silu(x.z[at + size_t(i)]);
          }
          if constexpr (kVectors)
            *reinterpret_cast<float4*>(x.y + at) = *reinterpret_cast<const float4*>(&tile.u[row][t]);
          else
            x.y[at] = tile.u[row][t];
        });
      }
    }
    if (!alive) continue;
#pragma unroll
    for (int n = 0; n < kStates; ++n) {
      if (n >= states) continue;
      if (!kTrue)
        carry[n0 + n] = h[n];
      else if (chunk.last)
        after[n0 + n] = h[n];
    }
    if (!kTrue && n0 == 0) p.scratch.sums[index * size_t(shape.d_inner) + size_t(c)] = elapsed;
  }
}

__global__ void scale_by_log2e(const float* A, float* a, int n) {
  const int i = int(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < n) a[i] = A[i] * kLog2E;
}

std::vector<float> gathered(size_t batch, size_t floats, const auto& entry) {
  std::vector<float> all;
  for (size_t i = 0; i < batch; ++i) all.insert(all.end(), entry(i), entry(i) + floats);
  return all;
}

}  // namespace

struct DeviceSelectiveScan::Impl {
  SelectiveScanShape shape;
  UniformPlan plan;
  DeviceFloats scratch, a;

  Impl(const SelectiveScanShape& s, int chunk_frames)
      : shape(s), plan(size_t(s.batch), s.frames, (chunk_frames + kFrames - 1) / kFrames * kFrames) {
    const size_t states = size_t(s.d_inner) * size_t(s.d_state);
    scratch.require(ScanScratch::floats(plan.plan.extent(), states, size_t(s.d_inner)));
    a.require(states);
  }

  template <bool kVectors, bool kConstantB, bool kConstantC>
  void run(const SelectiveScanTensors& tensors, cudaStream_t stream) const {
    const int states = shape.d_inner * shape.d_state;
    const DevicePlan on_device = plan.on_device();
    const ScanScratch parts(scratch.data(), plan.plan.extent(), size_t(states));
    const Arguments arguments{tensors,
                              shape,
                              parts,
                              on_device.chunks,
                              on_device.chunk_count,
                              on_device.chunk_frames,
                              on_device.chunk_count / shape.batch};
    const unsigned blocks = blocks_of(size_t(on_device.chunk_count) * blocks_of(size_t(shape.d_inner), kLanes), kWarps);
    constexpr size_t kBytes = kWarps * sizeof(WarpTile);
    const auto start = [&](auto kernel) {
      check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, int(kBytes)),
            "preparing a kernel");
      launch(kernel, blocks, kWarps * 32, kBytes, stream, arguments);
    };
    launch(scale_by_log2e, blocks_of(size_t(states), 128), 128, 0, stream, tensors.A, a.data(), states);
    if (on_device.chunk_count > on_device.signal_count) start(scan_rows<false, kVectors, kConstantB, kConstantC>);
    const SelectiveFactor factor{a.data(), 1, parts.sums, shape.d_state, shape.d_inner};
    join_chunks(factor, JoinBuffers<float>{states, parts.carry, tensors.state, size_t(states)}, on_device, stream);
    start(scan_rows<true, kVectors, kConstantB, kConstantC>);
  }
};

DeviceSelectiveScan::DeviceSelectiveScan(const SelectiveScanShape& shape, int chunk_frames)
    : impl_(std::make_unique<Impl>(shape, chunk_frames)) {
  if (shape.d_inner / shape.groups % kLanes != 0 && shape.groups > 1)
    throw Error("a selective scan on the GPU takes groups of a multiple of " + std::to_string(kLanes) +
                " channels, not " + std::to_string(shape.d_inner / shape.groups));
}
DeviceSelectiveScan::~DeviceSelectiveScan() = default;

void DeviceSelectiveScan::run(const SelectiveScanTensors& x, void* stream_handle) const {
  const auto stream = static_cast<cudaStream_t>(stream_handle);
  const SelectiveScanShape& shape = impl_->shape;
  const auto on_vector = [](const float* p) { return reinterpret_cast<uintptr_t>(p) % 16 == 0; };
  const bool vectors = shape.frames % 4 == 0 && on_vector(x.u) && on_vector(x.delta) && on_vector(x.y);
  const auto with = [&]<bool kVectors>() {
    if (shape.constant_B && shape.constant_C)
      impl_->run<kVectors, true, true>(x, stream);
    else if (shape.constant_B)
      impl_->run<kVectors, true, false>(x, stream);
    else if (shape.constant_C)
      impl_->run<kVectors, false, true>(x, stream);
    else
      impl_->run<kVectors, false, false>(x, stream);
  };
  if (vectors)
    with.template operator()<true>();
  else
    with.template operator()<false>();
}

void run(std::span<const ssm::SelectiveScan> batch, int chunk_frames) {
  const ssm::SelectiveScan& first = batch[0];
  const size_t entries = batch.size(), frames = size_t(first.frames), inner = size_t(first.d_inner),
               states = size_t(first.d_state);
  const size_t group_channels = inner / size_t(first.groups);
  // Narrow groups run as one batch entry each.
  const bool apart = first.groups > 1 && group_channels % kLanes != 0;
  const size_t split = apart ? size_t(first.groups) : 1, channels = inner / split,
               groups = apart ? 1 : size_t(first.groups);

  for (size_t part = 0; part < split; ++part) {
    const auto rows = [&](const float* ssm::SelectiveScan::*tensor, size_t per_channel) {
      if (!(first.*tensor)) return DeviceFloats();
      return uploaded(gathered(entries, channels * per_channel,
                               [&](size_t i) { return batch[i].*tensor + part * channels * per_channel; }));
    };
    const auto parameter = [&](const float* values, size_t per_channel) {
      if (!values) return DeviceFloats();
      return uploaded({values + part * channels * per_channel, values + (part + 1) * channels * per_channel});
    };
    const auto mixing = [&](const float* ssm::SelectiveScan::*tensor, bool constant) {
      if (constant) return parameter(first.*tensor, states);
      return uploaded(gathered(entries, groups * states * frames,
                               [&](size_t i) { return batch[i].*tensor + part * groups * states * frames; }));
    };
    const DeviceFloats u = rows(&ssm::SelectiveScan::u, frames), delta = rows(&ssm::SelectiveScan::delta, frames),
                       z = rows(&ssm::SelectiveScan::z, frames);
    const DeviceFloats A = parameter(first.A, states), D = parameter(first.D, 1), bias = parameter(first.delta_bias, 1);
    const DeviceFloats B = mixing(&ssm::SelectiveScan::B, first.constant_B),
                       C = mixing(&ssm::SelectiveScan::C, first.constant_C);
    const DeviceFloats state = uploaded(
        gathered(entries, channels * states, [&](size_t i) { return batch[i].ssm_state + part * channels * states; }));
    const DeviceFloats y(entries * channels * frames);

    const DeviceSelectiveScan scan({int(entries), int(channels), int(states), int(groups), frames, first.delta_softplus,
                                    first.constant_B, first.constant_C},
                                   chunk_frames);
    const CudaStream stream;
    scan.run(
        {u.data(), delta.data(), A.data(), B.data(), C.data(), D.data(), bias.data(), z.data(), state.data(), y.data()},
        stream);
    stream.wait();
    const std::vector<float> out = y.download(), after = state.download();
    for (size_t i = 0; i < entries; ++i) {
      std::copy_n(out.begin() + ptrdiff_t(i * channels * frames), channels * frames,
                  batch[i].y + part * channels * frames);
      std::copy_n(after.begin() + ptrdiff_t(i * channels * states), channels * states,
                  batch[i].ssm_state + part * channels * states);
    }
  }
}

void run(std::span<const ssm::Ssd> batch, int chunk_frames, Precision precision) {
  const ssm::Ssd& first = batch[0];
  const size_t entries = batch.size(), frames = size_t(first.frames), heads = size_t(first.heads),
               states = size_t(first.d_state);
  const size_t inner = heads * size_t(first.headdim), mixing = size_t(first.groups) * states;
  const UniformPlan uniform(entries, frames, chunk_frames);
  const DevicePlan plan = uniform.on_device();
  const size_t rows = plan.rows();
  std::vector<int64_t> source;
  for (size_t i = 0; i < entries; ++i)
    for (size_t t = 0; t < frames; t += size_t(chunk_frames)) source.push_back(int64_t(i * frames + t));
  Array<int64_t> device_source;
  device_source.upload(source);
  const CudaStream stream;

  const auto unpacked = [&](const float* ssm::Ssd::*tensor, size_t width) {
    const DeviceFloats packed = uploaded(gathered(entries, frames * width, [&](size_t i) { return batch[i].*tensor; }));
    DeviceFloats values(rows * width);
    run_unpack(packed.data(), device_source.data(), plan.chunks, chunk_frames, rows, values.data(), int(width), stream);
    stream.wait();
    return values;
  };
  const DeviceFloats x = unpacked(&ssm::Ssd::x, inner), dt = unpacked(&ssm::Ssd::dt, heads),
                     B = unpacked(&ssm::Ssd::B, mixing), C = unpacked(&ssm::Ssd::C, mixing);
  std::vector<float> a;
  for (size_t h = 0; h < heads; ++h) a.push_back(float(double(first.A[h]) * M_LOG2E));
  const DeviceFloats device_a = uploaded(a), D = first.D ? uploaded({first.D, first.D + heads}) : DeviceFloats();
  const DeviceFloats bias = uploaded(first.dt_bias ? std::vector<float>(first.dt_bias, first.dt_bias + heads)
                                                   : std::vector<float>(heads, 0.0f));
  const DeviceFloats state = uploaded(gathered(entries, inner * states, [&](size_t i) { return batch[i].ssm_state; }));
  const DeviceFloats y(rows * inner), packed(entries * frames * inner),
      scratch(ScanScratch::floats(plan.extent(), inner * states, heads));
  const ScanScratch carries(scratch.data(), plan.extent(), inner * states);
  if (first.dt_bias && !first.dt_softplus) throw Error("SSD on the GPU takes a dt bias only together with dt_softplus");

  const int group_channels = int(inner) / first.groups;
  if (serves_ssd(first.headdim, group_channels, int(states))) {
    SsdArguments ssd{};
    ssd.channels = int(inner), ssd.d_state = int(states), ssd.headdim = first.headdim;
    ssd.group_channels = group_channels;
    ssd.a = device_a.data(), ssd.dt = dt.data(), ssd.dt_stride = int(heads);
    ssd.dt_bias = first.dt_softplus ? bias.data() : nullptr, ssd.dt_max = HUGE_VALF;
    ssd.u = x.data(), ssd.u_stride = int(inner), ssd.B = B.data(), ssd.C = C.data(), ssd.bc_stride = int(mixing);
    ssd.D = D.data(), ssd.y = y.data(), ssd.y_stride = int(inner);
    ssd.table = state.data(), ssd.table_stride = inner * states;
    run_ssd(ssd, precision, carries, plan, stream);
  } else {
    const DeviceFloats decay(rows * heads);
    if (first.dt_softplus) run_time_step(bias.data(), 0.0f, HUGE_VALF, dt.data(), int(heads), int(heads), rows, stream);
    run_decay(device_a.data(), dt.data(), int(heads), decay.data(), int(heads), rows, stream);
    ScanArguments scan{};
    scan.channels = int(inner), scan.d_state = int(states), scan.headdim = first.headdim,
    scan.group_channels = group_channels;
    scan.a = device_a.data(), scan.one_decay = true;
    scan.dt = dt.data(), scan.dt_stride = int(heads), scan.decay = decay.data(), scan.decay_stride = int(heads);
    scan.u = x.data(), scan.u_stride = int(inner), scan.B = B.data(), scan.C = C.data(), scan.bc_stride = int(mixing);
    scan.D = D.data(), scan.y = y.data(), scan.y_stride = int(inner), scan.table = state.data(),
    scan.table_stride = inner * states;
    run_scan(scan, carries, plan, stream);
    stream.wait();
  }
  run_pack(y.data(), int(inner), device_source.data(), plan.chunks, chunk_frames, rows, packed.data(), int(inner),
           stream);
  stream.wait();
  const std::vector<float> out = packed.download(), after = state.download();
  for (size_t i = 0; i < entries; ++i) {
    std::copy_n(out.begin() + ptrdiff_t(i * frames * inner), frames * inner, batch[i].y);
    std::copy_n(after.begin() + ptrdiff_t(i * inner * states), inner * states, batch[i].ssm_state);
  }
}

}  // namespace coil::gpu
