// The kernels of attention on an emulated block against the definition in float64.
#include "gpu/intrinsics.cuh"

#include "gpu/attention_kernels.cuh"
#include "tests/support/worst.h"

#include <catch2/catch.hpp>

#include <cmath>
#include <random>
#include <string>
#include <vector>

namespace {

using namespace coil;

struct Shape {
  int heads, kv_heads, headdim, window, frames, chunk_frames;
  uint64_t seen;
  bool sinks = false;
  float soft_cap = 0;
};

std::ostream& operator<<(std::ostream& out, const Shape& s) {
  return out << s.heads << " heads and " << s.kv_heads << " KV heads of " << s.headdim << ", window " << s.window
             << ", " << s.frames << " frames after " << s.seen << ", chunks of " << s.chunk_frames;
}

// One signal: its tensors, and its states before and after in rows 0 and 1 of the table.
struct Signal {
  Shape s;
  gpu::SegmentPlan plan;
  std::vector<float> q, k, v, y, sinks, table;
  size_t ring, stride;

  explicit Signal(const Shape& shape) : s(shape) {
    const std::vector<gpu::SignalPart> signals{{size_t(s.frames), 0, 1}};
    plan = gpu::plan_segment(signals, s.chunk_frames);
    std::minstd_rand random(uint32_t(s.frames * 100 + s.window));
    const auto fill = [&](size_t count) {
      std::vector<float> values(count);
      for (float& x : values) x = std::normal_distribution<float>()(random);
      return values;
    };
    const size_t rows = plan.extent().rows(), q_width = size_t(s.heads * s.headdim),
                 k_width = size_t(s.kv_heads * s.headdim);
    q = fill(rows * q_width), k = fill(rows * k_width), v = fill(rows * k_width), sinks = fill(size_t(s.heads));
    for (size_t i = size_t(s.frames) * k_width; i < k.size(); ++i) k[i] = v[i] = std::nanf("");  // after the signal
    y.assign(rows * q_width, std::nanf(""));
    ring = size_t(s.window) * k_width, stride = 2 * ring + 4;
    table = fill(2 * stride);
    table[2 * ring] = float(s.seen >> 20), table[2 * ring + 1] = float(s.seen & 0xfffff);
  }

  gpu::AttentionArguments arguments() {
    return {s.heads,  s.kv_heads, s.headdim, s.window, 0.3f,         s.soft_cap, s.sinks ? sinks.data() : nullptr,
            q.data(), k.data(),   v.data(),  y.data(), table.data(), 0,          ring,
            2 * ring, stride};
  }

  // Value i of the key (or value) of a frame; negative frames are in the ring of row 0.
  float remembered(const std::vector<float>& rows, size_t ring_at, int frame, int head, int i) const {
    if (frame >= 0) return rows[(size_t(frame) * size_t(s.kv_heads) + size_t(head)) * size_t(s.headdim) + size_t(i)];
    const size_t slot = size_t((s.seen + uint64_t(int64_t(frame))) % uint64_t(s.window));
    return table[ring_at + (size_t(head) * size_t(s.window) + slot) * size_t(s.headdim) + size_t(i)];
  }

  double expected(int frame, int head, int i) const {
    const int kv = head / (s.heads / s.kv_heads);
    double sum = s.sinks ? std::exp(double(sinks[size_t(head)])) : 0, y_i = 0;
    for (int f = std::max(frame - s.window + 1, -int(std::min<uint64_t>(s.seen, 10000))); f <= frame; ++f) {
      double score = 0;
      for (int n = 0; n < s.headdim; ++n)
        score += double(q[size_t((frame * s.heads + head) * s.headdim + n)]) * double(remembered(k, 0, f, kv, n));
      score *= double(0.3f);
      if (s.soft_cap > 0) score = double(s.soft_cap) * std::tanh(score / double(s.soft_cap));
      sum += std::exp(score);
      y_i += std::exp(score) * double(remembered(v, ring, f, kv, i));
    }
    return y_i / sum;
  }
};

template <gpu::Precision kPrecision, int kSteps>
void check(const Shape& s, double tolerance) {
  INFO(s);
  Signal signal(s);
  const gpu::AttentionArguments arguments = signal.arguments();
  const int parts = (s.chunk_frames + gpu::kQueries - 1) / gpu::kQueries;
  emulation::Block block(32 * gpu::kAttentionWarps, gpu::AttentionShared<kSteps>::kFloats * sizeof(float), 1);
  const unsigned blocks = unsigned(signal.plan.chunks.size()) * unsigned(parts * s.heads);
  for (unsigned i = 0; i < blocks; ++i)
    block.run(i, blocks,
              [&] { gpu::attend<kPrecision, kSteps>(arguments, signal.plan.chunks.data(), s.chunk_frames, parts); });
  double worst = 0;
  for (int t = 0; t < s.frames; ++t)
    for (int head = 0; head < s.heads; ++head)
      for (int i = 0; i < s.headdim; ++i) {
        const double error =
            std::abs(double(signal.y[size_t((t * s.heads + head) * s.headdim + i)]) - signal.expected(t, head, i));
        test::take_worst(worst, error);
      }
  CHECK(worst <= tolerance);
  if (kPrecision != gpu::Precision::float32) CHECK(worst > 1e-6);  // rounding has an effect

  emulation::Block writers(64, 0, 2);
  for (unsigned i = 0; i < 2; ++i)
    writers.run(i, 2, [&] {
      gpu::remember_keys(arguments, signal.plan.signals.data(), signal.plan.chunks.data(), s.chunk_frames, 2);
    });
  const uint64_t now = s.seen + uint64_t(s.frames);
  const float* after = signal.table.data() + signal.stride;
  CHECK(uint64_t(after[2 * signal.ring]) * (1 << 20) + uint64_t(after[2 * signal.ring + 1]) == now);
  size_t wrong = 0;
  for (int back = 1; back <= s.window; ++back)
    for (int head = 0; head < s.kv_heads; ++head)
      for (int i = 0; i < s.headdim; ++i) {
        const size_t slot = size_t((now + uint64_t(s.window) * 2 - uint64_t(back)) % uint64_t(s.window)),
                     at = (size_t(head) * size_t(s.window) + slot) * size_t(s.headdim) + size_t(i);
        if (s.frames - back < 0 && s.seen < uint64_t(back - s.frames)) continue;  // never written
        wrong += after[at] != signal.remembered(signal.k, 0, s.frames - back, head, i);
        wrong += after[signal.ring + at] != signal.remembered(signal.v, signal.ring, s.frames - back, head, i);
      }
  CHECK(wrong == 0);
}

TEST_CASE("attention over a window agrees with the definition in float32") {
  check<gpu::Precision::float32, 2>({4, 2, 20, 33, 100, 64, 7}, 2e-6);
  check<gpu::Precision::float32, 2>({2, 2, 6, 5, 70, 32, (uint64_t(3) << 40) + 12345, true}, 2e-6);
  check<gpu::Precision::float32, 2>({1, 1, 32, 200, 150, 128, 1000, false, 3.0f}, 2e-6);
  check<gpu::Precision::float32, 4>({2, 1, 64, 1, 20, 16, 0, true, 3.0f}, 2e-6);
  check<gpu::Precision::float32, 8>({1, 1, 80, 16, 17, 16, 16}, 2e-6);
  check<gpu::Precision::float32, 2>({3, 1, 2, 100, 1, 16, 0}, 2e-6);
}

TEST_CASE("attention is as close as tf32 and bf16 allow") {
  check<gpu::Precision::tf32, 2>({4, 2, 20, 33, 100, 64, 7}, 3e-3);
  check<gpu::Precision::bf16, 2>({4, 2, 20, 33, 100, 64, 7}, 3e-2);
}

}  // namespace
