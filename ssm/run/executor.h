// How pieces of signals are run: in blocks, by the parallel scan, or on a GPU. The result is that of ssm::Stream.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "ssm/run/scan.h"
#include "ssm/run/stream.h"

namespace coil::ssm {

// The next frames of one signal: in (frames, d_input), out (frames, d_output). They do not overlap.
struct Stretch {
  Stream* stream;
  std::span<const float> in;
  std::span<float> out;
};

class Executor {
 public:
  virtual ~Executor() = default;

  // Does what Stream::process does, for every stretch. All streams must be different. [any thread but the audio
  // thread], several at once.
  virtual void run(std::span<const Stretch> stretches) = 0;
};

// Runs on the calling thread, block by block.
class BlockExecutor final : public Executor {
 public:
  void run(std::span<const Stretch> stretches) override;
};

// Runs every stretch on several threads, by ssm::Scan.
class ScanExecutor final : public Executor {
 public:
  explicit ScanExecutor(int threads) : threads_(threads) {}
  void run(std::span<const Stretch> stretches) override;

 private:
  struct Idle {
    std::shared_ptr<const Model> model;
    std::unique_ptr<Scan> scan;
  };

  const int threads_;
  std::mutex mutex_;
  std::vector<Idle> idle_;
};

// For executions that, unlike Stream, do not restart after a non-finite value. `fast` fills the outputs and advances
// the streams' states. Stretches whose results are not finite are restored and run by their streams. So are all if
// `fast` returns false.
void run_or_redo(std::span<const Stretch> stretches, const std::function<bool()>& fast);

}  // namespace coil::ssm
