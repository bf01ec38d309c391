// The GPU's peak speed (copy, multiply-adds, exponentials), and the times of the selective scan and of whole models for
// comparison. Medians; kernels are timed by CUDA events, models by the host's clock around the whole call.
//
//   gpu_bench [ceilings] [scan] [ssd] [mamba3] [models] [segments] [lengths] [exp2]
//   gpu_bench profile
#include <cuda_runtime.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "gpu/batched_model.h"
#include "gpu/device.h"
#include "gpu/mamba3.h"
#include "gpu/math.cuh"
#include "gpu/memory.h"
#include "gpu/operators.h"
#include "gpu/scan.h"
#include "gpu/ssd.h"
#include "gpu/tensor_cores.cuh"
#include "gpu/uniform_plan.h"
#include "tests/support/runs.h"

namespace {

using namespace coil;

constexpr int kRuns = 15;

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

// Milliseconds of the work that `start` puts on the stream.
double kernel_ms(const std::function<void(cudaStream_t)>& start, int runs = kRuns) {
  cudaStream_t stream;
  cudaEvent_t begin, end;
  gpu::check(cudaStreamCreate(&stream), "stream");
  cudaEventCreate(&begin);
  cudaEventCreate(&end);
  for (int i = 0; i < 3; ++i) start(stream);
  std::vector<double> times;
  for (int i = 0; i < runs; ++i) {
    cudaEventRecord(begin, stream);
    start(stream);
    cudaEventRecord(end, stream);
    gpu::check(cudaEventSynchronize(end), "running");
    float ms = 0;
    cudaEventElapsedTime(&ms, begin, end);
    times.push_back(ms);
  }
  cudaEventDestroy(begin);
  cudaEventDestroy(end);
  cudaStreamDestroy(stream);
  return median(times);
}

double call_ms(const std::function<void()>& call, int runs = 7) {
  call();
  std::vector<double> times;
  for (int i = 0; i < runs; ++i) {
    const auto begin = std::chrono::steady_clock::now();
    call();
    times.push_back(std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin).count());
  }
  return median(times);
}

__global__ void fill(float* x, size_t n, float low, float high, uint32_t seed) {
  for (size_t i = blockIdx.x * size_t(blockDim.x) + threadIdx.x; i < n; i += size_t(gridDim.x) * blockDim.x) {
    uint32_t v = uint32_t(i) * 2654435761u + seed;
    v ^= v >> 16, v *= 0x85ebca6bu, v ^= v >> 13, v *= 0xc2b2ae35u, v ^= v >> 16;
    x[i] = low + (high - low) * float(v >> 8) * 0x1p-24f;
  }
}

gpu::DeviceFloats random_floats(size_t n, float low, float high, uint32_t seed) {
  gpu::DeviceFloats x(n);
  fill<<<1024, 256>>>(x.data(), n, low, high, seed);
  gpu::check(cudaDeviceSynchronize(), "filling");
  return x;
}

// ---- ceilings

__global__ void copy(const float4* from, float4* to, size_t n) {
  for (size_t i = blockIdx.x * size_t(blockDim.x) + threadIdx.x; i < n; i += size_t(gridDim.x) * blockDim.x)
    to[i] = from[i];
}

template <bool kExp>
__global__ void arithmetic(float* out, int rounds) {
  float x[8];
  for (int i = 0; i < 8; ++i) x[i] = -float(threadIdx.x + i) * 1e-3f;
  for (int r = 0; r < rounds; ++r)
#pragma unroll
    for (int i = 0; i < 8; ++i) x[i] = kExp ? gpu::exp2_fast(x[i]) : fmaf(x[i], 0.999f, 0.001f);
  float sum = 0;
  for (int i = 0; i < 8; ++i) sum += x[i];
  out[blockIdx.x * blockDim.x + threadIdx.x] = sum;
}

// Products of (16, 8) += (16, 16) (16, 8), by the instructions that the kernels use.
template <gpu::Precision kPrecision>
__global__ void products(float* out, int rounds) {
  float values[2][4], sums[8][4] = {};
  for (int i = 0; i < 8; ++i) values[i / 4][i % 4] = float(threadIdx.x % 13 + unsigned(i)) * 1e-3f;
  const gpu::Left<kPrecision> left(values);
  const gpu::Right<kPrecision> right({{values[0][0], values[0][1]}, {values[1][0], values[1][1]}});
  for (int r = 0; r < rounds; ++r)
    gpu::each_part<kPrecision>([&](int part) {
#pragma unroll
      for (int i = 0; i < 8; ++i) gpu::multiply_add_part(part, sums[i], left, right);
    });
  float sum = 0;
  for (int i = 0; i < 8; ++i) sum += sums[i][0] + sums[i][1] + sums[i][2] + sums[i][3];
  out[blockIdx.x * blockDim.x + threadIdx.x] = sum;
}

struct Ceilings {
  double bytes, fma, exp2;  // a second
  double products[3];       // multiply-adds a second in float32, tf32, bf16
};

Ceilings ceilings() {
  const size_t floats = size_t(1) << 29;
  const gpu::DeviceFloats from = random_floats(floats, -1, 1, 1);
  gpu::DeviceFloats to(floats);
  Ceilings c;
  const double copied = kernel_ms([&](cudaStream_t s) {
    gpu::check(cudaMemcpyAsync(to.data(), from.data(), floats * 4, cudaMemcpyDeviceToDevice, s), "copy");
  });
  const double looped = kernel_ms([&](cudaStream_t s) {
    copy<<<132 * 16, 512, 0, s>>>(reinterpret_cast<const float4*>(from.data()), reinterpret_cast<float4*>(to.data()),
                                  floats / 4);
  });
  c.bytes = double(floats) * 8 / std::min(copied, looped) * 1e3;
  const int blocks = 132 * 8, threads = 256, rounds = 20000;
  const double operations = double(blocks) * threads * rounds * 8;
  c.fma = operations /
          kernel_ms([&](cudaStream_t s) { arithmetic<false><<<blocks, threads, 0, s>>>(to.data(), rounds); }) * 1e3;
  c.exp2 = operations /
           kernel_ms([&](cudaStream_t s) { arithmetic<true><<<blocks, threads, 0, s>>>(to.data(), rounds); }) * 1e3;
  const double all_products = double(blocks) * (threads / 32) * 2000 * 8 * 16 * 16 * 8;
  for (const gpu::Precision precision : {gpu::Precision::float32, gpu::Precision::tf32, gpu::Precision::bf16})
    gpu::with_precision(precision, [&]<gpu::Precision kPrecision>() {
      c.products[int(precision)] =
          all_products /
          kernel_ms([&](cudaStream_t s) { products<kPrecision><<<blocks, threads, 0, s>>>(to.data(), 2000); }) * 1e3;
    });
  std::printf(
      "copy %.2f TB/s, multiply-adds %.1f T/s (%.1f TFLOP/s), exp2 %.2f T/s; products on the tensor cores %.0f TFLOP/s "
      "in float32, %.0f in tf32, %.0f in bf16\n\n",
      c.bytes * 1e-12, c.fma * 1e-12, c.fma * 2e-12, c.exp2 * 1e-12, c.products[0] * 2e-12, c.products[1] * 2e-12,
      c.products[2] * 2e-12);
  return c;
}

// ---- the selective scan

void scan(const Ceilings& c) {
  struct Work {
    int batch, d_inner;
    size_t frames;
    double official_ms;
  };
  constexpr int kStates = 16;
  std::printf(
      "selective scan, d_state 16, float32\nbatch  d_inner  frames    chunk    ms      official  speed-up  TB/s  of "
      "copy  T exp2/s  of exp2\n");
  for (const Work& w : {Work{8, 2048, 4096, 2.329}, Work{64, 32, 48000, 4.42}, Work{1, 32, 2880000, 35.8},
                        Work{1, 1536, 65536, 3.84}}) {
    const size_t signal = size_t(w.batch) * size_t(w.d_inner) * w.frames, mixing = size_t(w.batch) * kStates * w.frames;
    const gpu::DeviceFloats u = random_floats(signal, -1, 1, 1), delta = random_floats(signal, -6, -2, 2);
    const gpu::DeviceFloats A = random_floats(size_t(w.d_inner) * kStates, -16, -1, 3),
                            B = random_floats(mixing, -1, 1, 4), C = random_floats(mixing, -1, 1, 5);
    const gpu::DeviceFloats D = random_floats(size_t(w.d_inner), -1, 1, 6),
                            bias = random_floats(size_t(w.d_inner), -1, 1, 7);
    const gpu::DeviceFloats state = random_floats(size_t(w.batch) * size_t(w.d_inner) * kStates, 0, 0, 8);
    gpu::DeviceFloats y(signal);
    for (const int chunk : {128, 256, 512, 1024}) {
      const gpu::DeviceSelectiveScan scan({w.batch, w.d_inner, kStates, 1, w.frames, true, false, false}, chunk);
      const double ms = kernel_ms([&](cudaStream_t s) {
        scan.run({u.data(), delta.data(), A.data(), B.data(), C.data(), D.data(), bias.data(), nullptr, state.data(),
                  y.data()},
                 s);
      });
      // u, dt and B are read twice, C once, y is written.
      const double bytes = 4 * (5 * double(signal) + 3 * double(mixing)), exponentials = 2 * double(signal) * kStates;
      std::printf("%-5d  %-7d  %-8zu  %-6d  %-6.3f  %-8.3f  %-8.2f  %-4.2f  %-7.2f  %-8.2f  %.2f\n", w.batch, w.d_inner,
                  w.frames, chunk, ms, w.official_ms, w.official_ms / ms, bytes / ms * 1e-9, bytes / ms * 1e3 / c.bytes,
                  exponentials / ms * 1e-9, exponentials / ms * 1e3 / c.exp2);
    }
  }
  std::printf("\n");
}

// ---- SSD

void ssd(const Ceilings& c) {
  struct Work {
    int batch, heads, headdim, d_state;
    size_t frames;
    double triton_ms;  // the fastest of upstream's kernels in bf16 on an H200 (tests/bench/ssd_triton.py)
  };
  using gpu::Precision;
  std::printf(
      "SSD, one group; x, B, C, y in float32\n"
      "batch  heads  headdim  d_state  frames    chunk  precision  ms      speed-up  TB/s  of copy  TFLOP/s\n");
  for (const Work& w :
       {Work{8, 32, 64, 64, 4096, 0.982}, Work{8, 32, 64, 128, 4096, 0.833}, Work{8, 16, 8, 16, 48000, 3.536},
        Work{1, 16, 8, 16, 2880000, 29.039}, Work{1, 2, 64, 128, 1048576, 3.268}}) {
    const size_t inner = size_t(w.heads * w.headdim), states = size_t(w.d_state), all = size_t(w.batch) * w.frames;
    const gpu::DeviceFloats u = random_floats(all * inner, -1, 1, 1),
                            dt = random_floats(all * size_t(w.heads), 0.001f, 0.1f, 2);
    const gpu::DeviceFloats B = random_floats(all * states, -1, 1, 3), C = random_floats(all * states, -1, 1, 4);
    const gpu::DeviceFloats a = random_floats(size_t(w.heads), -16, -1, 5),
                            D = random_floats(size_t(w.heads), -1, 1, 6);
    const gpu::DeviceFloats table = random_floats(size_t(w.batch) * inner * states, 0, 0, 7);
    gpu::DeviceFloats y(all * inner), decay(all * size_t(w.heads));
    for (const int chunk : {128, 512, 1024, 2048, 4096}) {
      if (w.frames % size_t(chunk) != 0 && w.batch > 1 && chunk > 128) continue;
      const gpu::UniformPlan uniform(size_t(w.batch), w.frames, chunk);
      const gpu::DevicePlan plan = uniform.on_device();
      const gpu::DeviceFloats scratch(gpu::ScanScratch::floats(plan.extent(), inner * states, size_t(w.heads)));
      const gpu::ScanScratch pieces(scratch.data(), plan.extent(), inner * states);
      const auto print = [&](const char* precision, double ms) {
        // u, dt and B are read twice, C once, y written; per tile of 16 frames: C B^T a group, C h, the masked product,
        // the state twice
        const bool one_chunk = plan.chunk_count == plan.signal_count;
        const double passes = one_chunk ? 1 : 2, rows = double(all);
        const double bytes =
            4 * rows * (passes * double(inner + states + size_t(w.heads)) + double(states) + double(inner));
        const double flop = 2 * rows * (16 * double(states) + double(inner) * (16 + double(states) * (1 + passes)));
        std::printf("%-5d  %-5d  %-7d  %-7d  %-8zu  %-5d  %-9s  %-6.3f  %-8.2f  %-4.2f  %-7.2f  %.1f\n", w.batch,
                    w.heads, w.headdim, w.d_state, w.frames, chunk, precision, ms, w.triton_ms / ms, bytes / ms * 1e-9,
                    bytes / ms * 1e3 / c.bytes, flop / ms * 1e-9);
      };
      for (const Precision precision : {Precision::float32, Precision::tf32, Precision::bf16}) {
        const gpu::SsdArguments work{
            int(inner), w.d_state, w.headdim, int(inner), a.data(),     dt.data(),     w.heads,   nullptr,
            0,          0,         u.data(),  int(inner), B.data(),     C.data(),      w.d_state, D.data(),
            nullptr,    0,         y.data(),  int(inner), table.data(), inner * states};
        print(gpu::to_string(precision).c_str(),
              kernel_ms([&](cudaStream_t s) { gpu::run_ssd(work, precision, pieces, plan, s); }, 7));
      }
      if (chunk > 128) continue;
      gpu::ScanArguments scan{};
      scan.channels = int(inner), scan.d_state = w.d_state, scan.headdim = w.headdim, scan.group_channels = int(inner),
      scan.a = a.data(), scan.one_decay = true;
      scan.dt = dt.data(), scan.dt_stride = w.heads, scan.decay = decay.data(), scan.decay_stride = w.heads,
      scan.u = u.data(), scan.u_stride = int(inner);
      scan.B = B.data(), scan.C = C.data(), scan.bc_stride = w.d_state, scan.D = D.data(), scan.y = y.data(),
      scan.y_stride = int(inner);
      scan.table = table.data(), scan.table_stride = inner * states;
      print("scan", kernel_ms(
                        [&](cudaStream_t s) {
                          gpu::run_decay(a.data(), dt.data(), w.heads, decay.data(), w.heads, all, s);
                          gpu::run_scan(scan, pieces, plan, s);
                        },
                        5));
    }
  }
  std::printf("\n");
}

// ---- Mamba-3

// The inputs of its recurrence at one shape, on the GPU.
struct Mamba3Work {
  int batch, heads, headdim, d_state, rank;
  size_t frames;
  gpu::DeviceFloats x, z, B, C, B_bias, C_bias, D, mimo, decay, gamma, beta, y, table;
  gpu::Array<double> dt, speed;
  gpu::Mamba3Arguments m{};

  Mamba3Work(int batch_, int heads_, int headdim_, int d_state_, int rank_, size_t frames_)
      : batch(batch_), heads(heads_), headdim(headdim_), d_state(d_state_), rank(rank_), frames(frames_) {
    const size_t all = size_t(batch) * frames, inner = size_t(heads * headdim), mixing = size_t(rank * d_state),
                 angles = size_t(d_state / 4);
    x = random_floats(all * inner, -1, 1, 1), z = random_floats(all * inner, -3, 3, 2);
    B = random_floats(all * mixing, -1, 1, 3), C = random_floats(all * mixing, -1, 1, 4);
    B_bias = random_floats(size_t(heads) * mixing, 0, 1, 5), C_bias = random_floats(size_t(heads) * mixing, 0, 1, 6);
    D = random_floats(size_t(heads), -1, 1, 7), mimo = random_floats(3 * size_t(rank) * inner, -1, 1, 8);
    decay = random_floats(all * size_t(heads), -1, -0.001f, 9), gamma = random_floats(all * size_t(heads), 0, 0.1f, 10);
    beta = random_floats(all * size_t(heads), 0, 0.1f, 11);
    y = gpu::DeviceFloats(all * inner);
    test::Random random(12);
    const auto doubles = [&](size_t n, double low, double high) {
      std::vector<double> values(n);
      for (double& v : values) v = random.uniform(low, high);
      gpu::Array<double> array;
      array.upload(values);
      return array;
    };
    dt = doubles(all * size_t(heads), 0.001, 0.1), speed = doubles(all * angles, -0.5, 0.5);
    m.heads = heads, m.headdim = headdim, m.d_state = d_state, m.groups = 1, m.rank = rank, m.angles = int(angles);
    m.halves = rank > 1, m.dt = dt.data(), m.speed = speed.data(), m.decay = decay.data(), m.gamma = gamma.data();
    m.beta = beta.data(), m.B = B.data(), m.C = C.data(), m.bc_stride = int(mixing), m.B_bias = B_bias.data();
    m.C_bias = C_bias.data(), m.x = x.data(), m.x_stride = int(inner), m.D = D.data(), m.z_stride = int(inner);
    m.mimo_x = rank > 1 ? mimo.data() : nullptr, m.mimo_z = mimo.data() + size_t(rank) * inner;
    m.mimo_o = m.mimo_z + size_t(rank) * inner, m.z = z.data(), m.y = y.data();
    m.k_at = inner * size_t(d_state), m.v_at = m.k_at + size_t(heads) * mixing, m.angle_at = m.v_at + inner;
    m.rest_at = m.angle_at + size_t(heads) * angles, m.table_stride = m.rest_at + size_t(heads) * angles;
    table = random_floats(size_t(batch) * m.table_stride, 0, 0, 13);
    m.table = table.data();
  }

  void start(gpu::Precision precision, const gpu::Mamba3Scratch& scratch, const gpu::DevicePlan& plan,
             cudaStream_t stream) const {
    gpu::run_mamba3(m, precision, scratch, plan, stream);
  }

  // The least bytes: inputs read once, the output written once. The least multiply-adds: every output and every state
  // once, and pairs of rows within tiles of 16.
  double least_bytes() const {
    const double inner = heads * headdim, angles = d_state / 4;
    return double(batch) * double(frames) * (4 * (3 * inner + 2 * rank * d_state + 3 * heads) + 8 * (heads + angles));
  }
  double least_multiply_adds() const {
    const double rows = double(batch) * double(frames) * rank * heads;
    return rows * (2.0 * headdim * d_state + 16 * (headdim + d_state));
  }
};

void mamba3(const Ceilings& c) {
  using gpu::Precision;
  std::printf(
      "Mamba-3, one group, half of the states rotate; angles, recurrence and gate; tensors in float32. The limit is "
      "the "
      "larger of bytes over the speed of copies, and multiply-adds over the speed of the tensor cores.\n"
      "batch  heads  headdim  d_state  rank  frames  chunk  precision  ms      limit   of limit  TFLOP/s\n");
  for (const int rank : {1, 4}) {
    const Mamba3Work w(8, 32, 64, 128, rank, 4096);
    for (const int chunk : {128, 256, 512, 1024, 2048, 4096}) {
      const gpu::UniformPlan uniform(size_t(w.batch), w.frames, chunk);
      const gpu::DevicePlan plan = uniform.on_device();
      const gpu::DeviceFloats scratch(gpu::Mamba3Scratch::floats(plan.extent(), w.m));
      const gpu::Mamba3Scratch pieces(scratch.data(), plan.extent(), w.m);
      for (const Precision precision : {Precision::float32, Precision::tf32, Precision::bf16}) {
        const double ms = kernel_ms([&](cudaStream_t s) { w.start(precision, pieces, plan, s); }, 7);
        const double limit =
            1e3 * std::max(w.least_bytes() / c.bytes, w.least_multiply_adds() / c.products[int(precision)]);
        std::printf("%-5d  %-5d  %-7d  %-7d  %-4d  %-6zu  %-5d  %-9s  %-6.3f  %-6.3f  %-8.2f  %.1f\n", w.batch, w.heads,
                    w.headdim, w.d_state, rank, w.frames, chunk, gpu::to_string(precision).c_str(), ms, limit,
                    limit / ms, 2e-9 * w.least_multiply_adds() / ms);
      }
    }
  }
  std::printf("\n");
}

void lengths() {
  constexpr int kStates = 16, kWidth = 1024;
  std::printf(
      "one sequence, d_state 16, float32, ms (with attention's times: tests/bench/attention.py)\nframes   width 1024  "
      "width 2048\n");
  for (size_t frames = 1024; frames <= (size_t(1) << 20); frames *= 2) {
    double ms[2];
    for (const int expand : {1, 2}) {
      const size_t signal = size_t(expand) * kWidth * frames, mixing = kStates * frames;
      const gpu::DeviceFloats u = random_floats(signal, -1, 1, 1), delta = random_floats(signal, -6, -2, 2);
      const gpu::DeviceFloats A = random_floats(size_t(expand) * kWidth * kStates, -16, -1, 3),
                              B = random_floats(mixing, -1, 1, 4), C = random_floats(mixing, -1, 1, 5);
      const gpu::DeviceFloats state = random_floats(size_t(expand) * kWidth * kStates, 0, 0, 8);
      gpu::DeviceFloats y(signal);
      const gpu::DeviceSelectiveScan scan({1, expand * kWidth, kStates, 1, frames, true, false, false});
      ms[expand - 1] = kernel_ms(
          [&](cudaStream_t s) {
            scan.run({u.data(), delta.data(), A.data(), B.data(), C.data(), nullptr, nullptr, nullptr, state.data(),
                      y.data()},
                     s);
          },
          7);
    }
    std::printf("%-7zu  %-10.3f  %.3f\n", frames, ms[0], ms[1]);
  }
  std::printf("\n");
}

// ---- whole models

std::string model_config(const std::string& mixer, int d_model, int layers) {
  return R"({"model_type": "coil", "d_input": 1, "d_output": 1, "d_model": )" + std::to_string(d_model) +
         R"(, "layers": [{"repeat": )" + std::to_string(layers) +
         R"(, "parts": [{"type": "rmsnorm", "name": "norm"}, {"name": "mixer", )" + mixer + "}]}]}";
}

size_t memory_in_use() {
  size_t free = 0, total = 0;
  gpu::check(cudaMemGetInfo(&free, &total), "asking for memory");
  return total - free;
}

void models() {
  constexpr double kRate = 48000;
  struct Work {
    const char* name;
    const char* mixer;
    int d_model, layers;
    size_t batch, frames;
    double official;  // audio seconds per second
  };
  const char *mamba1 = R"("type": "mamba1", "d_state": 16)",
             *mamba2 = R"("type": "mamba2", "d_state": 16, "headdim": 8)", *s4d = R"("type": "s4d", "d_state": 16)";
  std::printf(
      "whole models, 1 channel in and out; audio seconds (48 kHz) per second: signals on the GPU, and from and to the "
      "host's memory\n"
      "model               batch  frames     precision  ms       on GPU  from host  official  GPU memory MiB\n");
  for (const Work& w :
       {Work{"mamba1 16 x 2", mamba1, 16, 2, 1, 2880000, 701}, Work{"mamba1 16 x 2", mamba1, 16, 2, 64, 48000, 2747},
        Work{"mamba1 64 x 4", mamba1, 64, 4, 1, 2880000, 285}, Work{"mamba1 64 x 4", mamba1, 64, 4, 64, 48000, 470},
        Work{"mamba1 32 x 4", mamba1, 32, 4, 1, 2880000, 0}, Work{"mamba2 16 x 2", mamba2, 16, 2, 1, 2880000, 0},
        Work{"mamba2 64 x 4", mamba2, 64, 4, 1, 2880000, 0}, Work{"mamba2 64 x 4", mamba2, 64, 4, 64, 48000, 0},
        Work{"mamba1 256 x 2", mamba1, 256, 2, 1, 480000, 0}, Work{"mamba2 256 x 2", mamba2, 256, 2, 1, 480000, 0},
        Work{"s4d 16 x 4", s4d, 16, 4, 1, 2880000, 0}}) {
    const auto loaded = test::load(test::model_file(model_config(w.mixer, w.d_model, w.layers), 1));
    const auto model = loaded.model();
    for (const gpu::Precision precision : {gpu::Precision::float32, gpu::Precision::tf32, gpu::Precision::bf16}) {
      const size_t values = w.batch * w.frames, before = memory_in_use();
      gpu::BatchedModel device(model, loaded.checkpoint, {.precision = precision});
      std::vector<ssm::State> states(w.batch, model->initial_state());
      std::vector<ssm::State*> pointers;
      for (ssm::State& state : states) pointers.push_back(&state);
      double on_gpu_ms, memory;
      {
        const gpu::DeviceFloats in = random_floats(values, -1, 1, 9);
        gpu::DeviceFloats out(values);
        on_gpu_ms = call_ms([&] { device.process_on_device(in.data(), out.data(), w.frames, pointers); });
        memory = double(memory_in_use() - before - in.bytes() - out.bytes()) / (1 << 20);
      }
      test::Random random(1);
      const std::vector<float> in = test::random_signal(values, random);
      std::vector<float> out(values);
      std::vector<gpu::Frames> batch;
      for (size_t i = 0; i < w.batch; ++i)
        batch.push_back({&states[i], std::span(in).subspan(i * w.frames, w.frames),
                         std::span(out).subspan(i * w.frames, w.frames)});
      const double host_ms = call_ms([&] { device.process(batch); });
      const double audio_ms = double(values) / kRate * 1e3;
      std::printf("%-18s  %-5zu  %-9zu  %-9s  %-7.2f  %-6.0f  %-9.0f  %-8.0f  %.0f\n", w.name, w.batch, w.frames,
                  gpu::to_string(precision).c_str(), on_gpu_ms, audio_ms / on_gpu_ms, audio_ms / host_ms, w.official,
                  memory);
    }
  }

  std::printf(
      "\nmamba1 16 x 2, one signal on the GPU: ns a frame over length\nframes       ns      GPU memory of the model "
      "MiB\n");
  const auto loaded = test::load(test::model_file(model_config(mamba1, 16, 2), 1));
  const auto model = loaded.model();
  gpu::BatchedModel device(model, loaded.checkpoint);
  for (size_t frames = 1000; frames <= 100'000'000; frames *= 10) {
    const gpu::DeviceFloats in = random_floats(frames, -1, 1, 9);
    gpu::DeviceFloats out(frames);
    ssm::State state = model->initial_state();
    ssm::State* states[] = {&state};
    const double ms = call_ms([&] { device.process_on_device(in.data(), out.data(), frames, states); }, 5);
    std::printf("%-11zu  %-6.3f  %.0f\n", frames, ms * 1e6 / double(frames), double(device.device_bytes()) / (1 << 20));
  }
  std::printf("\n");
}

// The overhead of chunks and segments: one minute of one signal on the GPU.
void segments() {
  struct Work {
    const char* name;
    const char* mixer;
    int d_model, layers;
  };
  constexpr size_t kFrames = 2880000;
  std::printf(
      "one signal of 2880000 frames on the GPU, over the length of chunks and the memory allowed\n"
      "model          precision  chunk  memory MiB  ms       audio s/s\n");
  for (const Work& w : {Work{"mamba1 16 x 2", R"("type": "mamba1", "d_state": 16)", 16, 2},
                        Work{"mamba1 64 x 4", R"("type": "mamba1", "d_state": 16)", 64, 4},
                        Work{"mamba2 64 x 4", R"("type": "mamba2", "d_state": 16, "headdim": 8)", 64, 4}}) {
    const auto loaded = test::load(test::model_file(model_config(w.mixer, w.d_model, w.layers), 1));
    const auto model = loaded.model();
    const gpu::DeviceFloats in = random_floats(kFrames, -1, 1, 9);
    gpu::DeviceFloats out(kFrames);
    for (const gpu::Precision precision : {gpu::Precision::float32, gpu::Precision::bf16})
      for (const int chunk : {64, 128, 256, 512})
        for (const size_t memory_mib : {512, 896}) {
          gpu::BatchedModel device(model, loaded.checkpoint,
                                   {.chunk_frames = chunk, .memory_bytes = memory_mib << 20, .precision = precision});
          ssm::State state = model->initial_state();
          ssm::State* states[] = {&state};
          const double ms = call_ms([&] { device.process_on_device(in.data(), out.data(), kFrames, states); }, 5);
          std::printf("%-13s  %-9s  %-5d  %-10zu  %-7.2f  %.0f\n", w.name, gpu::to_string(precision).c_str(), chunk,
                      memory_mib, ms, double(kFrames) / 48 / ms);
        }
  }
  std::printf("\n");
}

// Runs each kernel of a few models a few times, for a profiler.
void profile() {
  for (const int rank : {1, 4}) {
    const Mamba3Work w(8, 32, 64, 128, rank, 4096);
    const gpu::UniformPlan uniform(size_t(w.batch), w.frames, 1024);
    const gpu::DevicePlan plan = uniform.on_device();
    const gpu::DeviceFloats scratch(gpu::Mamba3Scratch::floats(plan.extent(), w.m));
    for (const gpu::Precision precision : {gpu::Precision::float32, gpu::Precision::bf16})
      kernel_ms([&](cudaStream_t s) { w.start(precision, {scratch.data(), plan.extent(), w.m}, plan, s); }, 1);
  }
  constexpr size_t kFrames = 1 << 17;
  for (const char* mixer : {R"("type": "mamba2", "d_state": 16, "headdim": 8)", R"("type": "mamba1", "d_state": 16)"}) {
    for (const int d_model : {16, 64}) {
      const auto loaded = test::load(test::model_file(model_config(mixer, d_model, 1), 1));
      const auto model = loaded.model();
      const gpu::DeviceFloats in = random_floats(kFrames, -1, 1, 9);
      gpu::DeviceFloats out(kFrames);
      for (const gpu::Precision precision : {gpu::Precision::float32, gpu::Precision::bf16}) {
        gpu::BatchedModel device(model, loaded.checkpoint, {.precision = precision});
        ssm::State state = model->initial_state();
        ssm::State* states[] = {&state};
        device.process_on_device(in.data(), out.data(), kFrames, states);
      }
    }
  }
}

// ---- the exponential

__global__ void exp2_values(const float* t, float* y, int n) {
  const int i = int(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < n) y[i] = gpu::exp2_fast(t[i]);
}

void exp2_error() {
  std::printf("ex2.approx for t in [-high, -high / 2]: relative error in units of 2^-24\nhigh       mean    largest\n");
  constexpr int kCount = 1 << 20;
  for (int power = -20; power <= 5; power += 1) {
    const float high = std::ldexp(1.0f, power);
    const gpu::DeviceFloats t = random_floats(kCount, -high, -high / 2, uint32_t(power + 100));
    gpu::DeviceFloats y(kCount);
    exp2_values<<<kCount / 256, 256>>>(t.data(), y.data(), kCount);
    const auto ts = t.download(), ys = y.download();
    double sum = 0, worst = 0;
    for (int i = 0; i < kCount; ++i) {
      const double error = (double(ys[size_t(i)]) / std::exp2(double(ts[size_t(i)])) - 1) * 0x1p24;
      sum += error;
      worst = std::max(worst, std::abs(error));
    }
    std::printf("2^%-8d  %-6.3f  %.3f\n", power, sum / kCount, worst);
  }
  std::printf("\n");
}

}  // namespace

int main(int argc, char** argv) {
  if (gpu::devices().empty()) {
    std::fprintf(stderr, "gpu_bench: %s\n", gpu::why_no_device().c_str());
    return 1;
  }
  const auto wanted = [&](const char* table) {
    return argc == 1 ||
           std::any_of(argv + 1, argv + argc, [&](const char* name) { return std::strcmp(name, table) == 0; });
  };
  const gpu::Device device = gpu::devices().front();
  std::printf("%s, %d multiprocessors, %.0f GiB\n", device.name.c_str(), device.multiprocessors,
              double(device.memory_bytes) / (1 << 30));
  if (argc == 2 && std::strcmp(argv[1], "profile") == 0) return profile(), 0;
  const Ceilings c = ceilings();
  if (wanted("scan")) scan(c);
  if (wanted("ssd")) ssd(c);
  if (wanted("mamba3")) mamba3(c);
  if (wanted("models")) models();
  if (wanted("segments")) segments();
  if (wanted("lengths")) lengths();
  if (wanted("exp2")) exp2_error();
  return 0;
}
