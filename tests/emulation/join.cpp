// The join of chunks on an emulated block against the recurrence in float64.
#include "gpu/intrinsics.cuh"

#include "gpu/join.cuh"
#include "tests/support/worst.h"

#include <catch2/catch.hpp>

#include <cmath>
#include <complex>
#include <random>
#include <type_traits>
#include <vector>

namespace {

using namespace coil;

struct TableFactor {
  using Value = float;
  const float* factors;  // [chunk][states]
  int states;
  float operator()(int chunk, int state) const { return factors[chunk * states + state]; }
};

template <class Value>
std::complex<double> number(Value v) {
  if constexpr (std::is_same_v<Value, float>)
    return double(v);
  else
    return {double(v.x), double(v.y)};
}

// Consecutive signals with these numbers of chunks; returns the largest difference from the recurrence.
template <class Value, class MakeFactor>
double error_of(const std::vector<int>& lengths, int states, const MakeFactor& make_factor) {
  std::minstd_rand random(uint32_t(states) * 7 + uint32_t(lengths.size()));
  const auto uniform = [&](float low, float high) { return std::uniform_real_distribution<float>(low, high)(random); };
  constexpr size_t kParts = sizeof(Value) / sizeof(float);
  std::vector<gpu::SignalPart> parts;
  for (size_t i = 0; i < lengths.size(); ++i) parts.push_back({size_t(lengths[i]), int(i), int(i)});
  const gpu::SegmentPlan plan = gpu::plan_segment(parts, 1);
  const size_t chunks = plan.chunks.size(), row = size_t(states) * kParts + 3;
  std::vector<float> carry(chunks * size_t(states) * kParts), factors(chunks * size_t(states)),
      table(lengths.size() * row + 1);
  for (auto* values : {&carry, &table})
    for (float& v : *values) v = uniform(-1, 1);
  for (float& v : factors) v = uniform(0, 1);
  for (size_t i = 0; i < chunks; ++i)  // the contribution of the last chunk is unknown
    if (plan.chunks[i].last)
      std::fill_n(carry.begin() + ptrdiff_t(i * size_t(states) * kParts), size_t(states) * kParts, std::nanf(""));
  const std::vector<float> ends = carry;

  const auto factor = make_factor(factors);
  const int runs = gpu::join_runs(plan.longest()), width = std::max(gpu::kJoinStates, 256 / runs),
            tiles = (states + width - 1) / width;
  const auto* initial = table.data() + (kParts == 2 ? reinterpret_cast<uintptr_t>(table.data()) / 4 % 2 : 0);
  const gpu::JoinBuffers<Value> buffers{states, reinterpret_cast<Value*>(carry.data()), initial, row - row % kParts};
  emulation::Block block(unsigned(width * runs), 2 * size_t(width * runs) * sizeof(Value), 3);
  for (unsigned i = 0; i < unsigned(int(lengths.size()) * tiles); ++i)
    block.run(i, unsigned(int(lengths.size()) * tiles),
              [&] { gpu::join_signals(factor, buffers, plan.signals.data(), tiles, width); });

  double worst = 0;
  for (const gpu::Signal& signal : plan.signals)
    for (int s = 0; s < states; ++s) {
      std::complex<double> h = number(buffers.initial(signal.state_in, s));
      for (int c = signal.first_chunk; c < signal.first_chunk + signal.chunks; ++c) {
        const size_t at = size_t(c) * size_t(states) + size_t(s);
        const double difference = std::abs(h - number(reinterpret_cast<const Value*>(carry.data())[at]));
        test::take_worst(worst, difference);
        h = number(factor(c, s)) * h + number(reinterpret_cast<const Value*>(ends.data())[at]);
      }
    }
  return worst;
}

TEST_CASE("the join gives every chunk the state that it begins with") {
  const auto each = [](const std::vector<int>& lengths, int states) {
    INFO(lengths.size() << " signals, the first of " << lengths[0] << " chunks, " << states << " states");
    CHECK(error_of<float>(lengths, states, [&](const auto& factors) {
            return TableFactor{factors.data(), states};
          }) <= 3e-6);
    const std::vector<float2> constant(size_t(states), float2{0.6f, 0.7f});
    CHECK(error_of<float2>(lengths, states,
                           [&](const auto&) { return gpu::ConstantFactor<float2>{constant.data()}; }) <= 1e-5);
  };
  each({1}, 5);
  each({2, 1, 9}, 300);    // runs of a few chunks, several blocks per signal
  each({100, 1, 63}, 17);  // the number of states is not a multiple of a block
  each({1500, 3}, 8);      // the largest number of runs; the short signal is in the first
}

}  // namespace
