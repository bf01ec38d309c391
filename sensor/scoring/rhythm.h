// The usual interval between events.
#pragma once

#include <array>
#include <cstdint>

namespace coil::sensor {

// The second longest of the last intervals, so that one long pause is ignored. Plain data. One thread at a time.
class Rhythm {
 public:
  void add(double interval_s) noexcept {
    last_[count_ % last_.size()] = static_cast<float>(interval_s);
    ++count_;
  }
  // In seconds. 0: there are too few intervals so far.
  double usual_s() const noexcept {
    if (count_ < kLeast) return 0;
    float longest = 0, second = 0;
    for (const float interval : last_) {
      if (interval > longest)
        second = longest, longest = interval;
      else if (interval > second)
        second = interval;
    }
    return second;
  }

  // Everything that is remembered, for state files.
  template <class Fields>
  void visit(Fields&& fields) {
    fields(count_, last_);
  }

 private:
  static constexpr uint32_t kLeast = 4;

  uint32_t count_ = 0;
  std::array<float, 16> last_ = {};
};

}  // namespace coil::sensor
