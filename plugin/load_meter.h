// Measures the share of a block's time that processing takes.
#pragma once

#include <atomic>
#include <chrono>

namespace coil::plugin {

class LoadMeter {
 public:
  // Times one block: from constructor to destructor. [audio-thread]
  class Block {
   public:
    Block(LoadMeter& meter, int frames, double sample_rate_hz) noexcept
        : meter_(meter), available_s_(frames / sample_rate_hz), begin_(std::chrono::steady_clock::now()) {}
    ~Block() {
      if (available_s_ > 0)
        meter_.add(std::chrono::duration<double>(std::chrono::steady_clock::now() - begin_).count(), available_s_);
    }
    Block(const Block&) = delete;
    Block& operator=(const Block&) = delete;

   private:
    LoadMeter& meter_;
    double available_s_;
    std::chrono::steady_clock::time_point begin_;
  };

  // Shares of a block's time: the mean over about the last second, and the maximum since reset(). [any thread]
  float mean() const noexcept { return mean_.load(std::memory_order_relaxed); }
  float worst() const noexcept { return worst_.load(std::memory_order_relaxed); }
  void reset() noexcept { worst_ = 0; }

 private:
  void add(double taken_s, double available_s) noexcept {
    const float load = float(taken_s / available_s);
    const float weight = float(available_s / (1.0 + available_s));
    mean_.store(mean() + weight * (load - mean()), std::memory_order_relaxed);
    if (load > worst()) worst_.store(load, std::memory_order_relaxed);
  }

  std::atomic<float> mean_{0}, worst_{0};
};

}  // namespace coil::plugin
