// A reader and a writer that wrap others, each with a thread and a queue.
#include "cli/sound/sound_ahead.h"

#include <algorithm>
#include <thread>
#include <vector>

#include "cli/sound/bounded_queue.h"

namespace coil::cli {
namespace {

constexpr size_t kQueuedBlocks = 2;

class ReadAhead final : public SoundReader {
 public:
  ReadAhead(std::unique_ptr<SoundReader> reader, int frames) : reader_(std::move(reader)), frames_(frames) {
    info_ = reader_->info();
    set_metadata(reader_->metadata());
  }
  ~ReadAhead() override { queue_.abandon(); }

  int64_t read(std::span<float> out) override {
    if (!thread_.joinable()) thread_ = std::jthread([this] { read_all(); });
    size_t filled = 0;
    while (filled < out.size()) {
      if (used_ == block_.size()) {
        std::optional<std::vector<float>> next = queue_.pop();
        if (!next) break;
        block_ = std::move(*next);
        used_ = 0;
      }
      const size_t count = std::min(out.size() - filled, block_.size() - used_);
      std::copy_n(block_.begin() + static_cast<std::ptrdiff_t>(used_), count,
                  out.begin() + static_cast<std::ptrdiff_t>(filled));
      used_ += count;
      filled += count;
    }
    return static_cast<int64_t>(filled) / info_.channels;
  }

  SoundFaults faults() const override { return reader_->faults(); }
  bool is_stream() const override { return reader_->is_stream(); }

 private:
  void read_all() {
    try {
      for (;;) {
        std::vector<float> block(static_cast<size_t>(frames_) * info_.channels);
        const int64_t frames = reader_->read(block);
        if (frames <= 0) break;
        block.resize(static_cast<size_t>(frames) * info_.channels);
        if (!queue_.push(std::move(block))) return;
      }
      queue_.close();
    } catch (...) {
      queue_.close(std::current_exception());
    }
  }

  std::unique_ptr<SoundReader> reader_;
  const int frames_;
  BoundedQueue<std::vector<float>> queue_{kQueuedBlocks};
  std::vector<float> block_;  // taken from the queue
  size_t used_ = 0;           // of it
  std::jthread thread_;       // declared last: joined before the members that it uses are destroyed
};

class WriteBehind final : public SoundWriter {
 public:
  explicit WriteBehind(std::unique_ptr<SoundWriter> writer) : writer_(std::move(writer)) {
    format_ = writer_->format();
    thread_ = std::jthread([this] { write_all(); });
  }
  ~WriteBehind() override { queue_.close(); }

  void write(std::span<const float> in) override {
    if (!in.empty() && !queue_.push({in.begin(), in.end()})) finish();
  }

  void commit() override {
    finish();
    writer_->commit();
    format_ = writer_->format();
    lost_metadata_ = writer_->lost_metadata();
  }

 private:
  void finish() {
    queue_.close();
    if (thread_.joinable()) thread_.join();
    if (fault_) std::rethrow_exception(fault_);
  }

  void write_all() {
    try {
      while (const std::optional<std::vector<float>> block = queue_.pop()) writer_->write(*block);
    } catch (...) {
      fault_ = std::current_exception();
      queue_.abandon();
    }
  }

  std::unique_ptr<SoundWriter> writer_;
  BoundedQueue<std::vector<float>> queue_{kQueuedBlocks};
  std::exception_ptr fault_;  // read after the thread has ended
  std::jthread thread_;       // declared last: joined before the members that it uses are destroyed
};

}  // namespace

std::unique_ptr<SoundReader> read_ahead(std::unique_ptr<SoundReader> reader, int frames) {
  return std::make_unique<ReadAhead>(std::move(reader), frames);
}

std::unique_ptr<SoundWriter> write_behind(std::unique_ptr<SoundWriter> writer) {
  return std::make_unique<WriteBehind>(std::move(writer));
}

}  // namespace coil::cli
