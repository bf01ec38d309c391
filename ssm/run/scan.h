// Processes whole signals: time is divided into chunks that run in parallel and are joined exactly by the scan's
// associativity.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "ssm/run/model.h"

namespace coil::ssm {

struct ScanOptions {
  int chunk_frames = 1024;     // one unit of parallel work
  int segment_frames = 65536;  // bounds the memory, independently of the signal's length
  int threads = 0;             // 0: one per core
};

// Computes the same function as Stream, with the same states, from any position of a signal to any other. A state that
// becomes non-finite stays so; ScanExecutor (ssm/run/executor.h) restarts as a stream does. [main-thread]
class Scan {
 public:
  explicit Scan(std::shared_ptr<const Model> model, ScanOptions options = {});
  ~Scan();

  // As Stream::process and Stream::process_tokens. `state` holds the signal's state before, and afterwards the new one.
  void process(State& state, std::span<const float> in, std::span<float> out);
  void process_tokens(State& state, std::span<const int32_t> tokens, std::span<float> logits);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace coil::ssm
