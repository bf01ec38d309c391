// A causal convolution over time and channels, with dilation and groups; with one tap it is a matrix.
#pragma once

#include <cstddef>
#include <vector>

#include "capture/teachers/weight_list.h"

namespace coil::capture {

struct ConvolutionSize {
  size_t inputs, outputs;
  size_t taps = 1, dilation = 1, groups = 1;
  bool bias = true;
};

class Convolution {
 public:
  // Weights in PyTorch's order: [output][input of its group][tap], newest tap last; then the bias. Throws Error if
  // sizes do not match.
  Convolution(const ConvolutionSize& size, WeightList& weights);

  size_t inputs() const { return size_.inputs; }
  size_t outputs() const { return size_.outputs; }
  size_t reach() const { return (size_.taps - 1) * size_.dilation; }  // past frames that it needs

  // At most Network::kMostFrames; `out` must not be `in`.
  void process(const float* in, size_t frames, float* out);

  // Multiplies the outputs and adds to them, channel by channel.
  void scale_outputs(const std::vector<float>& scale, const std::vector<float>& add);

 private:
  bool is_lone() const { return size_.inputs == 1 && size_.outputs == 1; }
  size_t row_length() const;

  ConvolutionSize size_;
  std::vector<float> weights_;  // [tap][input][output; padded unless there is one]
  std::vector<float> bias_;     // padded
  std::vector<float> past_;     // reach() frames, then those of this call
};

}  // namespace coil::capture
