// The convolution before the scan in Mamba-1 and Mamba-2: its weights and its history.
#pragma once

#include <cstring>

#include "ssm/layers/part.h"

namespace coil::ssm {

// The convolved channels come first in a projected row. The history holds their values of the last `taps` frames,
// oldest first.
class CausalConv {
 public:
  // Channel c of the padded layout has the weights of channel source[c] (-1: none).
  CausalConv(const std::string& name, int channels, int taps, bool bias, const std::vector<int>& source,
             const Checkpoint& checkpoint)
      : taps_(size_t(taps)), width_(source.size()) {
    bias_.assign(width_, 0.0f);
    if (taps == 0) return;
    const auto weight = checkpoint.floats(name + ".weight", {channels, 1, taps});
    if (bias) bias_ = arranged(checkpoint.floats(name + ".bias", {channels}), source);
    weights_.assign(taps_ * width_, 0.0f);
    for (size_t c = 0; c < width_; ++c)
      for (size_t j = 0; j < taps_; ++j)
        if (source[c] >= 0) weights_[j * width_ + c] = weight[size_t(source[c]) * taps_ + j];
  }

  size_t taps() const { return taps_; }
  size_t width() const { return width_; }
  size_t history_floats() const { return taps_ * width_; }

  ConvKernel kernel() const { return {weights_.data(), bias_.data(), taps_, width_}; }

  // [audio-thread]
  void run(const Kernels& kernels, Runs runs, const float* rows, size_t stride, float* out,
           size_t frames) const noexcept {
    if (taps_ == 0) return kernels.silu(rows, stride, out, width_, width_, frames);
    kernels.conv_silu(kernel(), runs, rows, stride, out, width_);
  }

  // history: taps() rows that start here
  void save(const float* rows, size_t stride, float* history) const noexcept {
    for (size_t j = 0; j < taps_; ++j) std::memcpy(history + j * width_, rows + j * stride, width_ * sizeof(float));
  }

  // Upstream's conv state is (channels, taps), newest last.
  size_t add_state(StateLayout& layout, const PartTraits& traits, const std::vector<int>& source) const {
    if (taps_ == 0) return 0;
    const StateRegion& region = traits.region("conv");
    std::vector<uint32_t> position(size_t(region.shape[0]) * taps_);
    for (size_t c = 0; c < width_; ++c)
      for (size_t j = 0; j < taps_; ++j)
        if (source[c] >= 0) position[size_t(source[c]) * taps_ + j] = uint32_t(j * width_ + c);
    return layout.add(region, history_floats(), std::move(position));
  }

 private:
  size_t taps_, width_;
  AlignedFloats weights_, bias_;  // weights [tap][channel]
};

}  // namespace coil::ssm
