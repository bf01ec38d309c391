// The kernel of SSD on an emulated block against the recurrence in float64.
#include "gpu/intrinsics.cuh"

#include "gpu/ssd_kernels.cuh"

#include <catch2/catch.hpp>

#include <cmath>
#include <random>
#include <string>
#include <vector>

namespace {

using namespace coil;

struct Shape {
  int heads, headdim, d_state, groups, frames, chunk_frames;
  float dt_high = 0.1f;
  bool gate = true, bias = true;
};

std::ostream& operator<<(std::ostream& out, const Shape& s) {
  return out << s.heads << " heads of " << s.headdim << ", " << s.d_state << " states, " << s.groups << " groups, "
             << s.frames << " frames, chunks of " << s.chunk_frames << ", dt to " << s.dt_high;
}

struct Errors {
  double y = 0, state = 0;
};

// Two signals of different lengths through all steps; rows after a signal's frames are NaN.
template <gpu::Precision kPrecision, int kStates, int kTiles>
Errors run(const Shape& s, int warps) {
  std::minstd_rand random(uint32_t(s.heads * 1000 + s.frames));
  const auto uniform = [&](float low, float high) { return std::uniform_real_distribution<float>(low, high)(random); };
  const int channels = s.heads * s.headdim, group_channels = channels / s.groups, mixing = s.groups * s.d_state,
            states = channels * s.d_state;
  const std::vector<gpu::SignalPart> signals{{size_t(s.frames), 0, 1}, {size_t(s.frames + 1) / 2, 2, 3}};
  const gpu::SegmentPlan plan = gpu::plan_segment(signals, s.chunk_frames);
  const size_t rows = plan.extent().rows();
  const auto fill = [&](size_t width, float low, float high) {
    std::vector<float> values(rows * width, std::nanf(""));
    for (size_t chunk = 0; chunk < plan.chunks.size(); ++chunk)
      for (size_t t = 0; t < size_t(plan.chunks[chunk].frames); ++t)
        for (size_t i = 0; i < width; ++i)
          values[(chunk * size_t(s.chunk_frames) + t) * width + i] = uniform(low, high);
    return values;
  };
  // B follows C, misaligned by one float.
  const int bc_stride = 2 * mixing + 1, dt_stride = s.heads + 3;
  const std::vector<float> u = fill(size_t(channels), -1, 1), bc = fill(size_t(bc_stride), -1, 1),
                           z = fill(size_t(channels), -3, 3);
  const std::vector<float> dt = fill(size_t(dt_stride), s.bias ? -6.0f : 1e-3f, s.bias ? -1.0f : s.dt_high);
  std::vector<float> a, D, bias, y(rows * size_t(channels), std::nanf("")), table(size_t(4 * states));
  for (int h = 0; h < s.heads; ++h)
    a.push_back(uniform(-24, -1)), D.push_back(uniform(-1, 1)), bias.push_back(uniform(-1, 1));
  for (float& h : table) h = uniform(-1, 1);
  std::vector<float> carry(plan.chunks.size() * size_t(states), std::nanf("")),
      sums(plan.chunks.size() * size_t(s.heads), std::nanf(""));
  const std::vector<float> before = table;

  gpu::SsdArguments ssd{};
  ssd.channels = channels, ssd.d_state = s.d_state, ssd.headdim = s.headdim, ssd.group_channels = group_channels;
  ssd.a = a.data(), ssd.dt = dt.data(), ssd.dt_stride = dt_stride;
  if (s.bias) ssd.dt_bias = bias.data(), ssd.dt_min = 2e-3f, ssd.dt_max = s.dt_high;
  ssd.u = u.data(), ssd.u_stride = channels;
  ssd.C = bc.data(), ssd.B = bc.data() + mixing, ssd.bc_stride = bc_stride;
  ssd.D = D.data();
  if (s.gate) ssd.z = z.data(), ssd.z_stride = channels;
  ssd.y = y.data(), ssd.y_stride = channels, ssd.table = table.data(), ssd.table_stride = size_t(states);
  const auto start = [&]<bool kTrue>() {
    const int parts = channels / (16 * warps);
    emulation::Block block(
        unsigned(32 * warps),
        gpu::SsdShared<kPrecision, kStates, kTiles>{2 * warps, warps, kTrue, true}.floats() * sizeof(float), 1);
    for (unsigned i = 0; i < unsigned(plan.chunks.size()) * unsigned(parts); ++i)
      block.run(i, unsigned(plan.chunks.size()) * unsigned(parts), [&] {
        gpu::ssd_chunks<kPrecision, kStates, kTiles, kTrue, 8, 1>(ssd, carry.data(), sums.data(), plan.chunks.data(),
                                                                  s.chunk_frames, parts);
      });
  };
  start.template operator()<false>();
  // the join, one chunk after another
  for (size_t chunk = 0; chunk < plan.chunks.size(); ++chunk) {
    const gpu::Chunk& c = plan.chunks[chunk];
    for (int i = 0; i < states; ++i) {
      float& h = carry[chunk * size_t(states) + size_t(i)];
      const float end = h;
      static std::vector<float> running;
      running.resize(size_t(states));
      if (c.first) running[size_t(i)] = table[size_t(c.state_in) * size_t(states) + size_t(i)];
      h = running[size_t(i)];
      if (!c.last)
        running[size_t(i)] = std::exp2(sums[chunk * size_t(s.heads) + size_t(i / (s.headdim * s.d_state))]) * h + end;
    }
  }
  start.template operator()<true>();

  Errors errors;
  double peak_y = 1, peak_state = 1;
  for (size_t signal = 0, row = 0; signal < 2; ++signal) {
    std::vector<double> h(before.begin() + ptrdiff_t(2 * signal * size_t(states)),
                          before.begin() + ptrdiff_t((2 * signal + 1) * size_t(states)));
    for (size_t t = 0; t < signals[signal].frames; ++t) {
      const size_t r = row + t;
      for (int c = 0; c < channels; ++c) {
        const int head = c / s.headdim, group = c / group_channels;
        double step = dt[r * size_t(dt_stride) + size_t(head)];
        if (s.bias) step = std::clamp(std::log1p(std::exp(step + double(bias[size_t(head)]))), 2e-3, double(s.dt_high));
        const double x = u[r * size_t(channels) + size_t(c)], decay = std::exp2(step * double(a[size_t(head)]));
        double sum = double(D[size_t(head)]) * x;
        for (int n = 0; n < s.d_state; ++n) {
          const size_t at = r * size_t(bc_stride) + size_t(group * s.d_state + n);
          double& state = h[size_t(c * s.d_state + n)];
          state = decay * state + step * x * double(bc[at + size_t(mixing)]);
          sum += state * double(bc[at]);
        }
        if (s.gate) {
          const double gate = z[r * size_t(channels) + size_t(c)];
          sum *= gate / (1 + std::exp(-gate));
        }
        peak_y = std::max(peak_y, std::abs(sum));
        const double difference = std::abs(sum - double(y[r * size_t(channels) + size_t(c)]));
        errors.y = difference <= errors.y ? errors.y : difference;  // NaN shows
      }
    }
    for (int i = 0; i < states; ++i) {
      peak_state = std::max(peak_state, std::abs(h[size_t(i)]));
      const double difference = std::abs(h[size_t(i)] - double(table[(2 * signal + 1) * size_t(states) + size_t(i)]));
      errors.state = difference <= errors.state ? errors.state : difference;
    }
    row += (signals[signal].frames + size_t(s.chunk_frames) - 1) / size_t(s.chunk_frames) * size_t(s.chunk_frames);
  }
  for (size_t chunk = 0; chunk < plan.chunks.size(); ++chunk)  // nothing is written after a signal
    for (size_t t = size_t(plan.chunks[chunk].frames); t < size_t(s.chunk_frames); ++t)
      CHECK(std::isnan(y[(chunk * size_t(s.chunk_frames) + t) * size_t(channels)]));
  return {errors.y / peak_y, errors.state / peak_state};
}

template <gpu::Precision kPrecision>
void check(double tolerance) {
  const auto in_spans = [&]<int kStates, int kTiles>(const Shape& s, int warps) {
    const Errors errors = run<kPrecision, kStates, kTiles>(s, warps);
    INFO(s << ", " << warps << " warps, spans of " << kTiles);
    CHECK(errors.y <= tolerance);
    CHECK(errors.state <= tolerance);
    if (kPrecision != gpu::Precision::float32) CHECK(errors.y > 1e-6);  // rounding has an effect
  };
  const auto at = [&]<int kStates>(const Shape& s, int warps) {
    in_spans.template operator()<kStates, 1>(s, warps);
    in_spans.template operator()<kStates, 2>(s, warps);
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
