// Times several candidates in rounds that alternate, so that a changing clock rate affects all of them alike.
#pragma once

#include <algorithm>
#include <chrono>
#include <functional>
#include <string>
#include <vector>

namespace coil::bench {

inline double milliseconds(const std::function<void()>& work) {
  const auto begin = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin).count();
}

struct Candidate {
  std::string name;
  std::function<void()> round;
  std::vector<double> rounds_ms;

  double best_ms() const { return *std::ranges::min_element(rounds_ms); }
};

inline void alternate(std::vector<Candidate>& candidates, int rounds) {
  for (int i = 0; i < rounds; ++i)
    for (Candidate& each : candidates) each.rounds_ms.push_back(milliseconds(each.round));
}

inline double median(std::vector<double> values) {
  std::ranges::nth_element(values, values.begin() + std::ptrdiff_t(values.size() / 2));
  return values[values.size() / 2];
}

}  // namespace coil::bench
