// The queue of requests, and the threads that combine them to batches.
#include "gpu/executor.h"

#include <algorithm>
#include <utility>

#include "gpu/device.h"
#include "base/error.h"

namespace coil::gpu {
namespace {

constexpr size_t kBatchFrames = size_t(1) << 20;  // more would not be faster, but would delay the next request
constexpr size_t kModelsKept = 4;                 // for one model at several sample rates

}  // namespace

// One call of run() until it is answered.
struct Executor::Request {
  enum class Answer { none, done, failed };

  std::span<const ssm::Stretch> stretches;
  Answer answer = Answer::none;

  const ssm::Model& model() const { return stretches.front().stream->model(); }
  size_t frames() const {
    size_t sum = 0;
    for (const ssm::Stretch& stretch : stretches) sum += stretch.in.size() / size_t(model().config().d_input);
    return sum;
  }
};

// One GPU and its models, most recently used first.
struct Executor::Worker {
  Device device;
  std::vector<BatchedModel> models;

  BatchedModel& on_gpu(const ssm::Model& model, const ssm::Checkpoint& checkpoint, Precision precision) {
    const auto found = std::ranges::find(models, &model, [](const BatchedModel& held) { return &held.model(); });
    if (found != models.end()) {
      std::rotate(models.begin(), found, found + 1);
    } else {
      if (models.size() == kModelsKept) models.pop_back();
      models.emplace(models.begin(), model.shared_from_this(), checkpoint,
                     BatchedOptions{.device = device.index, .precision = precision});
    }
    return models.front();
  }
};

Executor::Executor(const std::shared_ptr<const ssm::Model>& model, ssm::Checkpoint checkpoint,
                   std::function<void(const std::string&)> say, Precision precision)
    : checkpoint_(std::move(checkpoint)), say_(std::move(say)), precision_(precision) {
  for (const Device& device : devices()) {
    workers_.push_back(std::make_unique<Worker>(device));
    workers_.back()->on_gpu(*model, checkpoint_, precision_);
  }
  if (workers_.empty()) throw Error(why_no_device());
  working_ = gpus();
  for (const std::unique_ptr<Worker>& worker : workers_) {
    threads_.emplace_back([this, &worker = *worker](std::stop_token stop) { work(worker, stop); });
  }
}

Executor::~Executor() = default;

int Executor::working_gpus() const {
  const std::lock_guard lock(mutex_);
  return working_;
}

void Executor::run(std::span<const ssm::Stretch> stretches) {
  if (!stretches.empty()) ssm::run_or_redo(stretches, [&] { return run_on_gpu(stretches); });
}

bool Executor::run_on_gpu(std::span<const ssm::Stretch> stretches) {
  Request request{stretches};
  std::unique_lock lock(mutex_);
  if (working_ == 0) return false;
  requests_.push_back(&request);
  asked_.notify_one();
  done_.wait(lock, [&] { return request.answer != Request::Answer::none; });
  return request.answer == Request::Answer::done;
}

// Takes the oldest request and all later ones that can share its batch. Empty: stop.
std::vector<Executor::Request*> Executor::take(std::unique_lock<std::mutex>& lock, std::stop_token stop) {
  std::vector<Request*> taken;
  if (!asked_.wait(lock, stop, [&] { return !requests_.empty(); })) return taken;
  const ssm::Model& model = requests_.front()->model();
  size_t frames = 0;
  std::deque<Request*> left;
  for (Request* request : requests_) {
    const bool fits = &request->model() == &model && (taken.empty() || frames + request->frames() <= kBatchFrames);
    if (fits) frames += request->frames();
    if (fits)
      taken.push_back(request);
    else
      left.push_back(request);
  }
  requests_ = std::move(left);
  if (!requests_.empty()) asked_.notify_one();  // another GPU may be idle
  return taken;
}

void Executor::work(Worker& worker, std::stop_token stop) {
  std::unique_lock lock(mutex_);
  for (std::vector<Request*> batch; !(batch = take(lock, stop)).empty();) {
    lock.unlock();
    std::string fault;
    try {
      std::vector<Frames> signals;
      for (const Request* request : batch) {
        for (const ssm::Stretch& stretch : request->stretches)
          signals.push_back({&stretch.stream->state(), stretch.in, stretch.out});
      }
      worker.on_gpu(batch.front()->model(), checkpoint_, precision_).process(signals);
    } catch (const std::exception& error) {
      fault = error.what();
    }
    lock.lock();
    if (!fault.empty() && --working_ == 0) {  // the last GPU answers all remaining requests
      batch.insert(batch.end(), requests_.begin(), requests_.end());
      requests_.clear();
    }
    for (Request* request : batch) request->answer = fault.empty() ? Request::Answer::done : Request::Answer::failed;
    done_.notify_all();
    if (fault.empty()) continue;
    const bool last = working_ == 0;
    lock.unlock();
    const std::string gpu = worker.device.name + " (GPU " + std::to_string(worker.device.index) + ")";
    say_(gpu + " is not used any more: " + fault + (last ? "; going on on the CPU" : ""));
    return;
  }
}

}  // namespace coil::gpu
