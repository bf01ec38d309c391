// Runs pieces of many signals on all GPUs of the machine. Simultaneous requests of several threads share a batch.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "gpu/batched_model.h"
#include "ssm/run/executor.h"

namespace coil::gpu {

// One thread per GPU. A stretch goes to any free GPU. States travel with it, so a signal may move between GPUs. A GPU
// that fails is not used again; the CPU takes over its work from the same position.
class Executor final : public ssm::Executor {
 public:
  // Loads the model, which must come from `checkpoint`, onto every GPU; its other sample rates are loaded on demand.
  // `say` gets one line for each GPU that fails later; it is called from any thread. Throws Error if there is no GPU,
  // or one cannot hold the model. [main-thread]
  Executor(const std::shared_ptr<const ssm::Model>& model, ssm::Checkpoint checkpoint,
           std::function<void(const std::string&)> say, Precision precision = Precision::float32);
  ~Executor() override;

  // If no GPU works, runs on the calling thread.
  void run(std::span<const ssm::Stretch> stretches) override;

  int working_gpus() const;  // [any thread]
  int gpus() const { return static_cast<int>(workers_.size()); }

 private:
  struct Request;
  struct Worker;

  bool run_on_gpu(std::span<const ssm::Stretch> stretches);
  void work(Worker& worker, std::stop_token stop);
  std::vector<Request*> take(std::unique_lock<std::mutex>& lock, std::stop_token stop);

  const ssm::Checkpoint checkpoint_;
  const std::function<void(const std::string&)> say_;
  const Precision precision_;
  mutable std::mutex mutex_;
  std::condition_variable_any asked_;
  std::condition_variable done_;
  std::deque<Request*> requests_;
  int working_ = 0;
  std::vector<std::unique_ptr<Worker>> workers_;
  std::vector<std::jthread> threads_;  // declared last: joined before the members that they use are destroyed
};

}  // namespace coil::gpu
