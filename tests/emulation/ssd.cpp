// The kernel of SSD on an emulated block against the recurrence in float64.
#include "gpu/intrinsics.cuh"

#include "gpu/ssd_kernels.cuh"
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
  int heads, headdim, d_state, groups, frames, chunk_frames;
  float dt_high = 0.1f;
  bool gate = true, bias = true;
};

std::ostream& operator<<(std::ostream& out, const Shape& s) {
  return out << s.heads << " heads of " << s.headdim << ", " << s.d_state << " states, " << s.groups << " groups, "
             << s.frames << " frames, chunks of " << s.chunk_frames << ", dt to " << s.dt_high;
}

// Two signals of different lengths; rows after a signal's frames are NaN.
struct Problem {
  Shape s;
  std::minstd_rand random;
  std::vector<gpu::SignalPart> signals;
  gpu::SegmentPlan plan;
  int channels, group_channels, mixing, states, bc_stride, dt_stride;
  std::vector<float> u, bc, z, dt, a, D, bias, y, table, before;
  gpu::SsdArguments ssd{};

  float uniform(float low, float high) { return std::uniform_real_distribution<float>(low, high)(random); }
  std::vector<float> fill(int width, float low, float high) {
    std::vector<float> values(plan.extent().rows() * size_t(width), std::nanf(""));
    for (size_t chunk = 0; chunk < plan.chunks.size(); ++chunk)
      for (size_t t = 0; t < size_t(plan.chunks[chunk].frames); ++t)
        for (size_t i = 0; i < size_t(width); ++i)
          values[(chunk * size_t(s.chunk_frames) + t) * size_t(width) + i] = uniform(low, high);
    return values;
  }

  explicit Problem(const Shape& shape)
      : s(shape),
        random(uint32_t(s.heads * 1000 + s.frames)),
        signals{{size_t(s.frames), 0, 1}, {size_t(s.frames + 1) / 2, 2, 3}},
        plan(gpu::plan_segment(signals, s.chunk_frames)),
        channels(s.heads * s.headdim),
        group_channels(channels / s.groups),
        mixing(s.groups * s.d_state),
        states(channels * s.d_state),
        bc_stride(2 * mixing + 1),  // B follows C, misaligned by one float
        dt_stride(s.heads + 3) {
    u = fill(channels, -1, 1), bc = fill(bc_stride, -1, 1), z = fill(channels, -3, 3);
    dt = fill(dt_stride, s.bias ? -6.0f : 1e-3f, s.bias ? -1.0f : s.dt_high);
    for (int h = 0; h < s.heads; ++h)
      a.push_back(uniform(-24, -1)), D.push_back(uniform(-1, 1)), bias.push_back(uniform(-1, 1));
    y.assign(plan.extent().rows() * size_t(channels), std::nanf(""));
    table.resize(size_t(4 * states));
    for (float& h : table) h = uniform(-1, 1);
    before = table;

    ssd.channels = channels, ssd.d_state = s.d_state, ssd.headdim = s.headdim, ssd.group_channels = group_channels;
    ssd.a = a.data(), ssd.dt = dt.data(), ssd.dt_stride = dt_stride;
    if (s.bias) ssd.dt_bias = bias.data(), ssd.dt_min = 2e-3f, ssd.dt_max = s.dt_high;
    ssd.u = u.data(), ssd.u_stride = channels;
    ssd.C = bc.data(), ssd.B = bc.data() + mixing, ssd.bc_stride = bc_stride;
    ssd.D = D.data();
    if (s.gate) ssd.z = z.data(), ssd.z_stride = channels;
    ssd.y = y.data(), ssd.y_stride = channels, ssd.table = table.data(), ssd.table_stride = size_t(states);
  }
};

template <gpu::Precision kPrecision, int kStates, int kTiles>
void run(Problem& p, int warps) {
  const Shape& s = p.s;
  const std::vector<gpu::Chunk>& chunks = p.plan.chunks;
  const size_t states = size_t(p.states);
  std::vector<float> carry(chunks.size() * states, std::nanf("")), sums(chunks.size() * size_t(s.heads), std::nanf(""));
  const auto start = [&]<bool kTrue>() {
    const int parts = p.channels / (16 * warps);
    emulation::Block block(
        unsigned(32 * warps),
        gpu::SsdShared<kPrecision, kStates, kTiles>{2 * warps, warps, kTrue, true}.floats() * sizeof(float), 1);
    const unsigned blocks = unsigned(chunks.size()) * unsigned(parts);
    for (unsigned i = 0; i < blocks; ++i)
      block.run(i, blocks, [&] {
        gpu::ssd_chunks<kPrecision, kStates, kTiles, kTrue, 8, 1>(p.ssd, carry.data(), sums.data(), chunks.data(),
                                                                  s.chunk_frames, parts);
      });
  };
  start.template operator()<false>();
  emulation::join_states(chunks, p.table, states, states, sums, size_t(s.headdim * s.d_state), carry);
  start.template operator()<true>();
}

// One signal, frame by frame.
void compare(const Problem& p, size_t signal, size_t first_row, Errors& errors) {
  const Shape& s = p.s;
  const size_t states = size_t(p.states);
  const float *old = p.before.data() + 2 * signal * states, *now = p.table.data() + (2 * signal + 1) * states;
  std::vector<double> h(old, old + states);
  for (size_t t = 0; t < p.signals[signal].frames; ++t) {
    const size_t row = first_row + t;
    for (int c = 0; c < p.channels; ++c) {
      const size_t head = size_t(c / s.headdim), at = row * size_t(p.channels) + size_t(c);
      double step = p.dt[row * size_t(p.dt_stride) + head];
      if (s.bias) step = std::clamp(std::log1p(std::exp(step + double(p.bias[head]))), 2e-3, double(s.dt_high));
      const double x = p.u[at], decay = std::exp2(step * double(p.a[head]));
      double sum = double(p.D[head]) * x;
      for (int n = 0; n < s.d_state; ++n) {
        const size_t mix = row * size_t(p.bc_stride) + size_t(c / p.group_channels * s.d_state + n);
        double& state = h[size_t(c * s.d_state + n)];
        state = decay * state + step * x * double(p.bc[mix + size_t(p.mixing)]);
        sum += state * double(p.bc[mix]);
      }
      if (s.gate) sum *= double(p.z[at]) / (1 + std::exp(-double(p.z[at])));
      Errors::take(errors.y, errors.peak_y, sum, p.y[at]);
    }
  }
  for (size_t i = 0; i < states; ++i) Errors::take(errors.state, errors.peak_state, h[i], now[i]);
}

template <gpu::Precision kPrecision, int kStates, int kTiles>
void check_shape(const Shape& s, int warps, double tolerance) {
  INFO(s << ", " << warps << " warps, spans of " << kTiles);
  Problem p(s);
  run<kPrecision, kStates, kTiles>(p, warps);
  Errors errors;
  for (size_t signal = 0, row = 0; signal < 2; ++signal) {
    compare(p, signal, row, errors);
    row += emulation::rows_of(p.signals[signal].frames, s.chunk_frames);
  }
  for (size_t chunk = 0; chunk < p.plan.chunks.size(); ++chunk)  // nothing is written after a signal
    for (size_t t = size_t(p.plan.chunks[chunk].frames); t < size_t(s.chunk_frames); ++t)
      CHECK(std::isnan(p.y[(chunk * size_t(s.chunk_frames) + t) * size_t(p.channels)]));
  CHECK(errors.y / errors.peak_y <= tolerance);
  CHECK(errors.state / errors.peak_state <= tolerance);
  if (kPrecision != gpu::Precision::float32) CHECK(errors.y > 1e-6);  // rounding has an effect
}

template <gpu::Precision kPrecision>
void check(double tolerance) {
  const auto at = [&]<int kStates>(const Shape& s, int warps) {
    check_shape<kPrecision, kStates, 1>(s, warps, tolerance);
    check_shape<kPrecision, kStates, 2>(s, warps, tolerance);
  };
  at.template operator()<16>({16, 8, 16, 1, 150, 64}, 8);  // two heads per warp
  at.template operator()<16>({4, 16, 16, 2, 33, 32}, 2);   // one head per warp, groups
  at.template operator()<16>({2, 24, 5, 1, 130, 128}, 3);  // one and a half heads per warp, the number of states is not
                                                           // a multiple of a tile
  at.template operator()<16>({4, 8, 16, 1, 1, 16, 0.1f, false}, 1);
  at.template operator()<16>({2, 16, 16, 1, 200, 96, 4.0f, true, false}, 2);  // decays to zero within a frame
  at.template operator()<64>({2, 64, 64, 1, 70, 64}, 4);                      // one head over four warps
  at.template operator()<64>({4, 32, 64, 2, 100, 16, 0.1f, false},
                             4);  // two heads per block; the second group is in the second block
  at.template operator()<64>({4, 32, 64, 2, 100, 128, 0.1f, false}, 4);
  at.template operator()<64>({1, 64, 50, 1, 70, 32, 0.1f, false, false}, 2);  // one head over two blocks
  at.template operator()<128>({2, 16, 128, 2, 40, 32}, 1);
}

TEST_CASE("SSD in matrix form agrees with the recurrence in float32") { check<gpu::Precision::float32>(2e-6); }
TEST_CASE("SSD in matrix form is as close as tf32 and bf16 allow") {
  check<gpu::Precision::tf32>(2e-3);
  check<gpu::Precision::bf16>(2e-2);
}

}  // namespace
