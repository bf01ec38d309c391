// The loop that waits, processes and reads the clock.
#include "cli/bench/bench_host.h"

#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>

#include <algorithm>
#include <limits>
#include <memory>
#include <thread>

#include "cli/interrupt.h"

namespace coil::cli {
namespace {

constexpr int kPriority = 70;  // above the kernel's interrupt threads (50), as audio servers choose it
constexpr double kWarmUpSeconds = 0.5;

int64_t clock_ns(clockid_t clock) noexcept {
  timespec time;
  clock_gettime(clock, &time);
  return time.tv_sec * int64_t{1'000'000'000} + time.tv_nsec;
}

void sleep_until(int64_t due_ns) noexcept {
#ifdef __APPLE__
  const int64_t rest_ns = std::max<int64_t>(0, due_ns - clock_ns(CLOCK_MONOTONIC));
  const timespec rest = {static_cast<time_t>(rest_ns / 1'000'000'000), static_cast<long>(rest_ns % 1'000'000'000)};
  nanosleep(&rest, nullptr);
#else
  const timespec due = {static_cast<time_t>(due_ns / 1'000'000'000), static_cast<long>(due_ns % 1'000'000'000)};
  clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, nullptr);
#endif
}

// The system's statistics of this thread: how often it waited, and how long it really ran.
struct ThreadAccounts {
  long waits = 0;
  int64_t cpu_ns = 0;

  static ThreadAccounts now() noexcept {
    ThreadAccounts accounts;
#ifdef RUSAGE_THREAD
    rusage usage;
    getrusage(RUSAGE_THREAD, &usage);
    accounts.waits = usage.ru_nvcsw;
#endif
    accounts.cpu_ns = clock_ns(CLOCK_THREAD_CPUTIME_ID);
    return accounts;
  }
};

// Locks the memory that exists now: everything that the thread uses was allocated before it starts.
HostThread enter_real_time() noexcept {
  HostThread permitted;
  sched_param parameters = {};
  parameters.sched_priority = kPriority;
  permitted.is_real_time = pthread_setschedparam(pthread_self(), SCHED_FIFO, &parameters) == 0;
  permitted.is_memory_locked = mlockall(MCL_CURRENT) == 0;
  return permitted;
}

class Host {
 public:
  Host(dsp::AudioProcessor& processor, const HostSettings& settings)
      : processor_(processor),
        settings_(settings),
        buffers_(settings.input->size(), std::vector<float>(settings.block_frames)) {
    for (std::vector<float>& buffer : buffers_) channels_.push_back(buffer.data());
  }

  // For blocks longer than `suspicious_ns`, checks whether they were preempted.
  void play(double seconds, uint64_t suspicious_ns, HostRun& run) noexcept {
    const double period_ns = 1e9 * settings_.block_frames / settings_.sample_rate_hz;
    const int64_t start_ns = clock_ns(CLOCK_MONOTONIC);
    for (double due_ns = 0; due_ns < 1e9 * seconds && !interrupted(); due_ns += period_ns) {
      due_ns = wait(start_ns, due_ns, period_ns, run);
      next_input();
      const ThreadAccounts before = ThreadAccounts::now();
      const int64_t begin_ns = clock_ns(CLOCK_MONOTONIC);
      processor_.process({channels_.data(), static_cast<int>(channels_.size()), settings_.block_frames});
      const uint64_t took_ns = static_cast<uint64_t>(clock_ns(CLOCK_MONOTONIC) - begin_ns);
      run.block_ns.add(took_ns);
      run.missed += static_cast<double>(took_ns) > period_ns;
      if (took_ns > suspicious_ns && was_preempted(before, static_cast<int64_t>(took_ns)))
        ++run.preempted;
      else
        run.largest_own_ns = std::max(run.largest_own_ns, took_ns);
    }
  }

 private:
  // Returns when the next block is due.
  static double wait(int64_t start_ns, double due_ns, double period_ns, HostRun& run) noexcept {
    const auto elapsed_ns = [&] { return static_cast<double>(clock_ns(CLOCK_MONOTONIC) - start_ns); };
    double now_ns = elapsed_ns();
    if (now_ns < due_ns) {
      while (now_ns < due_ns && !interrupted()) {
        if (period_ns >= kShortestSleepNs) sleep_until(start_ns + static_cast<int64_t>(due_ns));
        now_ns = elapsed_ns();
      }
      run.late_wakeups += now_ns > due_ns + period_ns;
    }
    return now_ns > due_ns + period_ns ? now_ns : due_ns;
  }

  void next_input() noexcept {
    const size_t frames = static_cast<size_t>(settings_.block_frames);
    if (at_ + frames > settings_.input->front().size()) at_ = 0;
    for (size_t c = 0; c < buffers_.size(); ++c)
      std::copy_n((*settings_.input)[c].begin() + at_, frames, buffers_[c].begin());
    at_ += frames;
  }

  // True if the thread did not run for at least a tenth of the time without waiting. A smaller difference may come from
  // reading the statistics slightly outside the block.
  static bool was_preempted(const ThreadAccounts& before, int64_t took_ns) noexcept {
    const ThreadAccounts after = ThreadAccounts::now();
    return after.waits == before.waits && 10 * (took_ns - (after.cpu_ns - before.cpu_ns)) > took_ns;
  }

  dsp::AudioProcessor& processor_;
  const HostSettings& settings_;
  std::vector<std::vector<float>> buffers_;
  std::vector<float*> channels_;
  size_t at_ = 0;
};

}  // namespace

void run_host(dsp::AudioProcessor& processor, const HostSettings& settings, HostRun& run) {
  processor.prepare({settings.sample_rate_hz, settings.block_frames, static_cast<int>(settings.input->size())});
  Host host(processor, settings);
  const auto warm_up = std::make_unique<HostRun>();
  std::thread([&] {
    enter_real_time();
    host.play(kWarmUpSeconds, std::numeric_limits<uint64_t>::max(), *warm_up);
    host.play(settings.seconds, warm_up->block_ns.percentile(50) * 3 / 2, run);
  }).join();
}

HostThread try_host_thread() {
  HostThread result;
  std::thread([&] {
    result = enter_real_time();
    constexpr int kTimes = 25;
    constexpr int64_t kStintNs = 10'000'000;
    for (int i = 0; i < kTimes && !interrupted(); ++i) {
      // Without pauses, the system's real-time throttling would stop the thread.
      sleep_until(clock_ns(CLOCK_MONOTONIC) + kStintNs);
      int64_t before_ns = clock_ns(CLOCK_MONOTONIC), now_ns = before_ns;
      for (const int64_t end_ns = before_ns + kStintNs; now_ns < end_ns; before_ns = now_ns) {
        now_ns = clock_ns(CLOCK_MONOTONIC);
        result.stalls_per_s += now_ns - before_ns >= 10'000 ? 1e9 / (kTimes * kStintNs) : 0;
        result.largest_stall_us = std::max(result.largest_stall_us, static_cast<double>(now_ns - before_ns) / 1000);
      }
    }
  }).join();
  return result;
}

}  // namespace coil::cli
