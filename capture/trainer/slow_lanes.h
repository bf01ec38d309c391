// The slow path for one vector of lanes: its input hops, its film vectors, and its gradient.
#pragma once

#include <span>
#include <vector>

#include "capture/trainer/kernels.h"
#include "capture/trainer/shape.h"

namespace coil::capture {

// The slow path's input for a take: [hop][2 features], the means over each hop of tanh(w u + b) and of its square.
std::vector<float> hop_features(const std::vector<float>& dry, size_t features);

// One of the features. Weights and biases are fixed, and cover the levels of typical sound.
struct Feature {
  double weight, bias;
};
Feature slow_feature(size_t index);

// One thread at a time. Gradients go back through `lookback_hops` hops before the segment. This is far longer than the
// segment, so that long releases are learned.
template <class T>
class SlowLanes {
 public:
  SlowLanes(const ParameterMap& map, const Kernels<T>& kernels, size_t segment_frames, size_t lookback_hops);

  // The film vector without the slow path: 1 + scale and shift of the layers, then the whole output row.
  void set_base(size_t lane, const std::vector<double>& film);
  // The segment starts with hop `first` of a take, whose sound starts with hop `begin`.
  void set_hops(size_t lane, const std::vector<float>& features, std::span<const double> knobs, size_t first,
                size_t begin);
  // The same for a sound whose segments are all alike; features: of one segment.
  void set_steady_hops(size_t lane, const std::vector<float>& features, std::span<const double> knobs);
  void clear_state(size_t lane);
  ssm::AlignedVector<T>& state() { return carried_; }

  // Computes the film vectors of the segment, and advances the states by `hops` hops, at most a segment's.
  void forward(const T* parameters, size_t hops);
  // Of the block that starts at this frame of the segment.
  MovingFilm<T> film(size_t frame);
  void clear_gradient();
  // Computes the gradients of the slow path's parameters from those of the film vectors, and adds them to `gradient` at
  // the places of ParameterMap. lane_film becomes the gradient of each lane's base, [lane][film].
  void backward(const T* parameters, double* gradient, std::vector<std::vector<double>>& lane_film);

 private:
  size_t lanes() const { return kernels_.lanes; }

  ParameterMap map_;
  Kernels<T> kernels_;
  size_t lookback_;
  SlowTape<T> tape_;
  ssm::AlignedVector<T> carried_, gradient_;  // carried_: the states before the first hop of the tape
};

}  // namespace coil::capture
