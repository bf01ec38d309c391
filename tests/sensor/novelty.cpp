// What counts as beyond the previous range.
#include "sensor/scoring/novelty.h"

#include <catch2/catch.hpp>
#include <random>
#include <vector>

namespace {

using coil::sensor::Novelty;

std::vector<double> surprisal(const std::vector<double>& numbers, double scale = 1, double offset = 0) {
  Novelty novelty;
  std::vector<double> all;
  for (const double number : numbers) all.push_back(novelty.observe(scale * number + offset));
  return all;
}

std::vector<double> noise(size_t count) {
  std::mt19937 random(7);
  std::normal_distribution<double> normal;
  std::vector<double> numbers(count);
  for (double& number : numbers) number = normal(random);
  return numbers;
}

TEST_CASE("values within the earlier range are not novel, values far beyond are") {
  std::vector<double> numbers = noise(2000);
  for (const double far : {30.0, -30.0}) {
    numbers.push_back(far);
    numbers.push_back(0.9 * far);
    const std::vector<double> d = surprisal(numbers);
    CHECK(d[d.size() - 2] > 4);
    CHECK(d.back() == 0);
    numbers.resize(2000);
  }
}

TEST_CASE("in steady noise one record in some hundreds is slightly novel") {
  const std::vector<double> d = surprisal(noise(20000));
  size_t news = 0, large = 0;
  for (size_t t = 100; t < d.size(); ++t) news += d[t] > 0, large += d[t] > 4;
  CHECK((news > 2 && news < 30));
  CHECK(large <= 2);
}

TEST_CASE("a series that keeps leaving its range is less and less unusual") {
  std::vector<double> ramp(1000);
  for (size_t t = 0; t < ramp.size(); ++t) ramp[t] = static_cast<double>(t);
  const std::vector<double> d = surprisal(ramp);
  for (size_t t = 100; t < d.size(); ++t) CHECK(d[t] < 1);
}

TEST_CASE("novelty does not depend on scale and offset") {
  const std::vector<double> numbers = noise(3000), d = surprisal(numbers);
  for (const auto& [scale, offset] : {std::pair{1e6, 0.0}, {-1.0, 0.0}, {1e-9, 0.0}, {1.0, 100.0}}) {
    const std::vector<double> other = surprisal(numbers, scale, offset);
    for (size_t t = 0; t < d.size(); ++t) CHECK(other[t] == Approx(d[t]).margin(1e-6));
  }
}

TEST_CASE("exceeding the range by a rounding error is not novel") {
  std::vector<double> numbers(500);
  for (size_t t = 0; t < numbers.size(); ++t) numbers[t] = t % 2 == 0 ? -1 : 1 + 1e-16 * static_cast<double>(t);
  for (const double d : surprisal(numbers)) CHECK(d < 1e-6);
}

}  // namespace
