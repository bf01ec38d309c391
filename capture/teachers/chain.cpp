// out = output gain (layers(input gain x) + input gain x); the last term only with skip.
#include "capture/teachers/chain.h"

#include <algorithm>

namespace coil::capture {
namespace {

class ConvolutionLayer : public TeacherLayer {
 public:
  ConvolutionLayer(Convolution convolution, Activation activation)
      : convolution_(std::move(convolution)), activation_(std::move(activation)) {}

  size_t outputs() const override { return convolution_.outputs(); }
  size_t reach() const override { return convolution_.reach(); }
  void process(const float* in, size_t frames, float* out) override {
    convolution_.process(in, frames, out);
    activation_.apply(out, frames, convolution_.outputs());
  }
  std::unique_ptr<TeacherLayer> clone() const override { return std::make_unique<ConvolutionLayer>(*this); }

 private:
  Convolution convolution_;
  Activation activation_;
};

class ActivationLayer : public TeacherLayer {
 public:
  ActivationLayer(Activation activation, size_t channels) : activation_(std::move(activation)), channels_(channels) {}

  size_t outputs() const override { return channels_; }
  void process(const float* in, size_t frames, float* out) override {
    std::copy_n(in, frames * channels_, out);
    activation_.apply(out, frames, channels_);
  }
  std::unique_ptr<TeacherLayer> clone() const override { return std::make_unique<ActivationLayer>(*this); }

 private:
  Activation activation_;
  size_t channels_;
};

}  // namespace

std::unique_ptr<TeacherLayer> make_convolution_layer(Convolution convolution, Activation activation) {
  return std::make_unique<ConvolutionLayer>(std::move(convolution), std::move(activation));
}

std::unique_ptr<TeacherLayer> make_activation_layer(Activation activation, size_t channels) {
  return std::make_unique<ActivationLayer>(std::move(activation), channels);
}

Chain::Chain(const Chain& other)
    : inputs_(other.inputs_),
      settle_frames_(other.settle_frames_),
      input_gain_(other.input_gain_),
      output_gain_(other.output_gain_),
      skip_(other.skip_) {
  for (const auto& layer : other.layers_) layers_.push_back(layer->clone());
}

void Chain::add(std::unique_ptr<TeacherLayer> layer) { layers_.push_back(std::move(layer)); }

size_t Chain::memory_frames() const {
  size_t frames = 1;
  bool endless = false;
  for (const auto& layer : layers_) frames += layer->reach(), endless |= layer->is_recurrent();
  return endless ? std::max(frames, settle_frames_) : frames;
}

void Chain::process(const float* in, size_t frames, float* out) {
  from_.resize(frames * inputs_);
  std::copy_n(in, frames * inputs_, from_.begin());
  // The gain applies to the sound, not to the knobs.
  for (size_t t = 0; t < frames; ++t) from_[t * inputs_] *= input_gain_;
  if (skip_) first_ = from_;
  for (const auto& layer : layers_) {
    to_.resize(frames * layer->outputs());
    layer->process(from_.data(), frames, to_.data());
    std::swap(from_, to_);
  }
  const size_t width = outputs();
  for (size_t t = 0; t < frames; ++t) {
    for (size_t c = 0; c < width; ++c) {
      const float dry = skip_ && c == 0 ? first_[t * inputs_] : 0.0f;
      out[t * width + c] = output_gain_ * (from_[t * width + c] + dry);
    }
  }
}

}  // namespace coil::capture
