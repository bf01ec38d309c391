// What the GPU does at best (copy, multiply-adds, exponentials), and what the selective scan and whole models take beside it. Medians;
// kernels by CUDA events, models by the clock of the host around the whole call.
//
//   gpu_bench [ceilings] [scan] [models] [lengths] [exp2]
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
#include "gpu/math.cuh"
#include "gpu/memory.h"
#include "gpu/operators.h"
#include "tests/support/runs.h"

namespace {

using namespace coil;

constexpr int kRuns = 15;

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

// Milliseconds of what `start` puts on the stream.
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
  for (size_t i = blockIdx.x * size_t(blockDim.x) + threadIdx.x; i < n; i += size_t(gridDim.x) * blockDim.x) to[i] = from[i];
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

struct Ceilings {
  double bytes, fma, exp2;  // a second
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
    copy<<<132 * 16, 512, 0, s>>>(reinterpret_cast<const float4*>(from.data()), reinterpret_cast<float4*>(to.data()), floats / 4);
  });
  c.bytes = double(floats) * 8 / std::min(copied, looped) * 1e3;
  const int blocks = 132 * 8, threads = 256, rounds = 20000;
  const double operations = double(blocks) * threads * rounds * 8;
  c.fma = operations / kernel_ms([&](cudaStream_t s) { arithmetic<false><<<blocks, threads, 0, s>>>(to.data(), rounds); }) * 1e3;
  c.exp2 = operations / kernel_ms([&](cudaStream_t s) { arithmetic<true><<<blocks, threads, 0, s>>>(to.data(), rounds); }) * 1e3;
  std::printf("copy %.2f TB/s, multiply-adds %.1f T/s (%.1f TFLOP/s), exp2 %.2f T/s\n\n", c.bytes * 1e-12, c.fma * 1e-12, c.fma * 2e-12, c.exp2 * 1e-12);
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
  std::printf("selective scan, d_state 16, float32\nbatch  d_inner  frames    chunk    ms      official  speed-up  TB/s  of copy  T exp2/s  of exp2\n");
  for (const Work& w : {Work{8, 2048, 4096, 2.329}, Work{64, 32, 48000, 4.42}, Work{1, 32, 2880000, 35.8}, Work{1, 1536, 65536, 3.84}}) {
    const size_t signal = size_t(w.batch) * size_t(w.d_inner) * w.frames, mixing = size_t(w.batch) * kStates * w.frames;
    const gpu::DeviceFloats u = random_floats(signal, -1, 1, 1), delta = random_floats(signal, -6, -2, 2);
    const gpu::DeviceFloats A = random_floats(size_t(w.d_inner) * kStates, -16, -1, 3), B = random_floats(mixing, -1, 1, 4), C = random_floats(mixing, -1, 1, 5);
    const gpu::DeviceFloats D = random_floats(size_t(w.d_inner), -1, 1, 6), bias = random_floats(size_t(w.d_inner), -1, 1, 7);
    const gpu::DeviceFloats state = random_floats(size_t(w.batch) * size_t(w.d_inner) * kStates, 0, 0, 8);
    gpu::DeviceFloats y(signal);
    for (const int chunk : {128, 256, 512, 1024}) {
      const gpu::SelectiveScan scan({w.batch, w.d_inner, kStates, 1, w.frames, true, false, false}, chunk);
      const double ms = kernel_ms([&](cudaStream_t s) {
        scan.run({u.data(), delta.data(), A.data(), B.data(), C.data(), D.data(), bias.data(), nullptr, state.data(), y.data()}, s);
      });
      // u, dt and B are read twice, C once, y written
      const double bytes = 4 * (5 * double(signal) + 3 * double(mixing)), exponentials = 2 * double(signal) * kStates;
      std::printf("%-5d  %-7d  %-8zu  %-6d  %-6.3f  %-8.3f  %-8.2f  %-4.2f  %-7.2f  %-8.2f  %.2f\n", w.batch, w.d_inner, w.frames, chunk, ms, w.official_ms,
                  w.official_ms / ms, bytes / ms * 1e-9, bytes / ms * 1e3 / c.bytes, exponentials / ms * 1e-9, exponentials / ms * 1e3 / c.exp2);
    }
  }
  std::printf("\n");
}

void lengths() {
  constexpr int kStates = 16, kWidth = 1024;
  std::printf("one sequence, d_state 16, float32, ms (with attention's times: tests/bench/attention.py)\nframes   width 1024  width 2048\n");
  for (size_t frames = 1024; frames <= (size_t(1) << 20); frames *= 2) {
    double ms[2];
    for (const int expand : {1, 2}) {
      const size_t signal = size_t(expand) * kWidth * frames, mixing = kStates * frames;
      const gpu::DeviceFloats u = random_floats(signal, -1, 1, 1), delta = random_floats(signal, -6, -2, 2);
      const gpu::DeviceFloats A = random_floats(size_t(expand) * kWidth * kStates, -16, -1, 3), B = random_floats(mixing, -1, 1, 4), C = random_floats(mixing, -1, 1, 5);
      const gpu::DeviceFloats state = random_floats(size_t(expand) * kWidth * kStates, 0, 0, 8);
      gpu::DeviceFloats y(signal);
      const gpu::SelectiveScan scan({1, expand * kWidth, kStates, 1, frames, true, false, false});
      ms[expand - 1] = kernel_ms([&](cudaStream_t s) {
        scan.run({u.data(), delta.data(), A.data(), B.data(), C.data(), nullptr, nullptr, nullptr, state.data(), y.data()}, s);
      }, 7);
    }
    std::printf("%-7zu  %-10.3f  %.3f\n", frames, ms[0], ms[1]);
  }
  std::printf("\n");
}

// ---- whole models

std::string model_config(const std::string& mixer, int d_model, int layers) {
  return R"({"model_type": "coil", "d_input": 1, "d_output": 1, "d_model": )" + std::to_string(d_model) + R"(, "layers": [{"repeat": )" +
         std::to_string(layers) + R"(, "parts": [{"type": "rmsnorm", "name": "norm"}, {"name": "mixer", )" + mixer + "}]}]}";
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
  const char *mamba1 = R"("type": "mamba1", "d_state": 16)", *mamba2 = R"("type": "mamba2", "d_state": 16, "headdim": 8)",
             *s4d = R"("type": "s4d", "d_state": 16)";
  std::printf("whole models, 1 channel in and out, float32; audio seconds (48 kHz) per second: signals on the GPU, and from and to the host's memory\n"
              "model               batch  frames     ms       on GPU  from host  official  GPU memory MiB\n");
  for (const Work& w : {Work{"mamba1 16 x 2", mamba1, 16, 2, 1, 2880000, 701}, Work{"mamba1 16 x 2", mamba1, 16, 2, 64, 48000, 2747},
                        Work{"mamba1 64 x 4", mamba1, 64, 4, 1, 2880000, 285}, Work{"mamba1 64 x 4", mamba1, 64, 4, 64, 48000, 470},
                        Work{"mamba1 32 x 4", mamba1, 32, 4, 1, 2880000, 0}, Work{"mamba2 16 x 2", mamba2, 16, 2, 1, 2880000, 0},
                        Work{"mamba2 64 x 4", mamba2, 64, 4, 1, 2880000, 0}, Work{"s4d 16 x 4", s4d, 16, 4, 1, 2880000, 0}}) {
    const auto loaded = test::load(test::model_file(model_config(w.mixer, w.d_model, w.layers), 1));
    const auto model = loaded.model();
    const size_t values = w.batch * w.frames, before = memory_in_use();
    gpu::BatchedModel device(model, loaded.checkpoint);
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
      batch.push_back({&states[i], std::span(in).subspan(i * w.frames, w.frames), std::span(out).subspan(i * w.frames, w.frames)});
    const double host_ms = call_ms([&] { device.process(batch); });
    const double audio_ms = double(values) / kRate * 1e3;
    std::printf("%-18s  %-5zu  %-9zu  %-7.2f  %-6.0f  %-9.0f  %-8.0f  %.0f\n", w.name, w.batch, w.frames, on_gpu_ms, audio_ms / on_gpu_ms, audio_ms / host_ms,
                w.official, memory);
  }

  std::printf("\nmamba1 16 x 2, one signal on the GPU: ns a frame over length\nframes       ns      GPU memory of the model MiB\n");
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
    return argc == 1 || std::any_of(argv + 1, argv + argc, [&](const char* name) { return std::strcmp(name, table) == 0; });
  };
  const gpu::Device device = gpu::devices().front();
  std::printf("%s, %d multiprocessors, %.0f GiB\n", device.name.c_str(), device.multiprocessors, double(device.memory_bytes) / (1 << 30));
  const Ceilings c = ceilings();
  if (wanted("scan")) scan(c);
  if (wanted("models")) models();
  if (wanted("lengths")) lengths();
  if (wanted("exp2")) exp2_error();
  return 0;
}
