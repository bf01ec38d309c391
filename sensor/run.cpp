// Writes results before the checkpoint that covers their records.
#include "sensor/run.h"

#include <algorithm>
#include <utility>
#include <vector>

namespace coil::sensor {
namespace {

using Clock = std::chrono::steady_clock;
constexpr std::chrono::milliseconds kLongestWait{250};  // between two checks of `stop`
constexpr size_t kRecordsAtOnce = 4096;                 // results are written after this many records

class Run {
 public:
  Run(Engine& engine, Source& source, Sink& sink, const CheckpointPace& pace)
      : engine_(engine), source_(source), sink_(sink), pace_(pace), saved_records_(engine.counters().records) {}

  void until_end(const std::function<bool()>& stop) {
    source_.set_partition_hooks(engine_.partition_hooks());
    bool is_first = true, more = true;
    while (more && !stop()) {
      messages_.clear();
      done_ = 0;
      more = source_.read(messages_, wait());
      if (std::exchange(is_first, false) && !source_.place_after(0).empty())
        save();  // so that a new start can tell new data from old
      process();
      if (source_.is_live()) engine_.tick(sink_);
      if (messages_.empty() && is_time_up()) save_now();
    }
    const bool goes_on_later = more && engine_.keeps_state() && !source_.place_after(0).empty();
    engine_.finish(sink_, !goes_on_later);
    write_out();
    save();
  }

 private:
  bool is_time_up() const { return pace_.interval.count() > 0 && Clock::now() >= saved_at_ + pace_.interval; }

  std::chrono::milliseconds wait() const {
    if (pace_.interval.count() == 0) return kLongestWait;
    const auto until_due =
        std::chrono::duration_cast<std::chrono::milliseconds>(saved_at_ + pace_.interval - Clock::now());
    return std::clamp(until_due, std::chrono::milliseconds(0), kLongestWait);
  }

  // In pieces, so that results and checkpoints are not delayed when many records wait.
  void process() {
    for (std::span<const Message> left = messages_; !left.empty();) {
      size_t count = std::min(left.size(), kRecordsAtOnce);
      if (pace_.records > 0) {
        const uint64_t due = saved_records_ + pace_.records, now = engine_.counters().records;
        count = std::min<uint64_t>(count, due > now ? due - now : 1);
      }
      engine_.process(left.first(count), sink_);
      write_out();
      left = left.subspan(count);
      done_ += count;
      const bool is_count_up = pace_.records > 0 && engine_.counters().records >= saved_records_ + pace_.records;
      if (is_count_up || is_time_up()) save_now();
    }
  }

  void write_out() {
    sink_.flush();
    source_.answered();
  }

  void save() {
    if (!engine_.keeps_state()) return;
    engine_.save(source_.place_after(done_));
    engine_.report_saved(source_);
  }

  void save_now() {
    save();
    saved_records_ = engine_.counters().records;
    saved_at_ = Clock::now();
  }

  Engine& engine_;
  Source& source_;
  Sink& sink_;
  CheckpointPace pace_;
  std::vector<Message> messages_;
  size_t done_ = 0;  // of the messages
  uint64_t saved_records_;
  Clock::time_point saved_at_ = Clock::now();
};

}  // namespace

void run(Engine& engine, Source& source, Sink& sink, const CheckpointPace& pace, const std::function<bool()>& stop) {
  Run(engine, source, sink, pace).until_end(stop);
}

}  // namespace coil::sensor
