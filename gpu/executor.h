// Stretches of many signals on all GPUs of the machine: what several threads ask for at the same time shares a batch.
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

// One thread per GPU. A stretch goes to whichever GPU is free; states travel with it, so a signal may move between
// GPUs. A GPU that fails is not used again, and what it was to do is done on the CPU, from where it stood.
class Executor final : public ssm::Executor {
 public:
  // Puts the model, which `checkpoint` is of, onto every GPU; its other sample rates follow when they are asked for.
  // `say` gets one line for each GPU that fails later [any thread]. Throws Error: no GPU, or one that cannot hold the
  // model. [main-thread]
  Executor(const std::shared_ptr<const ssm::Model>& model, ssm::Checkpoint checkpoint,
           std::function<void(const std::string&)> say, Precision precision = Precision::float32);
  ~Executor() override;

  // Runs on the calling thread what no GPU can.
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
  std::vector<std::jthread> threads_;  // last: joined before anything that they use goes
};

}  // namespace coil::gpu
