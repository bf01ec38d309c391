// Storage aligned for every SIMD target.
#pragma once

#include <cstddef>
#include <new>
#include <vector>

namespace coil::ssm {

inline constexpr size_t kAlignment = 64;  // bytes: one cache line, one AVX-512 vector

template <class T>
struct AlignedAllocator {
  using value_type = T;
  AlignedAllocator() = default;
  template <class U>
  AlignedAllocator(const AlignedAllocator<U>&) {}
  T* allocate(size_t n) { return static_cast<T*>(::operator new (n * sizeof(T), std::align_val_t{kAlignment})); }
  void deallocate(T* p, size_t) { ::operator delete (p, std::align_val_t{kAlignment}); }
  template <class U>
  bool operator==(const AlignedAllocator<U>&) const {
    return true;
  }
};

template <class T>
using AlignedVector = std::vector<T, AlignedAllocator<T>>;
using AlignedFloats = AlignedVector<float>;

}  // namespace coil::ssm
