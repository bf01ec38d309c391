// The thread on which all instances of the plugin load models and free what the audio threads have given back.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <thread>

namespace coil::plugin {

// One per process, by juce::SharedResourcePointer. All functions: [any thread but the audio thread].
class Background {
 public:
  static constexpr int kTickMs = 50;

  Background();
  ~Background();  // after the last owner has left

  // Calls `tick` every kTickMs until leave().
  void join(const void* owner, std::function<void()> tick);
  // Jobs run one after another, in the order in which they were posted. They must not throw.
  void post(const void* owner, std::function<void()> job);
  // Removes the owner's posted jobs, and returns when none of its jobs is running.
  void leave(const void* owner);

 private:
  struct Job {
    const void* owner;
    std::function<void()> run;
  };

  void run();

  std::mutex mutex_;
  std::condition_variable wake_, finished_;
  std::deque<Job> jobs_;
  std::map<const void*, std::function<void()>> ticks_;
  const void* running_ = nullptr;  // the owner of the running job or tick
  bool stop_ = false;
  std::thread thread_;
};

}  // namespace coil::plugin
