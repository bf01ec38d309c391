// Kernels of the parts without memory.
#include "gpu/elements.cuh"
#include "gpu/math.cuh"
#include "gpu/pointwise.h"

namespace coil::gpu {
namespace {

// A warp per row and group.
__global__ void __launch_bounds__(kElementThreads)
    rms_norm(const float* weight, float eps, int groups, int width, ConstRows in, Rows out, size_t rows) {
  const size_t warp = (size_t(blockIdx.x) * kElementThreads + threadIdx.x) / 32;
  const int lane = int(threadIdx.x) % 32;
  if (warp >= rows * size_t(groups)) return;
  const size_t row = warp / size_t(groups);
  const int first = int(warp % size_t(groups)) * width;
  float sum = 0;
  for (int i = lane; i < width; i += 32) sum = fmaf(in.at(row, first + i), in.at(row, first + i), sum);
  for (int other = 16; other > 0; other /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, other);
  const float scale = 1.0f / sqrtf(sum / float(width) + eps);
  for (int i = lane; i < width; i += 32)
    out.at(row, first + i) = in.at(row, first + i) * scale * (weight ? weight[first + i] : 1.0f);
}

// A warp per row. The variance is computed from the differences from the mean, which avoids cancellation.
__global__ void __launch_bounds__(kElementThreads)
    layer_norm(const float* weight, const float* bias, float eps, int width, ConstRows in, Rows out, size_t rows) {
  const size_t row = (size_t(blockIdx.x) * kElementThreads + threadIdx.x) / 32;
  const int lane = int(threadIdx.x) % 32;
  if (row >= rows) return;
  const auto sum_of = [&](const auto& value) {
    float sum = 0;
    for (int i = lane; i < width; i += 32) sum += value(in.at(row, i));
    for (int other = 16; other > 0; other /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, other);
    return sum;
  };
  const float mean = sum_of([](float x) { return x; }) / float(width);
  const float squares = sum_of([&](float x) { return (x - mean) * (x - mean); });
  const float scale = 1.0f / sqrtf(squares / float(width) + eps);
  for (int i = lane; i < width; i += 32)
    out.at(row, i) = fmaf((in.at(row, i) - mean) * scale, weight ? weight[i] : 1.0f, weight ? bias[i] : 0.0f);
}

__device__ float activated(ssm::Activation kind, float x) {
  switch (kind) {
    case ssm::Activation::tanh:
      return tanhf(x);
    case ssm::Activation::gelu:
      return gelu(x);
    case ssm::Activation::silu:
      return silu(x);
    case ssm::Activation::glu:
      return sigmoid(x);
    case ssm::Activation::gelu_tanh:
      return gelu_tanh(x);
    case ssm::Activation::relu:
      return fmaxf(x, 0.0f);
    case ssm::Activation::relu2:
      return fmaxf(x, 0.0f) * fmaxf(x, 0.0f);
  }
  return x;
}

// Calls f(row, FiLM vector as a function of the index) for the rows of every piece: block (piece, its rows).
template <class F>
__global__ void each_film_row(Film film, int width, F f) {
  const DeviceFilmPiece piece = film.pieces[blockIdx.x];
  const float *vector = film.vectors + size_t(piece.vector) * 2 * size_t(film.vector_floats),
              *slope = vector + film.vector_floats;
  for (int i = int(threadIdx.x); i < piece.rows * width; i += int(blockDim.x)) {
    const int t = i / width;
    const float at = piece.first + float(t);
    f(size_t(piece.row + t), i % width, [&](int place) { return fmaf(slope[place], at, vector[place]); });
  }
}

// (1 + scale) x + shift. The result must have the same bits as ApplyFilm's, so that the output at rest is exactly 0.
__device__ inline float with_film(float x, float scale, float shift) { return __fadd_rn(fmaf(scale, x, x), shift); }

struct ApplyFilm {
  int scale_at, shift_at;
  ConstRows in;
  Rows out;
  template <class Value>
  __device__ void operator()(size_t row, int column, const Value& value) const {
    out.at(row, column) = with_film(in.at(row, column), value(scale_at + column), value(shift_at + column));
  }
};

struct TanhRest {
  int scale_at, shift_at;
  const float* bias;
  ConstRows in;
  Rows out;
  template <class Value>
  __device__ void operator()(size_t row, int column, const Value& value) const {
    const float rest = with_film(bias[column], value(scale_at + column), value(shift_at + column));
    out.at(row, column) = __fsub_rn(tanhf(in.at(row, column)), tanhf(rest));
  }
};

struct AddMovingLinear {
  int weights_at, row_floats, width;
  ConstRows h;
  Rows y;
  template <class Value>
  __device__ void operator()(size_t row, int output, const Value& value) const {
    float sum = 0;
    for (int c = 0; c < width; ++c) sum = fmaf(value(weights_at + output * row_floats + c), h.at(row, c), sum);
    y.at(row, output) += sum;
  }
};

struct ApplyGain {
  int gain_at;
  Rows x;
  template <class Value>
  __device__ void operator()(size_t row, int column, const Value& value) const {
    x.at(row, column) *= value(gain_at);
  }
};

// The frame of a packed signal that a row holds; negative: none.
struct Source {
  const int64_t* first;
  const Chunk* chunks;
  int chunk_frames;
  __device__ int64_t of(size_t row) const {
    const unsigned chunk = unsigned(row) / unsigned(chunk_frames);
    const int t = int(unsigned(row) - chunk * unsigned(chunk_frames));
    return t < chunks[chunk].frames ? first[chunk] + t : -1;
  }
};

}  // namespace

void run_rms_norm(const float* weight, float eps, int groups, int width, const float* in, int in_stride, float* out,
                  int out_stride, size_t rows, cudaStream_t stream) {
  launch(rms_norm, blocks_of(rows * size_t(groups) * 32, kElementThreads), kElementThreads, 0, stream, weight, eps,
         groups, width, ConstRows{in, in_stride}, Rows{out, out_stride}, rows);
}

void run_layer_norm(const float* weight, const float* bias, float eps, int width, const float* in, float* out,
                    size_t rows, cudaStream_t stream) {
  launch(layer_norm, blocks_of(rows * 32, kElementThreads), kElementThreads, 0, stream, weight, bias, eps, width,
         ConstRows{in, width}, Rows{out, width}, rows);
}

void run_activation(ssm::Activation kind, const float* in, int in_stride, const float* factor, int factor_stride,
                    float* out, int out_stride, int width, size_t rows, cudaStream_t stream) {
  const ConstRows from{in, in_stride}, by{factor, factor_stride};
  const Rows to{out, out_stride};
  for_each_element(rows, width, stream, [=] __device__(size_t row, int c) {
    const float value = activated(kind, from.at(row, c));
    to.at(row, c) = by.values ? value * by.at(row, c) : value;
  });
}

void run_copy(const float* in, int in_stride, float* out, int out_stride, int width, size_t rows, cudaStream_t stream) {
  const ConstRows from{in, in_stride};
  const Rows to{out, out_stride};
  for_each_element(rows, width, stream, [=] __device__(size_t row, int c) { to.at(row, c) = from.at(row, c); });
}

void run_add(const float* in, int in_stride, float* out, int out_stride, int width, size_t rows, cudaStream_t stream) {
  const ConstRows from{in, in_stride};
  const Rows to{out, out_stride};
  for_each_element(rows, width, stream, [=] __device__(size_t row, int c) { to.at(row, c) += from.at(row, c); });
}

void run_gate(const float* z, int z_stride, float* y, int y_stride, int width, size_t rows, cudaStream_t stream) {
  const ConstRows gate{z, z_stride};
  const Rows to{y, y_stride};
  for_each_element(rows, width, stream, [=] __device__(size_t row, int c) { to.at(row, c) *= silu(gate.at(row, c)); });
}

void run_time_step(const float* bias, float low, float high, float* x, int stride, int width, size_t rows,
                   cudaStream_t stream) {
  const Rows to{x, stride};
  for_each_element(rows, width, stream, [=] __device__(size_t row, int c) {
    to.at(row, c) = fminf(fmaxf(softplus(to.at(row, c) + bias[c]), low), high);
  });
}

void run_film(const Film& film, int scale_at, int shift_at, const float* in, float* out, int width,
              cudaStream_t stream) {
  launch(each_film_row<ApplyFilm>, unsigned(film.count), kElementThreads, 0, stream, film, width,
         ApplyFilm{scale_at, shift_at, {in, width}, {out, width}});
}

void run_tanh_rest(const Film& film, int scale_at, int shift_at, const float* bias, const float* in, float* out,
                   int width, cudaStream_t stream) {
  launch(each_film_row<TanhRest>, unsigned(film.count), kElementThreads, 0, stream, film, width,
         TanhRest{scale_at, shift_at, bias, {in, width}, {out, width}});
}

void run_tanh_rest(const float* bias, const float* in, float* out, int width, size_t rows, cudaStream_t stream) {
  const ConstRows from{in, width};
  const Rows to{out, width};
  for_each_element(rows, width, stream, [=] __device__(size_t row, int c) {
    to.at(row, c) = __fsub_rn(tanhf(from.at(row, c)), tanhf(bias[c]));
  });
}

void run_moving_linear(const Film& film, int weights_at, int row_floats, const float* h, int width, float* y,
                       int outputs, cudaStream_t stream) {
  launch(each_film_row<AddMovingLinear>, unsigned(film.count), kElementThreads, 0, stream, film, outputs,
         AddMovingLinear{weights_at, row_floats, width, {h, width}, {y, outputs}});
}

void run_gain(const Film& film, int gain_at, float* x, int stride, int width, cudaStream_t stream) {
  launch(each_film_row<ApplyGain>, unsigned(film.count), kElementThreads, 0, stream, film, width,
         ApplyGain{gain_at, {x, stride}});
}

void run_unpack(const float* packed, const int64_t* source, const Chunk* chunks, int chunk_frames, size_t rows,
                float* out, int width, cudaStream_t stream) {
  const Source from{source, chunks, chunk_frames};
  for_each_element(rows, width, stream, [=] __device__(size_t row, int c) {
    const int64_t frame = from.of(row);
    if (frame < 0) return;
    const float value = packed[size_t(frame) * size_t(width) + size_t(c)];
    out[row * size_t(width) + size_t(c)] = isfinite(value) ? value : 0.0f;
  });
}

void run_pack(const float* in, int stride, const int64_t* source, const Chunk* chunks, int chunk_frames, size_t rows,
              float* packed, int width, cudaStream_t stream) {
  const Source to{source, chunks, chunk_frames};
  for_each_element(rows, width, stream, [=] __device__(size_t row, int c) {
    const int64_t frame = to.of(row);
    if (frame >= 0) packed[size_t(frame) * size_t(width) + size_t(c)] = in[row * size_t(stride) + size_t(c)];
  });
}

void run_embed(const float* table, int vocab, const int32_t* tokens, const int64_t* source, const Chunk* chunks,
               int chunk_frames, size_t rows, float* out, int width, cudaStream_t stream) {
  const Source from{source, chunks, chunk_frames};
  for_each_element(rows, width, stream, [=] __device__(size_t row, int c) {
    const int64_t frame = from.of(row);
    if (frame < 0) return;
    const int32_t id = tokens[frame];
    out[row * size_t(width) + size_t(c)] = table[size_t(id >= 0 && id < vocab ? id : 0) * size_t(width) + size_t(c)];
  });
}

}  // namespace coil::gpu
