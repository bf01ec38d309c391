// Huge pages for memory that is read in long stretches, so that the TLB misses less.
#pragma once

#include <cstddef>
#include <memory>

namespace coil::ssm {

struct FreeLargePages {
  void operator()(float* pages) const noexcept;
};
using LargePages = std::unique_ptr<float[], FreeLargePages>;

// Uninitialised memory, aligned to a huge page. Uses normal pages if the system has no huge ones. Throws
// std::bad_alloc. [main-thread]
LargePages allocate_large_pages(size_t floats);

}  // namespace coil::ssm
