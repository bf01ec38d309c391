// A sequence of layers with an input and an output gain, and optionally a skip connection.
#pragma once

#include <memory>
#include <vector>

#include "capture/teachers/activation.h"
#include "capture/teachers/convolution.h"
#include "capture/teachers/network.h"
#include "capture/teachers/recurrent.h"

namespace coil::capture {

// A convolution with its activation. A batch norm is already part of the convolution's weights.
std::unique_ptr<TeacherLayer> make_convolution_layer(Convolution convolution, Activation activation);
std::unique_ptr<TeacherLayer> make_activation_layer(Activation activation, size_t channels);

class Chain : public Network {
 public:
  // `settle_frames`: frames of silence until a recurrent layer counts as settled.
  Chain(size_t inputs, size_t settle_frames) : inputs_(inputs), settle_frames_(settle_frames) {}
  Chain(const Chain& other);

  void add(std::unique_ptr<TeacherLayer> layer);
  void set_gains(float input, float output) { input_gain_ = input, output_gain_ = output; }
  void set_skip(bool skip) { skip_ = skip; }

  size_t inputs() const override { return inputs_; }
  size_t outputs() const override { return layers_.empty() ? inputs_ : layers_.back()->outputs(); }
  size_t memory_frames() const override;
  void process(const float* in, size_t frames, float* out) override;
  std::unique_ptr<Network> clone() const override { return std::make_unique<Chain>(*this); }

 private:
  size_t inputs_, settle_frames_;
  std::vector<std::unique_ptr<TeacherLayer>> layers_;
  float input_gain_ = 1, output_gain_ = 1;
  bool skip_ = false;
  std::vector<float> from_, to_, first_;
};

}  // namespace coil::capture
