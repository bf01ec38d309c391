// How stretches of signals are run: block by block, by the parallel scan, or on a GPU; always the same function as
// ssm::Stream.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "ssm/run/scan.h"
#include "ssm/run/stream.h"

namespace coil::ssm {

// The next frames of one signal: in (frames, d_input), out (frames, d_output), which do not overlap.
struct Stretch {
  Stream* stream;
  std::span<const float> in;
  std::span<float> out;
};

class Executor {
 public:
  virtual ~Executor() = default;

  // As Stream::process for every stretch; the streams are different ones. [any thread but the audio thread, several at
  // once]
  virtual void run(std::span<const Stretch> stretches) = 0;
};

// On the calling thread, block by block.
class BlockExecutor final : public Executor {
 public:
  void run(std::span<const Stretch> stretches) override;
};

// Every stretch on several threads at once, by ssm::Scan.
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

// For executions that do not start anew after a value that is not finite, as Stream does: `fast` fills the outputs and
// moves the streams' states. Those that it leaves not finite go back and are run by their streams; so are all if it
// returns false.
void run_or_redo(std::span<const Stretch> stretches, const std::function<bool()>& fast);

}  // namespace coil::ssm
