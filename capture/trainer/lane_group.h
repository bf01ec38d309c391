// Runs one vector of lanes through a segment: forward, loss, backward, and the gradient summed over the lanes.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "capture/trainer/kernels.h"
#include "capture/trainer/shape.h"
#include "capture/trainer/slow_lanes.h"
#include "ssm/machine/aligned.h"

namespace coil::capture {

// Buffers that the groups of one thread share: about 70 bytes per frame and lane for 6 layers of 8 x 4.
template <class T>
struct Workspace {
  Workspace(const ParameterMap& map, size_t lanes, size_t segment_frames);

  Tape<T> passing, tape;  // of the forward pass, and of the blocks after a mark
  ssm::AlignedVector<T> output, marks, again, adjoint, gradient;
  ssm::AlignedVector<T> start_derivative;  // before the segment
  // With a filter: its input, the gradient of that, its state and its derivative before the segment, and buffers of its
  // backward pass.
  ssm::AlignedVector<T> unfiltered, of_unfiltered, filter_start, filter_start_derivative, filter_adjoint,
      filter_gradient;
};

// One thread at a time.
template <class T>
class LaneGroup {
 public:
  // segment_frames: a multiple of 2 kBlockFrames. With a slow path, a multiple of its hops; gradients also go back
  // through lookback_hops hops before the segment.
  LaneGroup(const ParameterMap& map, const Kernels<T>& kernels, size_t segment_frames, size_t lookback_hops = 0);

  size_t lanes() const { return kernels_.lanes; }
  size_t segment_frames() const { return segment_frames_; }

  // The lane's knobs (0 to 1) with the current parameters, and the weight of its errors.
  void set_lane(size_t lane, const T* parameters, std::span<const double> knobs, double weight);
  void prepare();  // call after all calls of set_lane
  void clear_state(size_t lane);
  // Copies the states of another group, whose segments may have another length.
  void continue_from(LaneGroup& other);

  // [frame][lane], of the next segment. counts: 1 where a frame is scored, else 0.
  T* input() { return input_.data(); }
  T* target() { return target_.data(); }
  T* counts() { return counts_.data(); }
  ssm::AlignedVector<T>& state() { return state_; }
  ssm::AlignedVector<T>& filter_state() { return filter_state_; }
  // d(state)/dz of each mode
  ssm::AlignedVector<T>& derivative() { return derivative_; }
  ssm::AlignedVector<T>& filter_derivative() { return filter_derivative_; }
  std::optional<SlowLanes<T>>& slow() { return slow_; }

  LossSums energy() const { return kernels_.energy(target_.data(), counts_.data(), weight_.data(), segment_frames_); }

  // Computes the output for `frames` frames of the input (a multiple of kBlockFrames, at most a segment), and updates
  // the states.
  void forward(const Weights<T>& weights, size_t frames, T* output, Workspace<T>& workspace);

  // A training step consists of these three functions. The first runs the segment forward into workspace.output and
  // updates the states.
  void forward(const Weights<T>& weights, Workspace<T>& workspace);
  // Replaces the output by the gradient of k_plain/2 |error|^2 + k_pre/2 |pre-emphasised error|^2. Returns the sums.
  LossSums loss(double k_plain, double k_pre, Workspace<T>& workspace) const;
  // Computes the gradient of the parameters from that of the output, in workspace.output, and adds it to `gradient`
  // (with M and Q at the modes' places, see chain_modes).
  void backward(const Weights<T>& weights, Workspace<T>& workspace, double* gradient);

 private:
  Conditions<T> conditions() const { return {scale_.data(), shift_.data(), rest_.data(), output_row_.data()}; }
  // For one block, with a constant or a moving film vector. Updates the states.
  void forward_block(const Weights<T>& weights, size_t frame, T* output, T* state, T* derivative, Tape<T>& tape);
  void backward_block(const Weights<T>& weights, size_t frame, const T* of_output, Workspace<T>& workspace);
  OutputFilter<T> filter(const Weights<T>& weights) const;
  // Computes the gradient of the filter's input from that of its output; returns a pointer to it.
  const T* filter_back(const Weights<T>& weights, Workspace<T>& workspace, double* gradient);
  void add_gradients(const T* parameters, const T* lanes_gradient, double* gradient) const;
  void add_moving_gradients(const T* parameters, const T* lanes_gradient, double* gradient);

  ParameterMap map_;
  Kernels<T> kernels_;
  size_t segment_frames_;
  ssm::AlignedVector<T> input_, target_, counts_, state_, derivative_, filter_state_, filter_derivative_;
  ssm::AlignedVector<T> weight_, scale_, shift_, rest_, output_row_;
  std::vector<std::vector<double>> knobs_;  // one per lane
  std::optional<SlowLanes<T>> slow_;
};

}  // namespace coil::capture
