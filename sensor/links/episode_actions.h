// Actions at the begin and end of an episode: a command, or a request to a web server. They never run on the stream's
// thread.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "sensor/links/sink.h"
#include "sensor/service/log.h"

namespace coil::sensor {

// Delivers texts one by one, in order, on its own thread. A failed delivery is retried after half a second, then after
// twice as long each time.
class DeliveryQueue {
 public:
  struct Options {
    std::string name;                                 // of the receiver, for messages
    size_t most_waiting = 1000;                       // if more wait, the oldest is dropped with a warning
    std::chrono::seconds patience{600};               // how long delivery of one text is retried
    std::chrono::milliseconds patience_at_end{5000};  // how long after the end of the stream
  };
  // Returns what went wrong; empty: delivered. Called on the queue's thread; must return soon when `stopping` becomes
  // true.
  using Deliver = std::function<std::string(const std::string& text, const std::atomic<bool>& stopping)>;

  DeliveryQueue(Options options, Deliver deliver, const Log& log);
  ~DeliveryQueue();  // calls finish()

  // Delivers the waiting texts, as long as the receiver takes them, and ends. Returns how many texts were lost, and
  // says so in one line.
  uint64_t finish();

  void add(std::string text);  // does not block [any thread]

  struct Counts {
    uint64_t delivered = 0, retries = 0, dropped = 0, waiting = 0;
  };
  Counts counts() const;  // [any thread]

 private:
  using Clock = std::chrono::steady_clock;

  void run();
  bool deliver(const std::string& text, std::unique_lock<std::mutex>& lock);

  const Options options_;
  const Deliver deliver_;
  const Log& log_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::string> waiting_;
  Counts counts_;
  bool is_ending_ = false;
  Clock::time_point end_by_{};
  std::atomic<bool> stopping_{false};
  std::thread thread_;
};

// Runs `command` in a shell. The text is its standard input; {"sensor": ...} is in the variables COIL_SENSOR,
// COIL_NAME, COIL_EPISODE, COIL_TIME, COIL_STATUS, COIL_SCORE, COIL_CAUSE. Its standard output goes to standard error.
// It is stopped after a minute.
DeliveryQueue::Deliver run_command(std::string command);

#ifdef COIL_METRICS
// POSTs the text as application/json. Throws Error if `url` is not a URL.
DeliveryQueue::Deliver post_to(const std::string& url);
#endif

// Passes an event to each queue when an episode or a silence begins or ends, as one line of JSON.
class EpisodeActions final : public Sink {
 public:
  // The queues must outlive this object.
  explicit EpisodeActions(std::vector<DeliveryQueue*> queues) : queues_(std::move(queues)) {}

  bool wants_text() const override { return false; }
  void write(const Result& result) override;
  void note(const Silence& silence) override;

 private:
  void deliver(const std::string& event);

  std::vector<DeliveryQueue*> queues_;
};

}  // namespace coil::sensor
