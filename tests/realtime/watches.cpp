// Checks that the detectors for forbidden calls work.
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <malloc.h>

#include <array>
#include <catch2/catch.hpp>
#include <cstdlib>
#include <memory>
#include <thread>
#include <vector>

#include "tests/realtime/forbidden_calls.h"
#include "tests/realtime/system_calls.h"

namespace {

using namespace coil;

// The compiler knows neither the result nor its use, so it cannot remove a call.
template <class T>
T opaque(T value) {
  asm volatile("" : "+r"(value) : : "memory");
  return value;
}

struct Deliberate {
  const char* entry;
  std::function<void()> call;
};

void check_counted(const std::vector<Deliberate>& calls) {
  for (const auto& [entry, call] : calls) {
    INFO(entry);
    CHECK_THAT(test::forbidden_calls(call), Catch::StartsWith(entry + std::string(" 1")));
  }
}

TEST_CASE("the detector sees every heap function") {
#if COIL_COUNTS_HEAP
  struct alignas(64) Wide {
    float values[16];
  };
  const auto release = [](void* memory) { std::free(opaque(memory)); };
  check_counted({
      {"malloc", [=] { release(opaque(&std::malloc)(8)); }},
      {"calloc", [=] { release(opaque(&std::calloc)(1, 8)); }},
      {"realloc", [=] { release(opaque(&std::realloc)(nullptr, 8)); }},
      {"reallocarray", [=] { release(opaque(&reallocarray)(nullptr, 1, 8)); }},
      {"aligned_alloc", [=] { release(opaque(&std::aligned_alloc)(64, 64)); }},
      {"posix_memalign",
       [=] {
         void* memory = nullptr;
         if (opaque(&posix_memalign)(&memory, 64, 64) == 0) release(memory);
       }},
      {"memalign", [=] { release(opaque(&memalign)(64, 64)); }},
      {"valloc", [=] { release(opaque(&valloc)(8)); }},
      {"pvalloc", [=] { release(opaque(&pvalloc)(8)); }},
      {"free", [memory = std::malloc(8)] { opaque (&std::free)(memory); }},
      {"malloc", [] { delete opaque(new int); }},
      {"malloc", [] { delete[] opaque(new int[8]); }},
      {"malloc", [] { delete opaque(new (std::nothrow) int); }},
      {"aligned_alloc", [] { delete opaque(new Wide); }},
      {"malloc", [] { opaque(std::vector<float>(1000).data()); }},
      {"malloc", [] { opaque(std::make_shared<int>().get()); }},
  });
#else
  WARN("skipped: the heap belongs to the sanitizer");
#endif
}

TEST_CASE("the detector sees every lock") {
  pthread_mutex_t mutex = PTHREAD_ERRORCHECK_MUTEX_INITIALIZER_NP;
  pthread_rwlock_t lock = PTHREAD_RWLOCK_INITIALIZER;
  pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
  sem_t semaphore;
  sem_init(&semaphore, 0, 2);
  const timespec past{};
  // Each call returns at once: a held lock is refused, and a wait without the mutex, too.
  check_counted({
      {"pthread_mutex_lock", [&] { pthread_mutex_lock(&mutex); }},
      {"pthread_mutex_trylock", [&] { pthread_mutex_trylock(&mutex); }},
      {"pthread_mutex_timedlock", [&] { pthread_mutex_timedlock(&mutex, &past); }},
      {"pthread_mutex_clocklock", [&] { pthread_mutex_clocklock(&mutex, CLOCK_MONOTONIC, &past); }},
      {"pthread_mutex_unlock", [&] { pthread_mutex_unlock(&mutex); }},
      {"pthread_cond_wait", [&] { pthread_cond_wait(&condition, &mutex); }},
      {"pthread_cond_timedwait", [&] { pthread_cond_timedwait(&condition, &mutex, &past); }},
      {"pthread_cond_clockwait", [&] { pthread_cond_clockwait(&condition, &mutex, CLOCK_MONOTONIC, &past); }},
      {"pthread_cond_signal", [&] { pthread_cond_signal(&condition); }},
      {"pthread_cond_broadcast", [&] { pthread_cond_broadcast(&condition); }},
      {"pthread_rwlock_wrlock", [&] { pthread_rwlock_wrlock(&lock); }},
      {"pthread_rwlock_trywrlock", [&] { pthread_rwlock_trywrlock(&lock); }},
      {"pthread_rwlock_timedwrlock", [&] { pthread_rwlock_timedwrlock(&lock, &past); }},
      {"pthread_rwlock_clockwrlock", [&] { pthread_rwlock_clockwrlock(&lock, CLOCK_MONOTONIC, &past); }},
      {"pthread_rwlock_rdlock", [&] { pthread_rwlock_rdlock(&lock); }},
      {"pthread_rwlock_tryrdlock", [&] { pthread_rwlock_tryrdlock(&lock); }},
      {"pthread_rwlock_timedrdlock", [&] { pthread_rwlock_timedrdlock(&lock, &past); }},
      {"pthread_rwlock_clockrdlock", [&] { pthread_rwlock_clockrdlock(&lock, CLOCK_MONOTONIC, &past); }},
      {"pthread_rwlock_unlock", [&] { pthread_rwlock_unlock(&lock); }},
      {"sem_wait", [&] { sem_wait(&semaphore); }},
      {"sem_trywait", [&] { sem_trywait(&semaphore); }},
      {"sem_timedwait", [&] { sem_timedwait(&semaphore, &past); }},
      {"sem_clockwait", [&] { sem_clockwait(&semaphore, CLOCK_MONOTONIC, &past); }},
      {"sem_post", [&] { sem_post(&semaphore); }},
      {"__cxa_guard_acquire",
       [] {
         static const int once = opaque(1);
         opaque(once);
       }},
  });
}

TEST_CASE("the detector sees exceptions thrown here and in the library") {
  const auto thrown = [](const std::function<void()>& work) {
    return test::forbidden_calls([&] {
      try {
        work();
      } catch (...) {
      }
    });
  };
  CHECK_THAT(thrown([] { throw 1; }), Catch::Contains("__cxa_throw 1"));
  CHECK_THAT(thrown([] { opaque(std::array<int, 2>().at(opaque<size_t>(2))); }), Catch::Contains("__cxa_throw 1"));
}

TEST_CASE("the detector reports nothing without forbidden calls, or before and after") {
  CHECK(test::forbidden_calls([] {}) == "");
  delete opaque(new int);
  CHECK(test::forbidden_calls([] { opaque(1); }) == "");
}

TEST_CASE("a system call ends a child under the filter, and is named by the tracer") {
  for (const test::Watch watch : {test::Watch::filter, test::Watch::tracer}) {
    const bool filter = watch == test::Watch::filter;
    const auto silent = test::system_calls(watch, [] { opaque(1); });
    if (!silent) {
      WARN((filter ? "no seccomp filter can be installed here" : "ptrace is not allowed here"));
      continue;
    }
    CHECK(*silent == "");
    const auto expected = [&](long call) {
      return filter ? "killed by signal " + std::to_string(SIGSYS) : "system call " + std::to_string(call);
    };
    CHECK(test::system_calls(watch, [] { syscall(SYS_getpid); }) == expected(SYS_getpid));
    CHECK(test::system_calls(watch, [] { std::this_thread::yield(); }) == expected(SYS_sched_yield));
    CHECK(test::system_calls(watch, [] { syscall(SYS_exit_group, 3); }) == "exit status 3");
    CHECK(test::system_calls(watch, [] { __builtin_trap(); }) != "");
  }
}

}  // namespace
