// Flushes denormal numbers to zero while in scope, then restores the previous setting.
#pragma once

#if defined(__SSE2__) || defined(_M_X64)
#include <immintrin.h>
#endif

#include <cstdint>

namespace coil::dsp {

// Decaying states would otherwise become denormal, which is many times slower on some processors. [audio-thread]
class ScopedFlushDenormals {
 public:
  ScopedFlushDenormals() noexcept : saved_(read()) { write(saved_ | kFlush); }
  ~ScopedFlushDenormals() { write(saved_); }
  ScopedFlushDenormals(const ScopedFlushDenormals&) = delete;
  ScopedFlushDenormals& operator=(const ScopedFlushDenormals&) = delete;

 private:
#if defined(__SSE2__) || defined(_M_X64)
  static constexpr uint64_t kFlush = 0x8040;  // FTZ | DAZ
  static uint64_t read() noexcept { return _mm_getcsr(); }
  static void write(uint64_t value) noexcept { _mm_setcsr(static_cast<unsigned>(value)); }
#elif defined(__aarch64__) && (defined(__GNUC__) || defined(__clang__))
  static constexpr uint64_t kFlush = uint64_t{1} << 24;  // FZ
  static uint64_t read() noexcept {
    uint64_t value;
    asm volatile("mrs %0, fpcr" : "=r"(value));
    return value;
  }
  static void write(uint64_t value) noexcept { asm volatile("msr fpcr, %0" : : "r"(value)); }
#else
  static constexpr uint64_t kFlush = 0;
  static uint64_t read() noexcept { return 0; }
  static void write(uint64_t) noexcept {}
#endif

  uint64_t saved_;
};

}  // namespace coil::dsp
