// Percentiles of the histogram against those of the sorted values.
#include "cli/log_histogram.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <limits>
#include <memory>
#include <random>
#include <vector>

namespace {

using coil::cli::LogHistogram;

TEST_CASE("percentiles agree with sorted values, at most 1/256 above") {
  std::mt19937_64 random(1);
  for (const double scale : {5.0, 300.0, 1000.0, 1e5, 1e9, 1e18}) {
    const auto histogram = std::make_unique<LogHistogram>();
    std::vector<uint64_t> values;
    for (int i = 0; i < 5000; ++i) {
      values.push_back(static_cast<uint64_t>(scale * std::generate_canonical<double, 53>(random)));
      histogram->add(values.back());
    }
    std::sort(values.begin(), values.end());
    CHECK(histogram->count() == values.size());
    CHECK(histogram->largest() == values.back());
    for (const double percent : {0.0, 1.0, 50.0, 99.0, 99.9, 99.99, 100.0}) {
      const size_t rank = std::max<size_t>(1, static_cast<size_t>(std::ceil(percent / 100 * 5000)));
      const uint64_t expected = values[rank - 1], found = histogram->percentile(percent);
      CHECK(found >= expected);
      CHECK(found - expected <= expected / 256);
    }
  }
}

TEST_CASE("a histogram takes the smallest and the largest number, and may be empty") {
  const auto histogram = std::make_unique<LogHistogram>();
  CHECK(histogram->percentile(50) == 0);
  histogram->add(0);
  CHECK(histogram->percentile(100) == 0);
  histogram->add(std::numeric_limits<uint64_t>::max());
  CHECK(histogram->percentile(50) == 0);
  CHECK(histogram->percentile(100) == std::numeric_limits<uint64_t>::max());
}

}  // namespace
