// The fibers of one block, run in random order.
#include "tests/emulation/block.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

namespace coil::emulation {
namespace {

constexpr size_t kStackBytes = size_t(128) << 10, kRoundsHeld = 200;
Block* running_block = nullptr;

}  // namespace

Block::Block(unsigned threads, size_t shared_bytes, uint32_t seed)
    : threads_(threads), shared_((shared_bytes + 3) / 4), slots_((threads + 31) / 32 * 32), random_(seed + 1) {
  for (Thread& thread : threads_) thread.stack = std::make_unique<std::byte[]>(kStackBytes);
}

Block& Block::current() { return *running_block; }

void Block::enter() {
  (*running_block->kernel_)();
  running_block->wait(Waiting::done);
}

void Block::wait(Waiting reason) {
  Thread& thread = threads_[running_];
  thread.waiting = reason;
  swapcontext(&thread.context, &scheduler_);
}

void Block::arrive_at(int id, int threads) {
  int& arrived = arrived_.at(size_t(id));
  if (++arrived < threads) return;
  arrived = 0;
  for (Thread& thread : threads_)
    if (thread.waiting == Waiting::for_barrier && thread.barrier == id) thread.waiting = Waiting::no;
}

void Block::wait_at(int id, int threads) {
  threads_[running_].waiting = Waiting::for_barrier, threads_[running_].barrier = id;
  arrive_at(id, threads);
  wait(threads_[running_].waiting);
}

bool Block::release() {
  bool released = false;
  const auto free_all = [&](auto begin, auto end, Waiting reason) {
    if (!std::all_of(begin, end, [&](const Thread& t) { return t.waiting == reason || t.waiting == Waiting::done; }))
      return;
    for (auto at = begin; at != end; ++at)
      if (at->waiting == reason) at->waiting = Waiting::no, released = true;
  };
  for (size_t first = 0; first < threads_.size(); first += 32)
    free_all(threads_.begin() + ptrdiff_t(first), threads_.begin() + ptrdiff_t(std::min(first + 32, threads_.size())),
             Waiting::for_warp);
  free_all(threads_.begin(), threads_.end(), Waiting::for_block);
  return released;
}

void Block::run(unsigned index, unsigned count, const std::function<void()>& kernel) {
  running_block = this;
  kernel_ = &kernel;
  std::fill(shared_.begin(), shared_.end(), std::nanf(""));
  arrived_.fill(0);
  blockIdx = {index, 0, 0}, gridDim = dim3(count), blockDim = dim3(unsigned(threads_.size()));
  for (Thread& thread : threads_) {
    getcontext(&thread.context);
    thread.context.uc_stack.ss_sp = thread.stack.get();
    thread.context.uc_stack.ss_size = kStackBytes;
    thread.context.uc_link = nullptr;
    makecontext(&thread.context, enter, 0);
    thread.waiting = Waiting::no;
  }
  std::vector<unsigned> ready;
  unsigned held = 0;  // this warp waits while another one can run, so that some run ahead as far as the barriers allow
  for (size_t round = 0;; ++round) {
    if (round % kRoundsHeld == 0) held = unsigned(random_()) % unsigned((threads_.size() + 31) / 32);
    const auto find_ready = [&](bool with_held) {
      ready.clear();
      for (unsigned i = 0; i < threads_.size(); ++i)
        if (threads_[i].waiting == Waiting::no && (with_held || i / 32 != held)) ready.push_back(i);
      return !ready.empty();
    };
    if (!find_ready(false) && !release() && !find_ready(true)) break;
    std::shuffle(ready.begin(), ready.end(), random_);
    for (const unsigned i : ready) {
      running_ = i;
      threadIdx = {i, 0, 0};
      swapcontext(&scheduler_, &threads_[i].context);
    }
  }
  if (!std::all_of(threads_.begin(), threads_.end(), [](const Thread& t) { return t.waiting == Waiting::done; }))
    throw std::logic_error("threads of a block wait for each other for ever");
}

}  // namespace coil::emulation
