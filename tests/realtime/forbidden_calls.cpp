// Replaces the functions for heap, locks and throwing in this whole program, including its shared libraries: each
// counts and calls the original.
#include "tests/realtime/forbidden_calls.h"

#include <dlfcn.h>
#include <malloc.h>
#include <pthread.h>
#include <semaphore.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <string_view>
#include <typeinfo>
#include <utility>

namespace {

struct Tally {
  std::string_view entry;
  int64_t calls = 0;
};

// An executable's own thread_locals are in its static TLS block: accessing them calls no function, even before main.
constinit thread_local bool counting = false;
constinit thread_local std::array<Tally, 64> tallies;

void count(std::string_view entry) noexcept {
  if (!counting) return;
  for (Tally& tally : tallies) {
    if (tally.entry.empty()) tally.entry = entry;
    if (tally.entry != entry) continue;
    ++tally.calls;
    return;
  }
}

// The original function that ours hides. glibc for x86-64 has the condition variables from before 2.3.2 under the same
// names, and would return those first.
void* hidden(const char* entry) noexcept {
  const bool was_counting = std::exchange(counting, false);  // the loader allocates
  void* found = dlvsym(RTLD_NEXT, entry, "GLIBC_2.3.2");
  if (found == nullptr) found = dlsym(RTLD_NEXT, entry);
  counting = was_counting;
  return found;
}

}  // namespace

extern "C" {

// Of the C++ ABI.
void __cxa_throw(void* thrown, std::type_info* type, void (*destroy)(void*));
int __cxa_guard_acquire(uint64_t* guard);

// The noexcept is part of the function's original declaration.
#define COIL_COUNTED(result, entry, parameters, ...)                                               \
  result entry parameters noexcept(noexcept(entry(__VA_ARGS__))) {                                 \
    count(#entry);                                                                                 \
    static std::atomic<void*> found = nullptr;                                                     \
    if (found.load(std::memory_order_relaxed) == nullptr) found = hidden(#entry);                  \
    return reinterpret_cast<decltype(&entry)>(found.load(std::memory_order_relaxed))(__VA_ARGS__); \
  }

COIL_COUNTED(void, __cxa_throw, (void* thrown, std::type_info* type, void (*destroy)(void*)), thrown, type, destroy)
COIL_COUNTED(int, __cxa_guard_acquire, (uint64_t * guard), guard)  // a function-local static, at its first use

COIL_COUNTED(int, pthread_mutex_lock, (pthread_mutex_t * m), m)
COIL_COUNTED(int, pthread_mutex_trylock, (pthread_mutex_t * m), m)
COIL_COUNTED(int, pthread_mutex_timedlock, (pthread_mutex_t * m, const timespec* until), m, until)
COIL_COUNTED(int, pthread_mutex_clocklock, (pthread_mutex_t * m, clockid_t clock, const timespec* until), m, clock,
             until)
COIL_COUNTED(int, pthread_mutex_unlock, (pthread_mutex_t * m), m)
COIL_COUNTED(int, pthread_rwlock_rdlock, (pthread_rwlock_t * l), l)
COIL_COUNTED(int, pthread_rwlock_tryrdlock, (pthread_rwlock_t * l), l)
COIL_COUNTED(int, pthread_rwlock_timedrdlock, (pthread_rwlock_t * l, const timespec* until), l, until)
COIL_COUNTED(int, pthread_rwlock_clockrdlock, (pthread_rwlock_t * l, clockid_t clock, const timespec* until), l, clock,
             until)
COIL_COUNTED(int, pthread_rwlock_wrlock, (pthread_rwlock_t * l), l)
COIL_COUNTED(int, pthread_rwlock_trywrlock, (pthread_rwlock_t * l), l)
COIL_COUNTED(int, pthread_rwlock_timedwrlock, (pthread_rwlock_t * l, const timespec* until), l, until)
COIL_COUNTED(int, pthread_rwlock_clockwrlock, (pthread_rwlock_t * l, clockid_t clock, const timespec* until), l, clock,
             until)
COIL_COUNTED(int, pthread_rwlock_unlock, (pthread_rwlock_t * l), l)
COIL_COUNTED(int, pthread_cond_wait, (pthread_cond_t * c, pthread_mutex_t* m), c, m)
COIL_COUNTED(int, pthread_cond_timedwait, (pthread_cond_t * c, pthread_mutex_t* m, const timespec* until), c, m, until)
COIL_COUNTED(int, pthread_cond_clockwait,
             (pthread_cond_t * c, pthread_mutex_t* m, clockid_t clock, const timespec* until), c, m, clock, until)
COIL_COUNTED(int, pthread_cond_signal, (pthread_cond_t * c), c)
COIL_COUNTED(int, pthread_cond_broadcast, (pthread_cond_t * c), c)
COIL_COUNTED(int, sem_wait, (sem_t * s), s)
COIL_COUNTED(int, sem_trywait, (sem_t * s), s)
COIL_COUNTED(int, sem_timedwait, (sem_t * s, const timespec* until), s, until)
COIL_COUNTED(int, sem_clockwait, (sem_t * s, clockid_t clock, const timespec* until), s, clock, until)
COIL_COUNTED(int, sem_post, (sem_t * s), s)

#if COIL_COUNTS_HEAP
COIL_COUNTED(void*, reallocarray, (void* memory, size_t count_of, size_t size), memory, count_of, size)
COIL_COUNTED(void*, aligned_alloc, (size_t alignment, size_t size), alignment, size)
COIL_COUNTED(int, posix_memalign, (void** memory, size_t alignment, size_t size), memory, alignment, size)
COIL_COUNTED(void*, memalign, (size_t alignment, size_t size), alignment, size)
COIL_COUNTED(void*, valloc, (size_t size), size)
COIL_COUNTED(void*, pvalloc, (size_t size), size)

// Calls from the loader itself are passed on without asking the loader.
void* __libc_malloc(size_t size);
void* __libc_calloc(size_t count, size_t size);
void* __libc_realloc(void* memory, size_t size);
void __libc_free(void* memory);

void* malloc(size_t size) noexcept {
  count("malloc");
  return __libc_malloc(size);
}

void* calloc(size_t count_of, size_t size) noexcept {
  count("calloc");
  return __libc_calloc(count_of, size);
}

void* realloc(void* memory, size_t size) noexcept {
  count("realloc");
  return __libc_realloc(memory, size);
}

void free(void* memory) noexcept {
  if (memory != nullptr) count("free");
  __libc_free(memory);
}
#endif

}  // extern "C"

namespace coil::test {

std::string forbidden_calls(const std::function<void()>& work) {
  tallies = {};
  counting = true;
  work();
  counting = false;
  std::string calls;
  for (const Tally& tally : tallies) {
    if (tally.calls > 0)
      calls += (calls.empty() ? "" : ", ") + std::string(tally.entry) + " " + std::to_string(tally.calls);
  }
  return calls;
}

}  // namespace coil::test
