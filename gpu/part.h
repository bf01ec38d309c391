// The parts of a network on the GPU: built from their configs, run over all rows of a segment.
#pragma once

#include <cuda_runtime.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "gpu/join.cuh"
#include "gpu/pointwise.h"
#include "gpu/precision.h"
#include "ssm/model/checkpoint.h"
#include "ssm/model/plan.h"
#include "ssm/model/state.h"

namespace coil::gpu {

// The offsets of the mixers' state tensors in a row of the table of states, with values in upstream's order.
class StateTable {
 public:
  explicit StateTable(const ssm::StateLayout& layout) : layout_(layout) {}

  // Adds the tensor to the table and returns its offset.
  size_t add(const ssm::StateRegion& region);
  size_t stride() const { return stride_; }
  const ssm::StateTensor& tensor(const std::string& name) const;

  void read(const ssm::State& state, float* row) const;
  void write(const float* row, ssm::State& state) const;

 private:
  struct Entry {
    const ssm::StateTensor* tensor;
    size_t at;
  };
  const ssm::StateLayout& layout_;
  std::vector<Entry> entries_;
  size_t stride_ = 0;
};

// Rows from earlier places in the chain, for taps: the inputs of this layer, of the previous one, and of the first one.
struct EarlierRows {
  const float *layer = nullptr, *layer_before = nullptr, *network = nullptr;
};

// Values that all parts of a segment share.
struct Segment {
  DevicePlan plan;
  float* table;
  size_t table_stride;
  float* scratch;  // 16-byte aligned
  Film film;
  cudaStream_t stream;
  EarlierRows earlier;  // of the running layer
};

// Hands out aligned pieces of a scratch buffer.
class Scratch {
 public:
  explicit Scratch(float* memory) : next_(memory) {}
  static size_t aligned(size_t floats) { return (floats + 3) / 4 * 4; }
  float* take(size_t floats) { return std::exchange(next_, next_ + aligned(floats)); }

 private:
  float* next_;
};

class Part {
 public:
  Part(int in, int out) : width_in(in), width_out(out) {}
  virtual ~Part() = default;

  // in: rows of width_in, out: rows of width_out; they do not overlap.
  virtual void run(const Segment& segment, const float* in, float* out) const = 0;
  virtual size_t scratch_floats(const Extent&) const { return 0; }
  // The number of chunks that run at the same time. Segments of a multiple of it use the whole GPU.
  virtual size_t chunks_at_once() const { return 1; }
  // Runs a whole residual layer in place, h = h + part(h). Only if whole_layer() is true.
  virtual bool whole_layer() const { return false; }
  virtual void run_layer(const Segment&, float* /*h*/) const {}
  // The earlier place in the chain that it reads, if any.
  virtual const ssm::TapConfig* tap() const { return nullptr; }

  const int width_in, width_out;
};

struct Build {
  const ssm::Checkpoint& checkpoint;
  StateTable& states;
  int chunk_frames;
  Precision precision;
};

// h = residual ? h + parts(h) : parts(h)
struct Layer {
  bool residual;
  std::vector<std::unique_ptr<Part>> parts;
};

Layer make_layer(const ssm::PlannedLayer& planned, const Build& build);
std::unique_ptr<Part> make_norm(const ssm::RmsNormConfig& config, const ssm::Checkpoint& checkpoint);

}  // namespace coil::gpu
