// Counts what a piece of code takes from and gives back to the heap through new and delete.
#pragma once

#include <cstdint>

namespace coil::test {

// Counts on the thread that made it, while it lives. One at a time per thread.
class AllocationCounter {
 public:
  AllocationCounter();
  ~AllocationCounter();
  int64_t count() const;  // allocations and releases
};

}  // namespace coil::test
