// Products shared by several threads.
#include "ssm/machine/row_threads.h"

#include <atomic>
#include <chrono>
#include <catch2/catch.hpp>
#include <numeric>
#include <random>
#include <thread>
#include <vector>

#include "ssm/kernels/kernels.h"

namespace coil::ssm {
namespace {

TEST_CASE("every item is done once, in many calls one after another", "[row_threads]") {
  RowThreads threads(3);
  std::vector<std::atomic<int>> done(50);
  for (int round = 1; round <= 2000; ++round) {
    const size_t items = 1 + size_t(round) % done.size();
    for (std::atomic<int>& count : done) count = 0;
    threads.for_each(items, [&](size_t item) { ++done[item]; });
    size_t right = 0;
    for (size_t i = 0; i < done.size(); ++i) right += done[i] == (i < items ? 1 : 0);
    REQUIRE(right == done.size());
  }
}

TEST_CASE("threads that fell asleep take part again", "[row_threads]") {
  RowThreads threads(2);
  for (int round = 0; round < 3; ++round) {
    std::atomic<int> done = 0;
    threads.for_each(8, [&](size_t) { ++done; });
    CHECK(done == 8);
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
}

TEST_CASE("a product has the same bits for any number of threads", "[row_threads]") {
  constexpr size_t kRows = 331, kColumns = 260, kFrames = 21;
  std::mt19937 random(1);
  std::normal_distribution<float> noise;
  std::vector<float> weights(kRows * kColumns), x(kFrames * padded(kColumns), 0.0f);
  for (float& value : weights) value = noise(random);
  for (size_t t = 0; t < kFrames; ++t)
    for (size_t k = 0; k < kColumns; ++k) x[t * padded(kColumns) + k] = noise(random);
  std::vector<int> rows(kRows), columns(kColumns);
  std::iota(rows.begin(), rows.end(), 0);
  std::iota(columns.begin(), columns.end(), 0);
  for (const Kernels* kernels : available_kernels())
    for (const WeightFormat format : {WeightFormat::f32, WeightFormat::bf16, WeightFormat::int8}) {
      const PackedLinear w = pack_linear(*kernels, format, weights.data(), kColumns, nullptr, rows, columns);
      const auto product = [&](RowThreads* threads, size_t frames) {
        const RowThreads::Scope scope(threads);
        std::vector<float> y(kFrames * w.d_out, 1.0f);
        kernels->linear(w, nullptr, x.data(), padded(kColumns), y.data(), w.d_out, frames, true);
        return y;
      };
      for (const size_t frames : {size_t{1}, size_t{6}, kFrames}) {
        const std::vector<float> alone = product(nullptr, frames);
        for (const size_t count : {2, 3, 7}) {
          RowThreads threads(count);
          INFO(kernels->name << " " << to_string(format) << " " << frames << " frames " << count << " threads");
          CHECK(product(&threads, frames) == alone);
        }
      }
    }
  CHECK(RowThreads::current() == nullptr);
}

}  // namespace
}  // namespace coil::ssm
