// Converts values of one series to model inputs and back. Uses the level, spread and step size of the series so far, so
// it is causal.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>

namespace coil::sensor {

inline constexpr size_t kFrameWidth = 6;  // d_input of a forecaster
using Frame = std::array<float, kFrameWidth>;

// Spread and step size are squared means of square roots: an outlier of a thousand spreads changes them by only a
// quarter, and they do not vanish if steps are rare. Plain data: copying its bytes copies its whole memory. One thread
// at a time.
class Normaliser {
 public:
  // `window`: number of observations in the running means, from the model's card.
  explicit Normaliser(int window = 256) : window_(window) {}

  // The model input for a finite value. `interval`: Cadence::Passage::interval. [any thread]
  Frame observe(double value, float interval = 0) noexcept {
    const double n = static_cast<double>(observed_), floor = 1.0 / window_;
    const double before = reference_;
    if (observed_ == 0) {
      level_ = value;
    } else {
      const double rate = std::max(1 / (n + 1), floor), rate_of_steps = std::max(1 / n, floor);
      root_step_ += rate_of_steps * (std::sqrt(std::fabs(value - reference_)) - root_step_);
      root_spread_ += rate * (std::sqrt(std::fabs(value - level_)) - root_spread_);
      const double limit = 8 * (spread() + step()), deviation = value - level_;
      level_ += rate * (observed_ < 8 ? deviation : std::clamp(deviation, -limit, limit));
    }
    reference_ = value;
    ++observed_;
    return frame(observed_ == 1 ? 0 : std::asinh((reference_ - before) / scale()), 0, interval);
  }

  // The model input for a step with a missing value. [any thread]
  Frame miss(float interval = 0) const noexcept { return frame(0, 1, interval); }

  int64_t observed() const noexcept { return observed_; }
  double reference() const noexcept { return reference_; }  // the last observed value
  double level() const noexcept { return level_; }
  double spread() const noexcept { return root_spread_ * root_spread_; }
  double step() const noexcept { return root_step_ * root_step_; }
  // The unit of the asinh space; > 0.
  double scale() const noexcept {
    return std::max({step(), 1e-4 * spread(), 1e-9 * std::max(std::fabs(level_), std::fabs(reference_)), 1e-30});
  }

  // All fields to save in state files.
  template <class Fields>
  void visit(Fields&& fields) {
    fields(observed_, window_, reference_, level_, root_spread_, root_step_);
  }

 private:
  Frame frame(double change, float mask, float interval) const noexcept {
    const double unit = scale();
    return {static_cast<float>(std::asinh((reference_ - level_) / unit)),
            static_cast<float>(change),
            mask,
            interval,
            static_cast<float>(std::log((spread() + unit) / unit)),
            observed_ == 0 ? 1.0f : static_cast<float>(1 / std::sqrt(static_cast<double>(observed_)))};
  }

  int64_t observed_ = 0, window_;
  double reference_ = 0, level_ = 0, root_spread_ = 0, root_step_ = 0;
};

}  // namespace coil::sensor
