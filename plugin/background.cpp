// The background thread's loop.
#include "plugin/background.h"

#include <algorithm>
#include <chrono>
#include <vector>

namespace coil::plugin {

Background::Background() : thread_([this] { run(); }) {}

Background::~Background() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  wake_.notify_all();
  thread_.join();
}

void Background::join(const void* owner, std::function<void()> tick) {
  const std::lock_guard lock(mutex_);
  ticks_[owner] = std::move(tick);
}

void Background::post(const void* owner, std::function<void()> job) {
  {
    const std::lock_guard lock(mutex_);
    jobs_.push_back({owner, std::move(job)});
  }
  wake_.notify_all();
}

void Background::leave(const void* owner) {
  std::unique_lock lock(mutex_);
  std::erase_if(jobs_, [&](const Job& job) { return job.owner == owner; });
  ticks_.erase(owner);
  finished_.wait(lock, [&] { return running_ != owner; });
}

void Background::run() {
  std::unique_lock lock(mutex_);
  const auto run_for = [&](const void* owner, const std::function<void()>& work) {
    running_ = owner;
    lock.unlock();
    work();
    lock.lock();
    running_ = nullptr;
    finished_.notify_all();
  };

  auto next_tick = std::chrono::steady_clock::now();
  while (!stop_) {
    if (!jobs_.empty()) {
      const Job job = std::move(jobs_.front());
      jobs_.pop_front();
      run_for(job.owner, job.run);
      continue;
    }
    if (wake_.wait_until(lock, next_tick, [&] { return stop_ || !jobs_.empty(); })) continue;
    std::vector<const void*> owners;
    for (const auto& [owner, tick] : ticks_) owners.push_back(owner);
    for (const void* owner : owners) {
      const auto it = ticks_.find(owner);  // another owner's tick may have removed it
      if (it == ticks_.end()) continue;
      const auto tick = it->second;
      run_for(owner, tick);
    }
    next_tick = std::chrono::steady_clock::now() + std::chrono::milliseconds(kTickMs);
  }
}

}  // namespace coil::plugin
