// The memory of a stream between frames, in one arena of fixed size.
#pragma once

#include <complex>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "ssm/machine/aligned.h"
#include "ssm/model/safetensors.h"

namespace coil::ssm {

// A tensor of the state in its external form: its name in files, and upstream's shape, without the batch axis.
struct StateRegion {
  std::string name;  // "state.0.ssm"
  std::vector<int64_t> shape;
  double period = 0;     // of an angle: values that differ by it mean the same; 0: not periodic
  bool upstream = true;  // whether other implementations have it
};

// One named tensor in the arena. Externally (files, comparisons) it has upstream's shape and order. Internally its
// innermost axis is the channels, padded for SIMD: element e of the tensor is at arena[offset + position[e]].
struct StateTensor {
  std::string name;            // "state.0.ssm"
  std::vector<int64_t> shape;  // upstream's, without the batch axis
  size_t offset = 0;
  std::vector<uint32_t> position;
  // Upstream's state is the stored value times this scale: one factor per value, or per pair (re, im) if the last axis
  // is complex.
  std::vector<std::complex<float>> scale;  // empty: 1
};

struct StateLayout {
  std::string model_hash;
  double sample_rate_hz = 0;  // the rate that its model runs at; the data in a file does not depend on it
  size_t size = 0;            // floats in the arena
  std::vector<StateTensor> tensors;

  // Appends a tensor of `floats` floats. Returns its offset, a multiple of 16.
  size_t add(const StateRegion& region, size_t floats, std::vector<uint32_t> position,
             std::vector<std::complex<float>> scale = {});
  // A hash (16 hex digits) of names and shapes, in order. States with the same id have the same fields.
  std::string id() const;
};

// What a layer with memory is doing, for display only.
struct LayerActivity {
  float energy = 0;  // mean square of its scan state
  float dt = 0;      // mean step size of the last frame: a large step takes in the input, a small one keeps the state
};

// True if no value is infinite or NaN. [audio-thread]
bool all_finite(std::span<const float> values) noexcept;

// Float32, fixed size. Copying copies the memory of the signal. The owning stream may change it on the audio thread.
// Everything that allocates or accesses files is [main-thread].
class State {
 public:
  explicit State(std::shared_ptr<const StateLayout> layout);

  const StateLayout& layout() const { return *layout_; }
  float* data() noexcept { return arena_.data(); }
  const float* data() const noexcept { return arena_.data(); }
  size_t bytes() const noexcept { return arena_.size() * sizeof(float); }

  void clear() noexcept;  // all zero
  bool is_finite() const noexcept;
  bool operator==(const State& other) const noexcept;  // true for the same model, the same rate and bit-identical
                                                       // content
  // Copies the content of another state of the same model at the same rate, without allocation. [audio-thread]
  void copy_from(const State& other) noexcept;

  // All named tensors, in upstream's shapes.
  std::vector<NamedFloats> tensors() const;
  // Values in upstream's order. Throws Error for an unknown name or a wrong count.
  void set(const std::string& name, std::span<const float> values);

  // A .safetensors file whose metadata holds "coil_state" (version), "model" (hash) and "layout" (id). load throws
  // Error if the file belongs to another model or version, has other fields, or is damaged.
  // `notes`: additional metadata, under names that the caller chooses.
  void save(const std::filesystem::path& path, const std::map<std::string, std::string>& notes = {}) const;
  static State load(const std::filesystem::path& path, std::shared_ptr<const StateLayout> layout);

 private:
  std::shared_ptr<const StateLayout> layout_;
  AlignedFloats arena_;
};

}  // namespace coil::ssm
