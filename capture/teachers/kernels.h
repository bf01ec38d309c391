// The inner loops of teacher networks, for the best SIMD instructions of the machine.
#pragma once

#include <cstddef>

namespace coil::capture::teacher_kernels {

// Rows of weights are padded with zeros to a multiple of this.
constexpr size_t kPadding = 16;

constexpr size_t padded(size_t count) { return (count + kPadding - 1) / kPadding * kPadding; }

// out[t][o] = bias[o] + sum over taps k and channels i of weights[k][i][o] in[t + k * dilation][i]. Rows of `weights`
// and `bias` have padded(outputs) values, rows of `in` and `out` one value per channel.
struct ConvolutionShape {
  size_t inputs, outputs, taps, dilation;
};
void convolve(const ConvolutionShape& shape, const float* weights, const float* bias, const float* in, size_t frames,
              float* out);

// The same for one input and one output channel: weights[k], one bias.
void filter(size_t taps, size_t dilation, const float* weights, float bias, const float* in, size_t frames, float* out);

// In place; within 1e-6 of the function.
void tanh_all(float* values, size_t count);
void sigmoid_all(float* values, size_t count);

}  // namespace coil::capture::teacher_kernels
