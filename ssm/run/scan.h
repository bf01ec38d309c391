// Whole signals at once: time is cut into chunks that run in parallel and are joined exactly by the scan's
// associativity.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "ssm/run/model.h"

namespace coil::ssm {

struct ScanOptions {
  int chunk_frames = 1024;     // one unit of parallel work
  int segment_frames = 65536;  // memory is bound by this, not by the signal's length
  int threads = 0;             // 0: one per core
};

// The same function as Stream, same state in and out; starts and ends anywhere in a signal. A state that leaves the
// finite numbers stays as it is: ScanExecutor (ssm/run/executor.h) starts anew where a stream would. [main-thread]
class Scan {
 public:
  explicit Scan(std::shared_ptr<const Model> model, ScanOptions options = {});
  ~Scan();

  // As Stream::process and Stream::process_tokens; `state` is where the signal stands before, and afterwards.
  void process(State& state, std::span<const float> in, std::span<float> out);
  void process_tokens(State& state, std::span<const int32_t> tokens, std::span<float> logits);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace coil::ssm
