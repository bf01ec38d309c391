// Passes objects to the audio thread and back, so that the audio thread never allocates, frees or waits.
#pragma once

#include <atomic>
#include <memory>
#include <utility>

namespace coil::dsp {

// Holds at most one posted object: a newer one replaces it. Any number may be given back. T needs a member `T*
// given_back_before`.
template <class T>
class Handover {
 public:
  Handover() = default;
  ~Handover() {
    delete posted_.load();
    collect();
  }
  Handover(const Handover&) = delete;
  Handover& operator=(const Handover&) = delete;

  // Returns an object that was posted earlier and not taken. [any thread but the audio thread]
  std::unique_ptr<T> post(std::unique_ptr<T> object) {
    return std::unique_ptr<T>(posted_.exchange(object.release(), std::memory_order_acq_rel));
  }
  // Frees the objects that were given back. [any thread but the audio thread]
  void collect() {
    T* object = given_back_.exchange(nullptr, std::memory_order_acquire);
    while (object != nullptr) delete std::exchange(object, object->given_back_before);
  }

  bool waiting() const noexcept { return posted_.load(std::memory_order_acquire) != nullptr; }  // [any thread]
  // Null if nothing was posted. [audio-thread]
  std::unique_ptr<T> take() noexcept {
    return std::unique_ptr<T>(posted_.exchange(nullptr, std::memory_order_acquire));
  }
  // [audio-thread]
  void give_back(std::unique_ptr<T> object) noexcept {
    if (!object) return;
    T* const given = object.release();
    given->given_back_before = given_back_.load(std::memory_order_relaxed);
    // Only collect() can interfere, and it leaves an empty list. So the second attempt succeeds unless collect() runs
    // again.
    while (!given_back_.compare_exchange_weak(given->given_back_before, given, std::memory_order_release,
                                              std::memory_order_relaxed)) {
    }
  }

 private:
  std::atomic<T*> posted_{nullptr}, given_back_{nullptr};  // given_back_: the head of a linked list
};

}  // namespace coil::dsp
