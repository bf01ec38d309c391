// The weights of a network as a list in the order of its layers; each is taken once.
#pragma once

#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"

namespace coil::capture {

class WeightList {
 public:
  // Errors start with `where`.
  WeightList(std::span<const float> all, std::string where) : all_(all), where_(std::move(where)) {}

  const std::string& where() const { return where_; }

  // Throws Error if fewer are left.
  std::span<const float> take(size_t count) {
    if (count > all_.size() - taken_) {
      throw Error(where_ + " has " + std::to_string(all_.size()) + " weights; its layers need more, " +
                  std::to_string(taken_ + count) + " at least");
    }
    taken_ += count;
    return all_.subspan(taken_ - count, count);
  }
  float take_one() { return take(1)[0]; }

  void expect_end() const {
    if (taken_ != all_.size()) {
      throw Error(where_ + " has " + std::to_string(all_.size()) + " weights; its layers need " +
                  std::to_string(taken_));
    }
  }

 private:
  std::span<const float> all_;
  std::string where_;
  size_t taken_ = 0;
};

}  // namespace coil::capture
