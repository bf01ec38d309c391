// The kernels of Mamba-3's recurrence on an emulated block against the recurrence in float64.
#include "gpu/intrinsics.cuh"

#include "gpu/mamba3_bf16_kernels.cuh"
#include "tests/emulation/segments.h"

#include <catch2/catch.hpp>

#include <cmath>
#include <random>
#include <string>
#include <vector>

namespace {

using namespace coil;
using emulation::Errors;

struct Shape {
  int heads, headdim, d_state, groups, rank, angles;
  bool halves;
  int frames, chunk_frames;
  float decay_high = 0.3f;
  bool gate = false;
};

std::ostream& operator<<(std::ostream& out, const Shape& s) {
  return out << s.heads << " heads of " << s.headdim << ", " << s.d_state << " states, " << s.groups << " groups, rank "
             << s.rank << ", " << s.angles << " angles, " << s.frames << " frames, chunks of " << s.chunk_frames;
}

// Two signals of different lengths; rows after a signal's frames are NaN.
struct Problem {
  Shape s;
  std::minstd_rand random;
  std::vector<gpu::SignalPart> signals;
  gpu::SegmentPlan plan;
  size_t rows, inner, states, stride;
  std::vector<double> dt, speed;
  std::vector<float> decay, gamma, beta, bc, B_bias, C_bias, x, mimo_x, mimo_z, mimo_o, D, z, y, table, before;
  gpu::Mamba3Arguments m{};

  template <class T>
  std::vector<T> fill(size_t width, double low, double high) {
    std::vector<T> values(rows * width, T(std::nanf("")));
    for (size_t chunk = 0; chunk < plan.chunks.size(); ++chunk)
      for (size_t t = 0; t < size_t(plan.chunks[chunk].frames); ++t)
        for (size_t i = 0; i < width; ++i)
          values[(chunk * size_t(s.chunk_frames) + t) * width + i] = T(uniform(low, high));
    return values;
  }
  double uniform(double low, double high) { return std::uniform_real_distribution<double>(low, high)(random); }
  std::vector<float> weights(size_t count) {
    std::vector<float> values(count);
    for (float& value : values) value = float(uniform(-1, 1));
    return values;
  }

  explicit Problem(const Shape& shape)
      : s(shape),
        random(uint32_t(s.heads * 1000 + s.frames)),
        signals{{size_t(s.frames), 0, 1}, {size_t(s.frames + 1) / 2, 2, 3}} {
    plan = gpu::plan_segment(signals, s.chunk_frames);
    rows = plan.extent().rows(), inner = size_t(s.heads * s.headdim), states = inner * size_t(s.d_state);
    const size_t heads = size_t(s.heads), mixing = size_t(s.rank * s.groups * s.d_state), bc_stride = 2 * mixing + 4;
    dt = fill<double>(heads, 0.01, 2), speed = fill<double>(size_t(s.angles), -0.5, 0.5);
    decay = fill<float>(heads, -double(s.decay_high), -1e-4), gamma = fill<float>(heads, 0, 1);
    beta = fill<float>(heads, 0, 1), bc = fill<float>(bc_stride, -1, 1), x = fill<float>(inner, -1, 1);
    z = fill<float>(inner, -3, 3);
    B_bias = weights(heads * size_t(s.rank * s.d_state)), C_bias = weights(B_bias.size());
    mimo_x = weights(size_t(s.rank) * inner), D = weights(heads);
    mimo_z = weights(mimo_x.size()), mimo_o = weights(mimo_x.size());
    y.assign(rows * size_t(s.rank) * inner, std::nanf(""));
    m.heads = s.heads, m.headdim = s.headdim, m.d_state = s.d_state, m.groups = s.groups, m.rank = s.rank;
    m.angles = s.angles, m.halves = s.halves, m.dt = dt.data(), m.speed = speed.data(), m.decay = decay.data();
    m.gamma = gamma.data(), m.beta = beta.data(), m.B = bc.data(), m.C = bc.data() + mixing;
    m.bc_stride = int(bc_stride), m.B_bias = B_bias.data(), m.C_bias = C_bias.data(), m.x = x.data();
    m.x_stride = int(inner), m.mimo_x = s.halves ? mimo_x.data() : nullptr, m.D = D.data();
    m.mimo_z = mimo_z.data(), m.mimo_o = mimo_o.data(), m.z = s.gate ? z.data() : nullptr, m.z_stride = int(inner),
    m.y = y.data();
    m.ssm_at = 0, m.k_at = states, m.v_at = m.k_at + size_t(s.rank * s.d_state) * heads, m.angle_at = m.v_at + inner;
    m.rest_at = m.angle_at + heads * size_t(s.angles), m.table_stride = stride = m.rest_at + heads * size_t(s.angles);
    table = weights(4 * stride);
    for (size_t row = 0; row < 4; ++row)
      for (size_t i = m.rest_at; i < stride; ++i) table[row * stride + i] *= 1e-8f;
    before = table;
    m.table = table.data();
  }
};

// chunks.operator()<kTrue>(p, carry, sums, turns) runs the scan's kernel over all chunks.
template <class Chunks>
void run(Problem& p, const Chunks& run_chunks) {
  const Shape& s = p.s;
  const gpu::Mamba3Arguments& m = p.m;
  const std::vector<gpu::Chunk>& chunks = p.plan.chunks;
  std::vector<float> carry(chunks.size() * p.states, std::nanf("")),
      sums(chunks.size() * size_t(s.heads), std::nanf(""));
  const size_t angles = size_t(s.heads * s.angles), turns_count = chunks.size() * angles;
  std::vector<uint64_t> turns(turns_count), totals(turns_count);
  const auto run_simple = [&](unsigned blocks, size_t shared, const auto& kernel) {
    emulation::Block block(gpu::kElementThreads, shared, 3);
    for (unsigned i = 0; i < blocks; ++i) block.run(i, blocks, kernel);
  };
  run_simple(unsigned(chunks.size()) * unsigned(s.heads), gpu::kElementThreads * sizeof(uint64_t),
             [&] { gpu::sum_turns(m, turns.data(), totals.data(), chunks.data(), s.chunk_frames); });
  run_simple(4, 0, [&] { gpu::take_frame_before(m, p.plan.signals.data(), s.chunk_frames, 2); });
  const gpu::JoinBuffers<gpu::Turns> buffers{int(angles), nullptr, p.table.data() + m.angle_at, p.stride,
                                             m.rest_at - m.angle_at};
  for (size_t i = 0; i < angles; ++i) {
    uint64_t sum = 0;
    for (size_t chunk = 0; chunk < chunks.size(); ++chunk) {
      if (chunks[chunk].first) sum = buffers.initial(chunks[chunk].state_in, int(i)).value;
      sum += std::exchange(turns[chunk * angles + i], sum);
    }
  }
  run_chunks.template operator()<false>(carry.data(), sums.data(), turns.data());
  emulation::join_states(chunks, p.table, p.stride, p.states, sums, size_t(s.headdim * s.d_state), carry);
  run_chunks.template operator()<true>(carry.data(), sums.data(), turns.data());
  run_simple(unsigned(2 * s.heads), size_t(s.angles) * sizeof(uint64_t), [&] {
    gpu::remember_frame(m, turns.data(), totals.data(), p.plan.signals.data(), chunks.data(), s.chunk_frames);
  });
}

// One head of one signal, frame by frame.
void compare(const Problem& p, size_t signal, size_t first_row, int head, Errors& errors) {
  const Shape& s = p.s;
  const gpu::Mamba3Arguments& m = p.m;
  const float *old = p.before.data() + 2 * signal * p.stride, *now = p.table.data() + (2 * signal + 1) * p.stride;
  const size_t N = size_t(s.d_state), P = size_t(s.headdim), R = size_t(s.rank), A = size_t(s.angles),
               h0 = size_t(head);
  std::vector<double> h(old + h0 * P * N, old + (h0 + 1) * P * N), k,
      v(old + m.v_at + h0 * P, old + m.v_at + (h0 + 1) * P), angle;
  for (size_t r = 0; r < R; ++r)
    for (size_t n = 0; n < N; ++n) k.push_back(double(old[m.k_at + (r * size_t(s.heads) + h0) * N + n]));
  for (size_t i = 0; i < A; ++i)
    angle.push_back(double(old[m.angle_at + h0 * A + i]) + double(old[m.rest_at + h0 * A + i]));
  const auto up = [&](size_t r, size_t c) { return s.halves ? double(p.mimo_x[(h0 * R + r) * P + c]) : 1.0; };
  for (size_t t = 0; t < p.signals[signal].frames; ++t) {
    const size_t row = first_row + t, at = row * size_t(s.heads) + h0;
    for (size_t i = 0; i < A; ++i) angle[i] += p.dt[at] * p.speed[row * A + i];
    const auto rotated = [&](const float* from, const std::vector<float>& bias) {
      std::vector<double> to;
      for (size_t r = 0; r < R; ++r) {
        const size_t group = size_t(head / (s.heads / s.groups));
        for (size_t n = 0; n < N; ++n)
          to.push_back(double(from[row * size_t(m.bc_stride) + (r * size_t(s.groups) + group) * N + n]) +
                       double(bias[(h0 * R + r) * N + n]));
        for (size_t i = 0; i < A; ++i) {
          double &a = to[r * N + (s.halves ? i : 2 * i)], &b = to[r * N + (s.halves ? i + N / 2 : 2 * i + 1)];
          const double c = std::cos(2 * M_PI * angle[i]), d = std::sin(2 * M_PI * angle[i]), before = a;
          a = before * c - b * d, b = before * d + b * c;
        }
      }
      return to;
    };
    const std::vector<double> q = rotated(m.C, p.C_bias), k_now = rotated(m.B, p.B_bias);
    const double a = std::exp2(double(p.decay[at]));
    for (size_t c = 0; c < P; ++c) {
      const double x = double(p.x[row * p.inner + h0 * P + c]);
      for (size_t n = 0; n < N; ++n) {
        double last = 0, own = 0;
        for (size_t r = 0; r < R; ++r) last += k[r * N + n] * up(r, c), own += k_now[r * N + n] * up(r, c);
        double& state = h[c * N + n];
        state = a * (state + double(p.beta[at]) * last * v[c]) + double(p.gamma[at]) * own * x;
      }
      v[c] = x;
      double together = 0;
      for (size_t r = 0; r < R; ++r) {
        const size_t weight = (h0 * R + r) * P + c;
        double sum = double(p.D[h0]) * x * up(r, c);
        for (size_t n = 0; n < N; ++n) sum += q[r * N + n] * h[c * N + n];
        const double z = double(p.z[row * p.inner + h0 * P + c]) * (R > 1 ? double(p.mimo_z[weight]) : 1);
        if (s.gate)
          together += sum * z / (1 + std::exp(-z)) * (R > 1 ? double(p.mimo_o[weight]) : 1);
        else
          Errors::take(errors.y, errors.peak_y, sum, p.y[(row * R + r) * p.inner + h0 * P + c]);
      }
      if (s.gate) Errors::take(errors.y, errors.peak_y, together, p.y[row * p.inner + h0 * P + c]);
    }
    k = k_now;
  }
  for (size_t i = 0; i < P * N; ++i) Errors::take(errors.state, errors.peak_state, h[i], now[h0 * P * N + i]);
  for (size_t r = 0; r < R; ++r)
    for (size_t n = 0; n < N; ++n)
      Errors::take(errors.state, errors.peak_state, k[r * N + n], now[m.k_at + (r * size_t(s.heads) + h0) * N + n]);
  for (size_t c = 0; c < P; ++c) CHECK(float(v[c]) == now[m.v_at + h0 * P + c]);
  for (size_t i = 0; i < A; ++i) {
    const double found = double(now[m.angle_at + h0 * A + i]) + double(now[m.rest_at + h0 * A + i]);
    CHECK(std::abs(std::remainder(found - angle[i], 1.0)) <= 1e-13);
  }
}

void compare_all(const Problem& p, double tolerance, bool rounds) {
  Errors errors;
  for (size_t signal = 0, row = 0; signal < 2; ++signal) {
    for (int head = 0; head < p.s.heads; ++head) compare(p, signal, row, head, errors);
    row += emulation::rows_of(p.signals[signal].frames, p.s.chunk_frames);
  }
  CHECK(errors.y / errors.peak_y <= tolerance);
  CHECK(errors.state / errors.peak_state <= tolerance);
  if (rounds) CHECK(errors.y > 1e-6);  // rounding has an effect
}

template <gpu::Precision kPrecision, int kStates, int kTiles>
void check_shape(const Shape& s, int warps, double tolerance) {
  INFO(s << ", " << warps << " warps, spans of " << kTiles);
  Problem p(s);
  run(p, [&]<bool kTrue>(float* carry, float* sums, const uint64_t* turns) {
    const int parts = ((s.headdim + 15) / 16 + warps - 1) / warps;
    const gpu::Mamba3Shared<kPrecision, kStates, kTiles> shared{warps, s.rank,          s.angles,
                                                                kTrue, kTrue && s.gate, p.m.mimo_x != nullptr};
    emulation::Block block(unsigned(32 * warps), shared.floats() * sizeof(float), 1);
    const unsigned blocks = unsigned(p.plan.chunks.size()) * unsigned(s.heads * parts);
    for (unsigned i = 0; i < blocks; ++i)
      block.run(i, blocks, [&] {
        gpu::mamba3_chunks<kPrecision, kStates, kTiles, kTrue, 4, 1>(p.m, carry, sums, turns, p.plan.chunks.data(),
                                                                     s.chunk_frames, parts);
      });
  });
  compare_all(p, tolerance, kPrecision != gpu::Precision::float32);
}

// The same with the kernel for common sizes.
template <int kStates, int kRank>
void check_bf16(const Shape& s) {
  INFO(s << ", bf16");
  Problem p(s);
  run(p, [&]<bool kTrue>(float* carry, float* sums, const uint64_t* turns) {
    const int users = s.headdim / 16;
    emulation::Block block(unsigned(32 * (gpu::kFastMakers + gpu::kFastHeads * users)),
                           gpu::FastShared<kStates, kRank>{users, kTrue}.floats() * sizeof(float), 1);
    const unsigned blocks = unsigned(p.plan.chunks.size()) * unsigned(s.heads / gpu::kFastHeads);
    for (unsigned i = 0; i < blocks; ++i)
      block.run(i, blocks, [&] {
        gpu::mamba3_bf16_chunks<kStates, kRank, kTrue>(p.m, carry, sums, turns, p.plan.chunks.data(), s.chunk_frames);
      });
  });
  compare_all(p, 3e-2, true);
}

template <gpu::Precision kPrecision>
void check(double tolerance) {
  const auto at = [&]<int kStates>(const Shape& s, int warps) {
    check_shape<kPrecision, kStates, 1>(s, warps, tolerance);
    check_shape<kPrecision, kStates, 2>(s, warps, tolerance);
  };
  at.template operator()<16>({2, 16, 16, 1, 1, 4, false, 100, 32}, 1);
  at.template operator()<16>({2, 4, 8, 2, 1, 4, false, 33, 16, 0.3f, true}, 1);   // fewer channels than a warp's
  at.template operator()<16>({1, 40, 7, 1, 1, 3, false, 70, 64, 0.3f, true}, 2);  // odd states, two parts
  at.template operator()<16>({2, 16, 16, 1, 1, 8, false, 60, 48, 9.0f}, 1);       // decays to zero within a tile
  at.template operator()<16>({2, 12, 16, 1, 4, 4, true, 50, 32, 0.3f, true}, 1);
  at.template operator()<16>({1, 24, 16, 1, 8, 4, true, 30, 16, 0.3f, true}, 2);
  at.template operator()<16>({2, 7, 16, 1, 2, 4, true, 30, 16, 0.3f, true}, 1);
  at.template operator()<16>({2, 16, 12, 2, 2, 6, true, 40, 32, 9.0f}, 1);
  at.template operator()<16>({2, 8, 7, 2, 1, 3, true, 40, 32}, 1);
  at.template operator()<16>({1, 7, 9, 1, 3, 2, true, 45, 16}, 1);  // unused rows, an unpaired state
  at.template operator()<64>({1, 32, 64, 1, 1, 32, false, 70, 64, 0.3f, true}, 2);
  at.template operator()<128>({1, 16, 128, 1, 4, 32, true, 20, 16}, 1);
}

TEST_CASE("Mamba-3's scan agrees with the recurrence in float32") { check<gpu::Precision::float32>(3e-6); }
TEST_CASE("Mamba-3's scan is as close as tf32 and bf16 allow") {
  check<gpu::Precision::tf32>(3e-3);
  check<gpu::Precision::bf16>(3e-2);
}

TEST_CASE("Mamba-3's scan of common sizes is as close as bf16 allows") {
  check_bf16<64, 1>({4, 16, 64, 2, 1, 16, false, 100, 64, 0.3f, true});
  check_bf16<64, 1>({2, 64, 64, 1, 1, 32, false, 40, 32, 0.3f, true});
  check_bf16<64, 1>({2, 16, 64, 1, 1, 5, false, 33, 16, 9.0f, true});
  check_bf16<64, 4>({2, 32, 64, 1, 4, 16, true, 50, 32, 0.3f, true});
  check_bf16<64, 4>({4, 16, 64, 2, 4, 32, true, 21, 16, 9.0f, true});
  check_bf16<128, 1>({2, 16, 128, 1, 1, 32, false, 70, 48, 0.3f, true});
  check_bf16<128, 1>({2, 16, 128, 1, 1, 64, false, 150, 160, 0.3f, true});  // all states rotate, five spans
  check_bf16<128, 4>({2, 32, 128, 1, 4, 32, true, 60, 48, 0.3f, true});
  check_bf16<128, 4>({2, 16, 128, 1, 4, 60, true, 17, 16, 0.3f, true});
}

}  // namespace
