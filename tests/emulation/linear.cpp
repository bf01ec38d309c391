// The kernels of projections on an emulated block against sums in float64.
#include "gpu/intrinsics.cuh"

#include "gpu/linear_kernels.cuh"
#include "tests/support/worst.h"

#include <catch2/catch.hpp>

#include <cmath>
#include <functional>
#include <random>
#include <utility>
#include <vector>

namespace {

using namespace coil;

// out = W norm(in) + b for random numbers, some of them much smaller than others.
struct Work {
  int d_in, d_out;
  size_t rows;
  int in_stride, out_stride;
  bool accumulate, normalise;
  int offset = 0;  // of in and out, relative to a vector boundary
};

class Problem {
 public:
  explicit Problem(const Work& w) : work_(w), random_(uint32_t(w.d_in * 100 + w.d_out)) {
    in_ = floats(w.rows * size_t(w.in_stride) + 4), weight_ = floats(size_t(w.d_in) * size_t(w.d_out));
    for (size_t i = 0; i < in_.size(); i += 7) in_[i] *= std::exp2(float(i % 5) * -9);
    bias_ = floats(size_t(w.d_out));
    bias_.resize(size_t(w.d_out + 31) / 32 * 32, 0.0f);
    before_ = out_ = floats(w.rows * size_t(w.out_stride) + 4);
  }

  float weight(int output, int input) const { return weight_[size_t(output * work_.d_in + input)]; }
  gpu::LinearArguments arguments(const void* weight, float weight_scale) {
    return {weight,
            weight_scale,
            bias_.data(),
            work_.d_in,
            work_.d_out,
            in_.data() + work_.offset,
            work_.in_stride,
            out_.data() + work_.offset,
            work_.out_stride,
            work_.rows,
            work_.accumulate,
            work_.normalise,
            kEps};
  }

  // The largest difference from sums in float64, relative to max(1, peak), including the gaps between the rows of
  // `out`.
  double error() const {
    double worst = 0, peak = 1;
    for (size_t row = 0; row < work_.rows; ++row) {
      const float* in = in_.data() + size_t(work_.offset) + row * size_t(work_.in_stride);
      double squares = 0;
      for (int k = 0; k < work_.d_in; ++k) squares += std::pow(double(in[k]), 2);
      const double scale = work_.normalise ? 1 / std::sqrt(squares / work_.d_in + double(kEps)) : 1;
      for (int o = 0; o < work_.out_stride; ++o) {
        const size_t at = size_t(work_.offset) + row * size_t(work_.out_stride) + size_t(o);
        double sum = before_[at];
        if (o < work_.d_out) {
          sum = work_.accumulate ? sum : 0;
          for (int k = 0; k < work_.d_in; ++k) sum += scale * double(in[k]) * double(weight(o, k));
          sum += double(bias_[size_t(o)]);
        }
        peak = std::max(peak, std::abs(sum));
        const double difference = std::abs(sum - double(out_[at]));
        test::take_worst(worst, difference);
      }
    }
    return worst / peak;
  }

 private:
  static constexpr float kEps = 0.03f;

  std::vector<float> floats(size_t count) {
    std::vector<float> values(count);
    for (float& x : values) x = std::uniform_real_distribution<float>(-1, 1)(random_);
    return values;
  }

  Work work_;
  std::minstd_rand random_;
  std::vector<float> in_, weight_, bias_, before_, out_;
};

void run_blocks(unsigned threads, size_t shared_bytes, unsigned blocks, const std::function<void()>& kernel) {
  emulation::Block block(threads, shared_bytes, 2);
  for (unsigned i = 0; i < blocks; ++i) block.run(i, blocks, kernel);
}

// With so few warps and blocks that each processes several tiles.
template <gpu::Precision kPrecision, int kSteps>
double error_of(const Work& work, int parts) {
  using Shape = gpu::ProjectShape<kPrecision, kSteps>;
  constexpr unsigned kWarps = 2;
  constexpr int kExponent = 15;  // weights are below 1
  Problem problem(work);
  std::vector<uint32_t> words;
  for (int first_input = 0; first_input < work.d_in; first_input += Shape::kInputs)
    gpu::pack_weight<kPrecision, kSteps>(
        first_input, work.d_in, work.d_out, [&](int o, int i) { return std::ldexp(problem.weight(o, i), kExponent); },
        words);
  gpu::LinearArguments arguments = problem.arguments(words.data(), std::ldexp(1.0f, -kExponent));
  const int output_blocks = (work.d_out + Shape::kOutputs - 1) / Shape::kOutputs,
            part_blocks = (output_blocks + parts - 1) / parts;
  const size_t shared_bytes =
      size_t(part_blocks * Shape::kWeightVectors + int(kWarps) * Shape::kRowVectors) * sizeof(float4);
  for (int first_input = 0; first_input < work.d_in; first_input += Shape::kInputs) {
    run_blocks(32 * kWarps, shared_bytes, unsigned(parts),
               [&] { gpu::project<kPrecision, kSteps>(arguments, {}, first_input, parts, part_blocks); });
    arguments.weight = static_cast<const float4*>(arguments.weight) + output_blocks * Shape::kWeightVectors;
    arguments.accumulate = true;
    arguments.bias = nullptr;
  }
  return problem.error();
}

template <gpu::Precision kPrecision>
void check(double tolerance) {
  CHECK(error_of<kPrecision, 4>({64, 304, 130, 64, 304, false, true}, 1) <=
        tolerance);  // with a norm before it, three tiles per warp
  CHECK(error_of<kPrecision, 8>({128, 64, 40, 128, 64, true, true}, 1) <= tolerance);  // accumulating
  CHECK(error_of<kPrecision, 8>({300, 72, 20, 304, 76, true, true}, 2) <=
        tolerance);  // three times 128 inputs, two parts of outputs
  CHECK(error_of<kPrecision, 4>({50, 19, 33, 57, 23, true, false, 1}, 1) <= tolerance);  // no vectors
  CHECK(error_of<kPrecision, 2>({9, 9, 1, 12, 10, false, true}, 1) <= tolerance);
  if (kPrecision != gpu::Precision::float32)
    CHECK(error_of<kPrecision, 4>({64, 64, 32, 64, 64, false, false}, 1) > 1e-6);  // rounding has an effect
}

TEST_CASE("projections on the tensor cores agree with sums in float64 in float32") {
  check<gpu::Precision::float32>(1e-6);
}
TEST_CASE("projections on the tensor cores are as close as tf32 and bf16 allow") {
  check<gpu::Precision::tf32>(1e-3);
  check<gpu::Precision::bf16>(1e-2);
}

TEST_CASE("in float32 rows of any magnitude have the same accuracy, and non-finite values stay so") {
  using Shape = gpu::ProjectShape<gpu::Precision::float32, 2>;
  const auto project = [](float factor) {
    std::vector<float> in(32 * 32), bias(32, 0.0f), out(32 * 16);
    for (size_t i = 0; i < in.size(); ++i) in[i] = std::sin(float(i)) * factor;
    std::vector<uint32_t> words;
    gpu::pack_weight<gpu::Precision::float32, 2>(
        0, 32, 16, [](int o, int i) { return std::cos(float(o * 32 + i)) * 0x1p14f; }, words);
    const gpu::LinearArguments arguments{words.data(), 0x1p-14f, bias.data(), 32,    16,    in.data(), 32,
                                         out.data(),   16,       32,          false, false, 0};
    run_blocks(32, size_t(Shape::kWeightVectors + Shape::kRowVectors) * sizeof(float4), 1,
               [&] { gpu::project<gpu::Precision::float32, 2>(arguments, {}, 0, 1, 1); });
    return out;
  };
  const std::vector<float> as_they_are = project(1);
  for (const int power : {-60, 100}) {
    const std::vector<float> scaled = project(std::ldexp(1.0f, power));
    for (size_t i = 0; i < scaled.size(); ++i) REQUIRE(scaled[i] == std::ldexp(as_they_are[i], power));
  }
  for (const float y : project(HUGE_VALF)) REQUIRE(!std::isfinite(y));
  for (const float y : project(0)) REQUIRE(y == 0);
}

// For rows before a convolution: the largest errors of convolved values, of other outputs, and of states.
template <int kSteps>
std::pair<double, double> errors_with_convolution(int taps, int out_stride) {
  using Shape = gpu::ProjectShape<gpu::Precision::float32, kSteps>;
  constexpr int kIn = 16 * kSteps - 4, kFirst = 12, kChannels = 44, kOut = kFirst + kChannels + 3, kChunk = 48;
  std::minstd_rand random(uint32_t(taps + out_stride));
  const auto floats = [&](size_t count) {
    std::vector<float> values(count);
    for (float& x : values) x = std::uniform_real_distribution<float>(-1, 1)(random);
    return values;
  };
  const std::vector<gpu::SignalPart> signals{{101, 0, 1}, {1, 2, 3}, {48, 4, 5}, {49, 6, 7}, {3, 8, 9}, {2, 10, 11}};
  const gpu::SegmentPlan plan = gpu::plan_segment(signals, kChunk);
  const size_t rows = plan.extent().rows(), table_stride = size_t(kChannels * taps) + 1;
  const std::vector<float> in = floats(rows * kIn), weight = floats(size_t(kOut * kIn));
  const std::vector<float> taps_weight = floats(size_t(kChannels * taps)), bias = floats(kChannels);
  std::vector<float> out(rows * size_t(out_stride), 7.0f), y(rows * kChannels, 7.0f), table = floats(12 * table_stride);
  std::vector<uint32_t> words;
  gpu::pack_weight<gpu::Precision::float32, kSteps>(
      0, kIn, kOut, [&](int o, int i) { return weight[size_t(o * kIn + i)] * 0x1p14f; }, words);
  const gpu::LinearArguments arguments{words.data(), 0x1p-14f,   nullptr, kIn,   kOut,  in.data(), kIn,
                                       out.data(),   out_stride, rows,    false, false, 0};
  const gpu::ConvArguments conv{taps_weight.data(), bias.data(), kChannels,    taps,        nullptr, 0,
                                y.data(),           kChannels,   table.data(), table_stride};
  REQUIRE(gpu::conv_in_quads(conv));
  const int part_blocks = (kOut + Shape::kOutputs - 1) / Shape::kOutputs;
  run_blocks(64,
             size_t(part_blocks * Shape::kWeightVectors + gpu::conv_weight_vectors(conv) + 2 * Shape::kRowVectors) *
                 sizeof(float4),
             2, [&] {
               gpu::project<gpu::Precision::float32, kSteps>(arguments, {conv, kFirst, plan.chunks.data(), kChunk}, 0,
                                                             1, part_blocks);
             });

  const auto projected = [&](size_t row, int o) {
    double sum = 0;
    for (int k = 0; k < kIn; ++k) sum += double(in[row * kIn + size_t(k)]) * double(weight[size_t(o * kIn + k)]);
    return sum;
  };
  double convolved = 0, others = 0;
  const auto note = [](double& worst, double difference) { test::take_worst(worst, std::abs(difference)); };
  for (size_t signal = 0, begin = 0; signal < signals.size(); ++signal) {
    const size_t frames = signals[signal].frames;
    for (size_t t = 0; t < frames; ++t)
      for (int o = 0; o < kOut; ++o) {
        const int c = o - kFirst;
        const bool inside = c >= 0 && c < kChannels;
        if (!inside) {
          note(others, projected(begin + t, o) - double(out[(begin + t) * size_t(out_stride) + size_t(o)]));
          continue;
        }
        const auto input = [&](ptrdiff_t at) {
          return at >= 0 ? projected(begin + size_t(at), o)
                         : double(table[2 * signal * table_stride + size_t(c * taps + taps + at)]);
        };
        double sum = bias[size_t(c)];
        for (int j = 0; j < taps; ++j)
          sum += double(taps_weight[size_t(j * kChannels + c)]) * input(ptrdiff_t(t) - (taps - 1) + j);
        note(convolved, sum / (1 + std::exp(-sum)) - double(y[(begin + t) * kChannels + size_t(c)]));
        if (t + 1 < frames) continue;
        for (int j = 0; j < taps; ++j)
          note(others, input(ptrdiff_t(frames) - taps + j) -
                           double(table[(2 * signal + 1) * table_stride + size_t(c * taps + j)]));
      }
    begin += (frames + kChunk - 1) / kChunk * kChunk;
  }
  return {convolved, others};
}

TEST_CASE("projections go on through a convolution, also across the ends of signals") {
  for (const int taps : {1, 2, 3, 4})
    for (const int out_stride : {59, 60}) {
      INFO(taps << " taps, stride " << out_stride);
      for (const auto& [convolved, others] :
           {errors_with_convolution<2>(taps, out_stride), errors_with_convolution<8>(taps, out_stride)}) {
        CHECK(convolved <= 5e-6);
        CHECK(others <= 5e-6);
      }
    }
}

// out = out + W norm(y silu(V norm(in))) for random numbers; returns the largest error, relative to max(1, peak).
template <gpu::Precision kPrecision, int kModelSteps>
double error_of_gated(int d_model, int d_inner, size_t rows) {
  using GateShape = gpu::ProjectShape<kPrecision, kModelSteps, 1>;
  using Shape = gpu::ProjectShape<kPrecision, 2 * kModelSteps, 1>;
  std::minstd_rand random(uint32_t(d_model * 100 + d_inner));
  const auto floats = [&](size_t count) {
    std::vector<float> values(count);
    for (float& x : values) x = std::uniform_real_distribution<float>(-1, 1)(random);
    return values;
  };
  const size_t model = size_t(d_model), inner = size_t(d_inner);
  const std::vector<float> in = floats(rows * model), y = floats(rows * inner), gate_weight = floats(inner * model),
                           weight = floats(inner * model);
  std::vector<float> gate_bias = floats(inner), bias = floats(model), out = in;
  gate_bias.resize((inner + 31) / 32 * 32), bias.resize((model + 31) / 32 * 32);
  std::vector<uint32_t> gate_words, words;
  const auto gate_value = [&](int o, int i) { return gate_weight[size_t(o) * model + size_t(i)] * 0x1p14f; };
  const auto value = [&](int o, int i) { return weight[size_t(o) * inner + size_t(i)] * 0x1p14f; };
  gpu::pack_weight<kPrecision, kModelSteps, GateShape>(0, d_model, d_inner, gate_value, gate_words);
  gpu::pack_weight<kPrecision, 2 * kModelSteps, Shape>(0, d_inner, d_model, value, words);
  const float gate_eps = 0.03f, eps = 0.02f;
  // in place, as in layers with a residual connection
  const gpu::LinearArguments gate{gate_words.data(),
                                  0x1p-14f,
                                  gate_bias.data(),
                                  d_model,
                                  d_inner,
                                  out.data(),
                                  d_model,
                                  nullptr,
                                  0,
                                  rows,
                                  false,
                                  true,
                                  gate_eps};
  const gpu::LinearArguments arguments{words.data(), 0x1p-14f, bias.data(), d_inner, d_model, y.data(), d_inner,
                                       out.data(),   d_model,  rows,        true,    true,    eps};
  const size_t vectors =
      gate_words.size() / 4 + words.size() / 4 + size_t(2 * (GateShape::kRowVectors + Shape::kRowVectors));
  run_blocks(64, vectors * sizeof(float4), 1, [&] { gpu::gate_and_project<kPrecision, kModelSteps>(gate, arguments); });

  double worst = 0, peak = 1;
  for (size_t row = 0; row < rows; ++row) {
    const auto scale = [](const auto& values, double epsilon) {
      double squares = 0;
      for (const double x : values) squares += x * x;
      return 1 / std::sqrt(squares / double(values.size()) + epsilon);
    };
    std::vector<double> h(in.begin() + ptrdiff_t(row * model), in.begin() + ptrdiff_t((row + 1) * model)), gated(inner);
    for (size_t c = 0; c < inner; ++c) {
      double z = 0;
      for (size_t k = 0; k < model; ++k) z += h[k] * double(gate_weight[c * model + k]);
      z = z * scale(h, double(gate_eps)) + double(gate_bias[c]);
      gated[c] = double(y[row * inner + c]) * z / (1 + std::exp(-z));
    }
    for (size_t o = 0; o < model; ++o) {
      double sum = 0;
      for (size_t k = 0; k < inner; ++k) sum += gated[k] * double(weight[o * inner + k]);
      sum = h[o] + double(bias[o]) + sum * scale(gated, double(eps));
      peak = std::max(peak, std::abs(sum));
      const double difference = std::abs(sum - double(out[row * model + o]));
      test::take_worst(worst, difference);
    }
  }
  return worst / peak;
}

TEST_CASE("gated projections agree with sums in float64") {
  CHECK(error_of_gated<gpu::Precision::float32, 4>(64, 128, 83) <= 1e-6);
  CHECK(error_of_gated<gpu::Precision::float32, 2>(16, 32, 40) <= 1e-6);
  CHECK(error_of_gated<gpu::Precision::float32, 2>(23, 46, 33) <= 1e-6);
  CHECK(error_of_gated<gpu::Precision::tf32, 4>(48, 96, 20) <= 1e-3);
  CHECK(error_of_gated<gpu::Precision::bf16, 4>(64, 128, 20) <= 1e-2);
}

TEST_CASE("projections of few inputs agree with sums in float64") {
  for (const Work& work : {Work{1, 64, 77, 1, 64, false, false}, Work{3, 1200, 5, 3, 1200, false, false},
                           Work{8, 19, 40, 9, 23, true, false, 1}}) {
    Problem problem(work);
    std::vector<float> weight;
    for (int input = 0; input < work.d_in; ++input)
      for (int output = 0; output < (work.d_out + 3) / 4 * 4; ++output)
        weight.push_back(output < work.d_out ? problem.weight(output, input) : 0.0f);
    const gpu::LinearArguments arguments = problem.arguments(weight.data(), 1);
    const gpu::Grid grid(work.rows, (work.d_out + 3) / 4);
    emulation::Block block(gpu::kElementThreads, 0, 2);
    const dim3 blocks(gpu::blocks_of(grid.blocks.x, gpu::kRowsAtOnce), grid.blocks.y);
    for (unsigned i = 0; i < blocks.x * blocks.y; ++i)
      block.run(i % blocks.x, blocks.x, [&] {
        blockIdx.y = i / blocks.x;
        gpu::project_few_inputs(arguments, grid.rows_per_block);
      });
    CHECK(problem.error() <= 1e-6);
  }
}

TEST_CASE("projections to few outputs agree with sums in float64") {
  for (const Work& work : {Work{64, 1, 77, 64, 1, false, false}, Work{72, 8, 33, 80, 11, true, false},
                           Work{50, 3, 40, 57, 3, true, false, 1}}) {
    Problem problem(work);
    std::vector<float> weight;
    for (int output = 0; output < work.d_out; ++output)
      for (int input = 0; input < work.d_in; ++input) weight.push_back(problem.weight(output, input));
    const gpu::LinearArguments arguments = problem.arguments(weight.data(), 1);
    const unsigned blocks = gpu::blocks_of(work.rows, gpu::kElementThreads / gpu::kFewOutputs);
    run_blocks(gpu::kElementThreads, 0, blocks, [&] { gpu::project_few_outputs(arguments); });
    CHECK(problem.error() <= 1e-6);
  }
}

}  // namespace
