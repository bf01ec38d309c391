// The slow path beside one vector of lanes: which hops it hears, its film vectors, and its gradient.
#pragma once

#include <span>
#include <vector>

#include "capture/trainer/kernels.h"
#include "capture/trainer/shape.h"

namespace coil::capture {

// What the slow path hears of a take: [hop][2 features], the means over each hop of tanh(w u + b) and of its square.
std::vector<float> hop_features(const std::vector<float>& dry, size_t features);

// The bank of features: their weights and biases are fixed, spread over the levels that sound has.
struct Feature {
  double weight, bias;
};
Feature slow_feature(size_t index);

// One thread at a time. Gradients go back through `lookback_hops` hops before the segment: far longer than the segment
// itself, so that long releases are learned.
template <class T>
class SlowLanes {
 public:
  SlowLanes(const ParameterMap& map, const Kernels<T>& kernels, size_t segment_frames, size_t lookback_hops);

  // The film vector without the slow path: 1 + scale and shift of the layers, then the whole output row.
  void set_base(size_t lane, const std::vector<double>& film);
  // The segment begins with hop `first` of a take, whose sound begins with hop `begin`.
  void set_hops(size_t lane, const std::vector<float>& features, std::span<const double> knobs, size_t first,
                size_t begin);
  // The same of a sound that is in each segment like in the one before: features of a segment.
  void set_steady_hops(size_t lane, const std::vector<float>& features, std::span<const double> knobs);
  void clear_state(size_t lane);
  ssm::AlignedVector<T>& state() { return carried_; }

  // The film vectors of the segment; the states move on by `hops` hops, at most a segment's.
  void forward(const T* parameters, size_t hops);
  // Of the block that begins with this frame of the segment.
  MovingFilm<T> film(size_t frame);
  void clear_gradient();
  // From the film vectors' gradients to those of the slow path's parameters, added to `gradient` in ParameterMap's
  // places; lane_film becomes the gradient of each lane's base, [lane][film].
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
