// Everything that a stream remembers between frames, in one arena of fixed size.
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

// A tensor of the state as others see it: its name in files, and upstream's shape, without the batch axis.
struct StateRegion {
  std::string name;  // "state.0.ssm"
  std::vector<int64_t> shape;
  double period = 0;     // values that are so far apart mean the same: an angle's; 0: none do
  bool upstream = true;  // other implementations have it too
};

// One named tensor inside the arena. Outside (files, comparisons) it has upstream's shape and order; inside, its
// innermost axis is the channels, padded for SIMD: element e of the tensor lies at arena[offset + position[e]].
struct StateTensor {
  std::string name;            // "state.0.ssm"
  std::vector<int64_t> shape;  // upstream's, without the batch axis
  size_t offset = 0;
  std::vector<uint32_t> position;
  // What is stored times this is what upstream calls the state; one factor a value, or a pair (re, im) if the last axis
  // is complex.
  std::vector<std::complex<float>> scale;  // empty: 1
};

struct StateLayout {
  std::string model_hash;
  double sample_rate_hz = 0;  // that its model runs at; a file holds what does not depend on it
  size_t size = 0;            // floats in the arena
  std::vector<StateTensor> tensors;

  // Appends a tensor that takes `floats` places; returns its offset (a multiple of 16).
  size_t add(const StateRegion& region, size_t floats, std::vector<uint32_t> position,
             std::vector<std::complex<float>> scale = {});
  // 16 hex digits over names and shapes, in order: states of equal id hold the same fields.
  std::string id() const;
};

// What a layer with memory is doing: a picture of it, not part of the signal's path.
struct LayerActivity {
  float energy = 0;  // mean square of its scan state
  float dt = 0;      // mean step size of the last frame: large takes in, small holds
};

// No value is infinite or not a number. [audio-thread]
bool all_finite(std::span<const float> values) noexcept;

// Float32, fixed size. Copying copies what was remembered. The stream that owns it may change it on the audio thread;
// everything that allocates or touches files is [main-thread].
class State {
 public:
  explicit State(std::shared_ptr<const StateLayout> layout);

  const StateLayout& layout() const { return *layout_; }
  float* data() noexcept { return arena_.data(); }
  const float* data() const noexcept { return arena_.data(); }
  size_t bytes() const noexcept { return arena_.size() * sizeof(float); }

  void clear() noexcept;  // all zero
  bool is_finite() const noexcept;
  bool operator==(const State& other) const noexcept;  // same model at the same rate, and bit-equal contents
  // Takes over what another state of the same model at the same rate remembers, without allocating. [audio-thread]
  void copy_from(const State& other) noexcept;

  // Named tensors in upstream's shapes.
  std::vector<NamedFloats> tensors() const;
  // Values in upstream's order; throws Error for an unknown name or a wrong count.
  void set(const std::string& name, std::span<const float> values);

  // A .safetensors file whose metadata holds "coil_state" (version), "model" (hash) and "layout" (id). load throws
  // Error when the file belongs to another model or version, holds other fields, or is damaged.
  // `notes`: what else its metadata shall hold, under names of the caller's own.
  void save(const std::filesystem::path& path, const std::map<std::string, std::string>& notes = {}) const;
  static State load(const std::filesystem::path& path, std::shared_ptr<const StateLayout> layout);

 private:
  std::shared_ptr<const StateLayout> layout_;
  AlignedFloats arena_;
};

}  // namespace coil::ssm
