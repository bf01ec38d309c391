// The system calls of each platform.
#include "plugin/learn/thread_priority.h"

#include <algorithm>
#include <thread>

#if !defined(_WIN32)
#include <dlfcn.h>
#endif
#if defined(__linux__)
#include <sched.h>
#include <sys/resource.h>
#elif defined(__APPLE__)
#include <pthread/qos.h>
#elif defined(_WIN32)
#include <windows.h>
#endif

namespace coil::plugin {

void stay_loaded() noexcept {
#if defined(_WIN32)
  HMODULE module = nullptr;
  GetModuleHandleExA(GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS | GET_MODULE_HANDLE_EX_FLAG_PIN,
                     reinterpret_cast<const char*>(&stay_loaded), &module);
#else
  Dl_info info{};
  if (dladdr(reinterpret_cast<const void*>(&stay_loaded), &info) != 0 && info.dli_fname != nullptr)
    dlopen(info.dli_fname, RTLD_LAZY | RTLD_NOLOAD | RTLD_NODELETE);
#endif
}

#if defined(__linux__)

namespace {

// The process' original set of cores, so that a restricted thread does not pass its restriction on.
cpu_set_t cores_of_process() noexcept {
  static const cpu_set_t cores = [] {
    cpu_set_t set;
    CPU_ZERO(&set);
    sched_getaffinity(0, sizeof set, &set);
    return set;
  }();
  return cores;
}

}  // namespace

// Niceness belongs to a thread, although POSIX says that it belongs to the process.
void give_way_to_most() noexcept {
  constexpr int kLow = 10;  // a tenth of the time of a busy thread of normal priority on the same core
  if (getpriority(PRIO_PROCESS, 0) < kLow) setpriority(PRIO_PROCESS, 0, kLow);
}

void give_way_to_all() noexcept {
  constexpr int kLowest = 19;
  setpriority(PRIO_PROCESS, 0, kLowest);  // for systems that refuse the next call
  const sched_param parameters{};
  sched_setscheduler(0, SCHED_IDLE, &parameters);
}

void stay_off_core(int core) noexcept {
  cpu_set_t cores = cores_of_process();
  if (core >= 0 && CPU_COUNT(&cores) > 1) CPU_CLR(core, &cores);
  if (CPU_COUNT(&cores) > 0) sched_setaffinity(0, sizeof cores, &cores);
}

int present_core() noexcept { return sched_getcpu(); }

size_t usable_cores() noexcept {
  const cpu_set_t cores = cores_of_process();
  return std::max<size_t>(1, CPU_COUNT(&cores));
}

#else

void give_way_to_most() noexcept {
#if defined(__APPLE__)
  pthread_set_qos_class_self_np(QOS_CLASS_UTILITY, 0);
#elif defined(_WIN32)
  SetThreadPriority(GetCurrentThread(), THREAD_PRIORITY_LOWEST);
#endif
}

void give_way_to_all() noexcept {
#if defined(__APPLE__)
  pthread_set_qos_class_self_np(QOS_CLASS_BACKGROUND, 0);
#elif defined(_WIN32)
  SetThreadPriority(GetCurrentThread(), THREAD_PRIORITY_IDLE);
#endif
}

void stay_off_core(int) noexcept {}

int present_core() noexcept { return -1; }

size_t usable_cores() noexcept { return std::max(1u, std::thread::hardware_concurrency()); }

#endif

}  // namespace coil::plugin
