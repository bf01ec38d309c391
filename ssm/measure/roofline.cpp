// Measures the machine's peak arithmetic, compiled once for every SIMD target, and its memory bandwidth.
#include "ssm/measure/roofline.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ssm/measure/roofline.cpp"
#include "hwy/foreach_target.h"

#include "hwy/highway.h"
#include "ssm/kernels/math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace coil::ssm {
namespace HWY_NAMESPACE {

// Independent sums, as many as fit into the registers of every target. Returns the number of multiply-adds.
size_t MultiplyAdds(float* values, size_t times) {
  constexpr size_t kSums = 12;
  const hn::ScalableTag<float> d;
  const size_t lanes = hn::Lanes(d);
  hn::Vec<decltype(d)> sums[kSums];
  for (size_t i = 0; i < kSums; ++i) sums[i] = hn::Set(d, values[i]);
  for (size_t k = 0; k < times; ++k)
    for (size_t i = 0; i < kSums; ++i) sums[i] = hn::MulAdd(sums[i], hn::Set(d, 0.5f), hn::Set(d, 1.0f));
  for (size_t i = 0; i < kSums; ++i) values[i] = hn::GetLane(sums[i]);
  return times * kSums * lanes;
}

// Updates every value in place. count is a multiple of kPad.
void Update(float* HWY_RESTRICT values, size_t count) {
  const hn::ScalableTag<float> d;
  const auto decay = hn::Set(d, 0.5f), input = hn::Set(d, 1.0f);
  for (size_t i = 0; i < count; i += hn::Lanes(d))
    hn::StoreU(hn::MulAdd(hn::LoadU(d, values + i), decay, input), d, values + i);
}

// Decays: y = 2^(a x) - 1. count is a multiple of kPad.
void Exponentials(float a, const float* HWY_RESTRICT x, float* HWY_RESTRICT y, size_t count) {
  const hn::ScalableTag<float> d;
  for (size_t i = 0; i < count; i += hn::Lanes(d))
    hn::StoreU(Exp2MinusOne(d, hn::Mul(hn::Set(d, a), hn::LoadU(d, x + i))), d, y + i);
}

}  // namespace HWY_NAMESPACE
}  // namespace coil::ssm
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include <algorithm>
#include <chrono>
#include <cstring>
#include <iterator>
#include <numeric>
#include <vector>

#include "ssm/machine/large_pages.h"

namespace coil::ssm {
namespace {

HWY_EXPORT(MultiplyAdds);
HWY_EXPORT(Exponentials);
HWY_EXPORT(Update);

using std::chrono::milliseconds;

constexpr size_t kMostProbed = size_t{512} << 20;  // bytes of memory that a measurement uses at most

// The shortest of all runs within `limit`, but at least three runs: disturbances only add time.
template <typename Work>
double best_ns(milliseconds limit, const Work& work) {
  using Clock = std::chrono::steady_clock;
  const Clock::time_point end = Clock::now() + limit;
  double best = 0;
  for (int runs = 0; runs < 3 || Clock::now() < end; ++runs) {
    const Clock::time_point start = Clock::now();
    work();
    const double ns = std::chrono::duration<double, std::nano>(Clock::now() - start).count();
    best = runs == 0 ? ns : std::min(best, ns);
  }
  return best;
}

// The index of `target` in the tables of measurements.
size_t table_index(Target target) {
  hwy::ChosenTarget one;
  for (int64_t rest = HWY_TARGETS; rest != 0; rest &= rest - 1)
    if (std::strcmp(hwy::TargetName(rest & -rest), target.name()) == 0) one.Update(rest & -rest);
  return one.GetIndex();
}

}  // namespace

ArithmeticSpeed measure_arithmetic(Target target) {
  const size_t index = table_index(target);
  const auto multiply_adds = HWY_DISPATCH_TABLE(MultiplyAdds)[index];
  const auto exponentials = HWY_DISPATCH_TABLE(Exponentials)[index];
  float values[16] = {};
  constexpr size_t kCount = 512, kTimes = 50;
  AlignedFloats x_y(2 * kCount, 0.5f);  // half a page apart: at a distance of a whole page, a load would wait for the
                                        // preceding store
  size_t count = 0;
  const double multiply_adds_ns = best_ns(milliseconds(10), [&] { count = multiply_adds(values, 10'000); });
  const double exponentials_ns = best_ns(milliseconds(10), [&] {
    for (size_t i = 0; i < kTimes; ++i) exponentials(-0.3f, x_y.data(), x_y.data() + kCount, kCount);
  });
  return {multiply_adds_ns / static_cast<double>(count), exponentials_ns / (kTimes * kCount)};
}

double arithmetic_floor_ns(const Cost& cost, const ArithmeticSpeed& speed) {
  return cost.macs_per_step * speed.mac_ns + cost.exps_per_step * speed.exp_ns;
}

double measure_update_ns(size_t bytes) {
  const size_t floats = std::max(kPad, std::min(bytes, kMostProbed) / sizeof(float) / kPad * kPad);
  const LargePages states = allocate_large_pages(floats);
  std::fill_n(states.get(), floats, 0.0f);
  const auto update = HWY_DISPATCH_TABLE(Update)[table_index(Target::best())];
  const double ns = best_ns(milliseconds(100), [&] { update(states.get(), floats); });
  return ns * static_cast<double>(bytes) / static_cast<double>(floats * sizeof(float));
}

double measure_read_ns(size_t bytes) {
  constexpr size_t kLeast = size_t{4} << 20;
  if (bytes < kLeast) return 0;
  struct alignas(64) Line {
    uint64_t words[8];
  };
  const std::vector<Line> buffer(std::min(bytes, kMostProbed) / sizeof(Line), Line{{1, 1, 1, 1, 1, 1, 1, 1}});
  volatile uint64_t shown = 0;  // otherwise the compiler would remove the reads
  const double ns = best_ns(milliseconds(100), [&] {
    Line sum = {};  // independent sums, so that none waits for the previous one
    for (const Line& line : buffer)
      for (size_t i = 0; i < 8; ++i) sum.words[i] += line.words[i];
    shown = std::accumulate(std::begin(sum.words), std::end(sum.words), uint64_t{0});
  });
  return ns * static_cast<double>(bytes) / static_cast<double>(buffer.size() * sizeof(Line));
}

}  // namespace coil::ssm
#endif  // HWY_ONCE
