// One frame at a time: one matrix times input and memory, then the gates.
#include "capture/teachers/recurrent.h"

#include <algorithm>

#include "capture/teachers/kernels.h"

namespace coil::capture {
namespace {

using teacher_kernels::padded;

// Rows of weights in the kernels' layout: [column][padded row].
class Matrix {
 public:
  Matrix(const Rows& rows, std::vector<float> bias)
      : columns_(rows.front().size()), rows_(rows.size()), weights_(columns_ * padded(rows_)), bias_(std::move(bias)) {
    for (size_t r = 0; r < rows_; ++r)
      for (size_t c = 0; c < columns_; ++c) weights_[c * padded(rows_) + r] = rows[r][c];
    bias_.resize(padded(rows_));
  }
  size_t columns() const { return columns_; }
  size_t rows() const { return rows_; }
  void multiply(const float* in, float* out) const {
    teacher_kernels::convolve({columns_, rows_, 1, 1}, weights_.data(), bias_.data(), in, 1, out);
  }

 private:
  size_t columns_, rows_;
  std::vector<float> weights_, bias_;
};

// Reorders blocks of `hidden` rows.
template <class T>
std::vector<T> reordered(const std::vector<T>& rows, size_t hidden, std::initializer_list<size_t> order) {
  std::vector<T> result;
  for (const size_t block : order)
    result.insert(result.end(), rows.begin() + std::ptrdiff_t(block * hidden),
                  rows.begin() + std::ptrdiff_t((block + 1) * hidden));
  return result;
}

class Lstm : public TeacherLayer {
 public:
  // Gates in the order i f o g, so that the three sigmoid gates are contiguous.
  explicit Lstm(const LstmWeights& w)
      : hidden_(w.bias.size() / 4),
        inputs_(w.input.front().size()),
        matrix_(reordered(joined(w), hidden_, {0, 1, 3, 2}), reordered(w.bias, hidden_, {0, 1, 3, 2})),
        frame_(inputs_ + hidden_),
        gates_(4 * hidden_),
        cell_(w.cell),
        bent_(hidden_) {
    cell_.resize(hidden_);
    std::ranges::copy(w.hidden, frame_.begin() + std::ptrdiff_t(inputs_));
  }

  size_t outputs() const override { return hidden_; }
  bool is_recurrent() const override { return true; }
  void process(const float* in, size_t frames, float* out) override {
    float* h = &frame_[inputs_];
    const float *i = gates_.data(), *f = i + hidden_, *o = f + hidden_, *g = o + hidden_;
    for (size_t t = 0; t < frames; ++t) {
      std::copy_n(in + t * inputs_, inputs_, frame_.data());
      matrix_.multiply(frame_.data(), gates_.data());
      teacher_kernels::sigmoid_all(gates_.data(), 3 * hidden_);
      teacher_kernels::tanh_all(gates_.data() + 3 * hidden_, hidden_);
      for (size_t c = 0; c < hidden_; ++c) bent_[c] = cell_[c] = f[c] * cell_[c] + i[c] * g[c];
      teacher_kernels::tanh_all(bent_.data(), hidden_);
      for (size_t c = 0; c < hidden_; ++c) out[t * hidden_ + c] = h[c] = o[c] * bent_[c];
    }
  }
  std::unique_ptr<TeacherLayer> clone() const override { return std::make_unique<Lstm>(*this); }

 private:
  static Rows joined(const LstmWeights& w) {
    Rows rows = w.input;
    for (size_t r = 0; r < rows.size(); ++r)
      rows[r].insert(rows[r].end(), w.recurrent[r].begin(), w.recurrent[r].end());
    return rows;
  }

  size_t hidden_, inputs_;
  Matrix matrix_;
  std::vector<float> frame_;  // input, then h
  std::vector<float> gates_, cell_, bent_;
};

class Gru : public TeacherLayer {
 public:
  explicit Gru(const GruWeights& w)
      : hidden_(w.input_bias.size() / 3),
        input_(w.input, w.input_bias),
        recurrent_(w.recurrent, w.recurrent_bias),
        h_(hidden_),
        from_input_(3 * hidden_),
        from_memory_(3 * hidden_) {}

  size_t outputs() const override { return hidden_; }
  bool is_recurrent() const override { return true; }
  void process(const float* in, size_t frames, float* out) override {
    float *x = from_input_.data(), *u = from_memory_.data();
    for (size_t t = 0; t < frames; ++t) {
      input_.multiply(in + t * input_.columns(), x);
      recurrent_.multiply(h_.data(), u);
      for (size_t c = 0; c < 2 * hidden_; ++c) u[c] += x[c];
      teacher_kernels::sigmoid_all(u, 2 * hidden_);
      float *n = x + 2 * hidden_, *r = u, *z = u + hidden_;
      for (size_t c = 0; c < hidden_; ++c) n[c] += r[c] * u[2 * hidden_ + c];
      teacher_kernels::tanh_all(n, hidden_);
      for (size_t c = 0; c < hidden_; ++c) out[t * hidden_ + c] = h_[c] = (1 - z[c]) * n[c] + z[c] * h_[c];
    }
  }
  std::unique_ptr<TeacherLayer> clone() const override { return std::make_unique<Gru>(*this); }

 private:
  size_t hidden_;
  Matrix input_, recurrent_;
  std::vector<float> h_, from_input_, from_memory_;
};

}  // namespace

std::unique_ptr<TeacherLayer> make_lstm(const LstmWeights& weights) { return std::make_unique<Lstm>(weights); }
std::unique_ptr<TeacherLayer> make_gru(const GruWeights& weights) { return std::make_unique<Gru>(weights); }

}  // namespace coil::capture
