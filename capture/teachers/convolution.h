// A causal convolution over time between channels, dilated and grouped as asked for; with one tap, a matrix.
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
  // Weights in PyTorch's order: [output][input of its group][tap], the last tap the newest; then the bias. Throws Error
  // for sizes that do not fit together.
  Convolution(const ConvolutionSize& size, WeightList& weights);

  size_t inputs() const { return size_.inputs; }
  size_t outputs() const { return size_.outputs; }
  size_t reach() const { return (size_.taps - 1) * size_.dilation; }  // frames into the past

  // At most Network::kMostFrames; `out` is not `in`.
  void process(const float* in, size_t frames, float* out);

  // What comes out is multiplied and added to, channel by channel.
  void scale_outputs(const std::vector<float>& scale, const std::vector<float>& add);

 private:
  bool is_lone() const { return size_.inputs == 1 && size_.outputs == 1; }
  size_t row_length() const;

  ConvolutionSize size_;
  std::vector<float> weights_;  // [tap][input][output, padded unless alone]
  std::vector<float> bias_;     // padded
  std::vector<float> past_;     // reach() frames, then those of this call
};

}  // namespace coil::capture
