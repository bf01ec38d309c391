// Threads that share the rows of large matrix products, so that one stream of a large model uses several cores.
#pragma once

#include <atomic>
#include <cfenv>
#include <cstddef>
#include <cstdint>
#include <thread>
#include <vector>

namespace coil::ssm {

// One thread at a time owns and uses it, and takes part in the work. Between two products that follow each other
// shortly, the others spin; later they sleep.
class RowThreads {
 public:
  explicit RowThreads(size_t threads);
  ~RowThreads();
  RowThreads(const RowThreads&) = delete;
  RowThreads& operator=(const RowThreads&) = delete;

  size_t threads() const { return workers_.size() + 1; }

  // Calls body(item) for every item below `items`, on any thread. Returns when all are done. The body must not throw.
  template <class Body>
  void for_each(size_t items, const Body& body) noexcept {
    share(
        items, [](const void* context, size_t item) { (*static_cast<const Body*>(context))(item); }, &body);
  }

  // While one lives, large products of this thread are shared.
  class Scope {
   public:
    explicit Scope(RowThreads* threads) : before_(current_) { current_ = threads; }
    ~Scope() { current_ = before_; }
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    RowThreads* before_;
  };
  static RowThreads* current() noexcept { return current_; }  // null: none

 private:
  using Item = void (*)(const void* context, size_t item);

  void share(size_t items, Item body, const void* context) noexcept;
  bool take_item(uint64_t& round) noexcept;
  void work() noexcept;

  static inline thread_local RowThreads* current_ = nullptr;

  // The upper half counts the calls, the lower half the items that nobody has taken yet. Whoever takes one may read
  // body_, context_ and environment_, because the call waits for it.
  std::atomic<uint64_t> left_ = 0;
  std::atomic<size_t> done_ = 0;
  std::atomic<bool> stop_ = false;
  Item body_ = nullptr;
  const void* context_ = nullptr;
  std::fenv_t environment_{};  // of the caller, which may flush denormal numbers
  std::vector<std::jthread> workers_;
};

}  // namespace coil::ssm
