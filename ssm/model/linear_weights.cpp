// Reads a linear part's tensors and applies the config's factors, slices and adapters.
#include "ssm/model/linear_weights.h"

#include <cstdint>
#include <type_traits>

namespace coil::ssm {

namespace {

template <class Value>
std::vector<Value> values(const Checkpoint& checkpoint, const std::string& name, const std::vector<int64_t>& shape,
                          size_t first, size_t count) {
  if constexpr (std::is_same_v<Value, double>)
    return checkpoint.doubles(name, shape, first, count);
  else
    return checkpoint.floats(name, shape, first, count);
}

template <class Value>
void add_adapter(const AdapterConfig& adapter, const LinearConfig& c, const Checkpoint& checkpoint,
                 std::vector<Value>& weight, size_t first_row) {
  const int all_rows = c.tensor_rows > 0 ? c.tensor_rows : c.d_out;
  const auto down = checkpoint.doubles(adapter.down + ".weight", {adapter.rank, c.d_in});
  const auto up = checkpoint.doubles(adapter.up + ".weight", {all_rows, adapter.rank});
  const size_t rank = size_t(adapter.rank), columns = size_t(c.d_in);
  for (size_t row = 0; row < size_t(c.d_out); ++row)
    for (size_t k = 0; k < columns; ++k) {
      double sum = 0;
      for (size_t r = 0; r < rank; ++r) sum += up[(first_row + row) * rank + r] * down[r * columns + k];
      weight[row * columns + k] = Value(double(weight[row * columns + k]) + sum);
    }
}

}  // namespace

template <class Value>
LinearWeights<Value> linear_weights(const LinearConfig& c, const Checkpoint& checkpoint) {
  const int rows = c.tensor_rows > 0 ? c.tensor_rows : c.d_out;
  const std::string tensor = c.tensor.empty() ? c.name : c.name + "." + c.tensor;
  std::vector<int64_t> shape{rows, c.d_in};
  if (c.tensor_matrices > 1) shape = {c.tensor_matrices, rows / c.tensor_matrices, c.d_in};
  LinearWeights<Value> w;
  const size_t first = size_t(c.first_row), count = size_t(c.d_out), columns = size_t(c.d_in);
  w.weight = values<Value>(checkpoint, tensor, shape, first * columns, count * columns);
  if (c.bias) w.bias = values<Value>(checkpoint, c.name + ".bias", {rows}, first, count);
  if (c.adapter) add_adapter(*c.adapter, c, checkpoint, w.weight, size_t(c.first_row));

  std::vector<double> factor(size_t(c.d_out), c.scale);
  size_t row = 0;
  for (const RowScale& scale : c.row_scales)
    for (int i = 0; i < scale.rows; ++i) factor[row++] *= scale.factor;
  for (row = 0; row < factor.size(); ++row) {
    if (factor[row] == 1 && c.input_scale == 1) continue;
    for (size_t k = row * size_t(c.d_in); k < (row + 1) * size_t(c.d_in); ++k)
      w.weight[k] = Value(double(w.weight[k]) * factor[row] * c.input_scale);
    if (c.bias) w.bias[row] = Value(double(w.bias[row]) * factor[row]);
  }
  return w;
}

template LinearWeights<float> linear_weights(const LinearConfig& config, const Checkpoint& checkpoint);
template LinearWeights<double> linear_weights(const LinearConfig& config, const Checkpoint& checkpoint);

}  // namespace coil::ssm
