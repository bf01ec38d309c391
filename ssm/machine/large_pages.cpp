// Linux: the program asks for huge pages. On other systems the system decides.
#include "ssm/machine/large_pages.h"

#include <new>

#ifdef __linux__
#include <sys/mman.h>
#endif

namespace coil::ssm {
namespace {

constexpr size_t kLargePage = size_t{2} << 20;  // bytes

}  // namespace

void FreeLargePages::operator()(float* pages) const noexcept {
  ::operator delete (pages, std::align_val_t{kLargePage});
}

LargePages allocate_large_pages(size_t floats) {
  const size_t bytes = floats * sizeof(float);
  LargePages pages(static_cast<float*>(::operator new (bytes, std::align_val_t{kLargePage})));
#ifdef __linux__
  ::madvise(pages.get(), bytes / kLargePage * kLargePage, MADV_HUGEPAGE);  // if it is refused, memory access is only
                                                                           // slower
#endif
  return pages;
}

}  // namespace coil::ssm
