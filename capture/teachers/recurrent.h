// Recurrent layers: LSTM and GRU.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

namespace coil::capture {

// One layer of a chain. Frames are interleaved.
class TeacherLayer {
 public:
  virtual ~TeacherLayer() = default;
  virtual size_t outputs() const = 0;
  virtual size_t reach() const { return 0; }  // past frames that it needs, if its memory is finite
  virtual bool is_recurrent() const { return false; }
  virtual void process(const float* in, size_t frames, float* out) = 0;
  virtual std::unique_ptr<TeacherLayer> clone() const = 0;
};

// A matrix as lists of rows, as several file formats store it.
using Rows = std::vector<std::vector<float>>;

// i, f, o = sigmoid(W x + U h + b), g = tanh(W x + U h + b); c = f c + i g; h = o tanh(c). Gates in the order i f g o,
// as in PyTorch and Keras. Source: PyTorch, torch.nn.LSTM.
struct LstmWeights {
  Rows input;      // [4 hidden][inputs]
  Rows recurrent;  // [4 hidden][hidden]
  std::vector<float> bias;
  std::vector<float> hidden, cell;  // the initial state; empty: 0
};
std::unique_ptr<TeacherLayer> make_lstm(const LstmWeights& weights);

// r, z = sigmoid(W x + b + U h + b'), n = tanh(W x + b + r (U h + b')); h = (1 - z) n + z h. Gates in the order r z n,
// as in PyTorch. Source: PyTorch, torch.nn.GRU.
struct GruWeights {
  Rows input, recurrent;                          // [3 hidden][...]
  std::vector<float> input_bias, recurrent_bias;  // [3 hidden]
};
std::unique_ptr<TeacherLayer> make_gru(const GruWeights& weights);

}  // namespace coil::capture
