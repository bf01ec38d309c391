// Runs the threads of one CUDA block on the host, so that a kernel can be checked without a GPU. Every thread is a
// fiber that runs until it synchronises with its warp or block. Between two synchronisations the threads run one after
// another in random order. One randomly chosen warp waits until no other can continue, so that a missing barrier shows.
#pragma once

#include <cuda_runtime.h>

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <random>
#include <vector>

#include <ucontext.h>

#ifndef __launch_bounds__
#define __launch_bounds__(...)
#endif

namespace coil::emulation {

class Block {
 public:
  // Shared memory is initialised with bytes of NaN. `seed` determines the order.
  Block(unsigned threads, size_t shared_bytes, uint32_t seed);

  // Runs `kernel` as block `index` of `count`. Throws std::logic_error if the threads deadlock. [one at a time]
  void run(unsigned index, unsigned count, const std::function<void()>& kernel);

  // ---- called by the running thread

  static Block& current();
  float* shared() { return shared_.data(); }
  void sync_block() { wait(Waiting::for_block); }
  void sync_warp() { wait(Waiting::for_warp); }
  // Counts the thread at barrier `id`, which opens at `threads` of them.
  void arrive_at(int id, int threads);
  void wait_at(int id, int threads);
  unsigned lane() const { return running_ % 32; }

  // Every lane of the warp passes in a value and gets the values of all lanes.
  template <class T>
  std::array<T, 32> exchange(const T& value) {
    static_assert(sizeof(T) <= sizeof(Slot));
    Slot* slots = &slots_[running_ / 32 * 32];
    __builtin_memcpy(&slots[lane()], &value, sizeof(T));
    sync_warp();
    std::array<T, 32> all;
    for (size_t i = 0; i < 32; ++i) __builtin_memcpy(&all[i], &slots[i], sizeof(T));
    sync_warp();
    return all;
  }

 private:
  enum class Waiting { no, for_warp, for_block, for_barrier, done };
  static constexpr int kBarriers = 16;
  struct Slot {
    std::byte bytes[32];
  };
  struct Thread {
    ucontext_t context;
    std::unique_ptr<std::byte[]> stack;
    Waiting waiting = Waiting::no;
    int barrier = 0;
  };

  void wait(Waiting reason);
  bool release();  // releases the threads whose partners have all arrived
  static void enter();

  std::vector<Thread> threads_;
  std::array<int, kBarriers> arrived_{};
  std::vector<float> shared_;
  std::vector<Slot> slots_;
  std::minstd_rand random_;
  ucontext_t scheduler_;
  unsigned running_ = 0;
  const std::function<void()>* kernel_ = nullptr;
};

}  // namespace coil::emulation

// CUDA's variables for a thread's position.
extern uint3 threadIdx, blockIdx;
extern dim3 blockDim, gridDim;
