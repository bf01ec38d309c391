// Counts forbidden calls on the audio thread: the heap, locks, throwing.
#pragma once

#include <functional>
#include <string>

// A memory or thread sanitizer has its own heap, which cannot be replaced: there heap calls are not counted.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define COIL_COUNTS_HEAP 0
#elif defined(__has_feature)
#define COIL_COUNTS_HEAP \
  (!__has_feature(address_sanitizer) && !__has_feature(thread_sanitizer) && !__has_feature(memory_sanitizer))
#else
#define COIL_COUNTS_HEAP 1
#endif

namespace coil::test {

// The calls of this thread while `work` runs, by name and in the order of first calls: "malloc 2, free 1". Empty: none.
std::string forbidden_calls(const std::function<void()>& work);

}  // namespace coil::test
