// Groups are stored as blocks of a matrix, with zeros around them.
#include "capture/teachers/convolution.h"

#include <algorithm>
#include <cstring>

#include "capture/teachers/kernels.h"
#include "capture/teachers/network.h"

namespace coil::capture {
namespace {

constexpr size_t kMostValues = size_t{1} << 26;  // values of a matrix or of a memory

}  // namespace

Convolution::Convolution(const ConvolutionSize& size, WeightList& weights) : size_(size) {
  if (size.inputs % size.groups != 0 || size.outputs % size.groups != 0) {
    throw Error(weights.where() + " has a layer of " + std::to_string(size.inputs) + " to " +
                std::to_string(size.outputs) + " channels, which cannot be cut into " + std::to_string(size.groups) +
                " groups");
  }
  const size_t in = size.inputs / size.groups, out = size.outputs / size.groups, stride = row_length();
  const std::span<const float> values = weights.take(size.outputs * in * size.taps);
  if (size.taps * size.inputs * stride > kMostValues || reach() * size.inputs > kMostValues)
    throw Error(weights.where() + " has a layer that is too large to be played");
  weights_.resize(size.taps * size.inputs * stride);
  for (size_t o = 0; o < size.outputs; ++o) {
    for (size_t i = 0; i < in; ++i) {
      for (size_t k = 0; k < size.taps; ++k)
        weights_[(k * size.inputs + o / out * in + i) * stride + o] = values[(o * in + i) * size.taps + k];
    }
  }
  bias_.resize(stride);
  if (size.bias) std::ranges::copy(weights.take(size.outputs), bias_.begin());
}

size_t Convolution::row_length() const { return is_lone() ? 1 : teacher_kernels::padded(size_.outputs); }

void Convolution::process(const float* in, size_t frames, float* out) {
  const size_t past = reach() * size_.inputs, now = frames * size_.inputs;
  if (past > 0) {
    past_.resize(past + Network::kMostFrames * size_.inputs);
    std::memcpy(past_.data() + past, in, now * sizeof(float));
    in = past_.data();
  }
  if (is_lone()) {
    teacher_kernels::filter(size_.taps, size_.dilation, weights_.data(), bias_[0], in, frames, out);
  } else {
    teacher_kernels::convolve({size_.inputs, size_.outputs, size_.taps, size_.dilation}, weights_.data(), bias_.data(),
                              in, frames, out);
  }
  if (past > 0) std::memmove(past_.data(), past_.data() + now, past * sizeof(float));
}

void Convolution::scale_outputs(const std::vector<float>& scale, const std::vector<float>& add) {
  const size_t stride = row_length();
  for (size_t row = 0; row < size_.taps * size_.inputs; ++row)
    for (size_t o = 0; o < size_.outputs; ++o) weights_[row * stride + o] *= scale[o];
  for (size_t o = 0; o < size_.outputs; ++o) bias_[o] = bias_[o] * scale[o] + add[o];
}

}  // namespace coil::capture
