// Kernels of the parts without memory.
#include "gpu/math.cuh"
#include "gpu/pointwise.h"

namespace coil::gpu {
namespace {

constexpr int kThreads = 256;

struct Rows {
  float* values;
  int stride;
  __device__ float& at(size_t row, int column) const { return values[row * size_t(stride) + size_t(column)]; }
};

struct ConstRows {
  const float* values;
  int stride;
  __device__ float at(size_t row, int column) const { return values[row * size_t(stride) + size_t(column)]; }
};

// Blocks of whole rows, or of a part of one row: no thread divides by a width at run time but for its place in the block.
struct Grid {
  int width, rows_per_block;
  dim3 blocks;

  Grid(size_t rows, int row_width)
      : width(row_width), rows_per_block(max(kThreads / row_width, 1)),
        blocks(blocks_of(rows, size_t(rows_per_block)), blocks_of(size_t(row_width), row_width < kThreads ? size_t(row_width) : kThreads)) {}
};

// This thread's element; false: it has none.
__device__ bool find_element(size_t rows, int width, int rows_per_block, size_t& row, int& column) {
  const int thread = int(threadIdx.x);
  const int row_in_block = rows_per_block > 1 ? thread / width : 0;
  row = size_t(blockIdx.x) * size_t(rows_per_block) + size_t(row_in_block);
  column = thread - row_in_block * width + int(blockIdx.y) * kThreads;
  return row_in_block < rows_per_block && row < rows && column < width;
}

// Calls f(row, column) for every element of rows x width, neighbouring threads on neighbouring columns.
template <class F>
__global__ void __launch_bounds__(kThreads) each_element(size_t rows, int width, int rows_per_block, F f) {
  size_t row;
  int column;
  if (find_element(rows, width, rows_per_block, row, column)) f(row, column);
}

template <class F>
void for_each_element(size_t rows, int width, cudaStream_t stream, const F& f) {
  const Grid grid(rows, width);
  launch(each_element<F>, grid.blocks, kThreads, 0, stream, rows, width, grid.rows_per_block, f);
}

struct LinearArguments {
  const float *weight, *bias;
  int d_in, d_out;
  ConstRows in;
  Rows out;
  size_t rows;
  bool accumulate;
};

__device__ void finish(const LinearArguments& l, size_t row, int column, float sum) {
  if (l.bias) sum += l.bias[column];
  float& y = l.out.at(row, column);
  y = l.accumulate ? y + sum : sum;
}

// Tiles of 128 rows by 64 outputs; every thread owns 8 by 4 of them.
constexpr int kTileRows = 128, kTileOutputs = 64, kTileDepth = 16;

__global__ void __launch_bounds__(kThreads) tiled_product(LinearArguments l) {
  __shared__ float in_tile[kTileDepth][kTileRows + 4], weight_tile[kTileDepth][kTileOutputs + 4];
  const size_t first_row = size_t(blockIdx.x) * kTileRows;
  const int first_output = int(blockIdx.y) * kTileOutputs;
  const int my_row = int(threadIdx.x) / 16 * 8, my_output = int(threadIdx.x) % 16 * 4;
  float sums[8][4] = {};
  for (int k0 = 0; k0 < l.d_in; k0 += kTileDepth) {
    for (int i = int(threadIdx.x); i < kTileRows * kTileDepth; i += kThreads) {
      const int row = i / kTileDepth, k = i % kTileDepth;
      in_tile[k][row] = first_row + size_t(row) < l.rows && k0 + k < l.d_in ? l.in.at(first_row + size_t(row), k0 + k) : 0.0f;
    }
    for (int i = int(threadIdx.x); i < kTileOutputs * kTileDepth; i += kThreads) {
      const int output = i / kTileDepth, k = i % kTileDepth;
      const bool inside = first_output + output < l.d_out && k0 + k < l.d_in;
      weight_tile[k][output] = inside ? l.weight[size_t(first_output + output) * size_t(l.d_in) + size_t(k0 + k)] : 0.0f;
    }
    __syncthreads();
    for (int k = 0; k < kTileDepth; ++k) {
      float x[8], w[4];
      for (int i = 0; i < 8; ++i) x[i] = in_tile[k][my_row + i];
      for (int j = 0; j < 4; ++j) w[j] = weight_tile[k][my_output + j];
      for (int i = 0; i < 8; ++i)
        for (int j = 0; j < 4; ++j) sums[i][j] = fmaf(x[i], w[j], sums[i][j]);
    }
    __syncthreads();
  }
  for (int i = 0; i < 8; ++i) {
    const size_t row = first_row + size_t(my_row + i);
    if (row >= l.rows) break;
    for (int j = 0; j < 4; ++j)
      if (first_output + my_output + j < l.d_out) finish(l, row, first_output + my_output + j, sums[i][j]);
  }
}

// A thread per value; for matrices of few inputs or few outputs, which only move memory.
__global__ void __launch_bounds__(kThreads) narrow_product(LinearArguments l, int rows_per_block) {
  size_t row;
  int column;
  if (!find_element(l.rows, l.d_out, rows_per_block, row, column)) return;
  const float *weight = l.weight + size_t(column) * size_t(l.d_in), *in = l.in.values + row * size_t(l.in.stride);
  float sum = 0;
  if (l.d_in % 4 == 0 && l.in.stride % 4 == 0) {
    for (int k = 0; k < l.d_in; k += 4) {
      const float4 x = *reinterpret_cast<const float4*>(in + k), w = *reinterpret_cast<const float4*>(weight + k);
      sum = fmaf(w.x, x.x, fmaf(w.y, x.y, fmaf(w.z, x.z, fmaf(w.w, x.w, sum))));
    }
  } else {
    for (int k = 0; k < l.d_in; ++k) sum = fmaf(weight[k], in[k], sum);
  }
  finish(l, row, column, sum);
}

// A warp per row and group.
__global__ void __launch_bounds__(kThreads) rms_norm(const float* weight, float eps, int groups, int width, ConstRows in, Rows out, size_t rows) {
  const size_t warp = (size_t(blockIdx.x) * kThreads + threadIdx.x) / 32;
  const int lane = int(threadIdx.x) % 32;
  if (warp >= rows * size_t(groups)) return;
  const size_t row = warp / size_t(groups);
  const int first = int(warp % size_t(groups)) * width;
  float sum = 0;
  for (int i = lane; i < width; i += 32) sum = fmaf(in.at(row, first + i), in.at(row, first + i), sum);
  for (int other = 16; other > 0; other /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, other);
  const float scale = 1.0f / sqrtf(sum / float(width) + eps);
  for (int i = lane; i < width; i += 32) out.at(row, first + i) = in.at(row, first + i) * scale * (weight ? weight[first + i] : 1.0f);
}

__device__ float activated(ssm::Activation kind, float x) {
  switch (kind) {
    case ssm::Activation::tanh: return tanhf(x);
    case ssm::Activation::gelu: return gelu(x);
    default: return silu(x);
  }
}

// Calls f(row, value of the FiLM vector as a function of its place) for the rows of every piece: block (piece, rows of it).
template <class F>
__global__ void each_film_row(Film film, int width, F f) {
  const FilmPiece piece = film.pieces[blockIdx.x];
  const float *vector = film.vectors + size_t(piece.vector) * 2 * size_t(film.vector_floats), *slope = vector + film.vector_floats;
  for (int i = int(threadIdx.x); i < piece.rows * width; i += int(blockDim.x)) {
    const int t = i / width;
    const float at = piece.first + float(t);
    f(size_t(piece.row + t), i % width, [&](int place) { return fmaf(slope[place], at, vector[place]); });
  }
}

struct ApplyFilm {
  int scale_at, shift_at;
  ConstRows in;
  Rows out;
  template <class Value>
  __device__ void operator()(size_t row, int column, const Value& value) const {
    const float x = in.at(row, column);
    out.at(row, column) = fmaf(value(scale_at + column), x, x) + value(shift_at + column);
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

Linear::Linear(const ssm::LinearConfig& config, const ssm::Checkpoint& checkpoint)
    : d_in(config.d_in), d_out(config.d_out), weight(uploaded(checkpoint.floats(config.name + ".weight", {config.d_out, config.d_in}))) {
  if (config.bias) bias = uploaded(checkpoint.floats(config.name + ".bias", {config.d_out}));
}

void run_linear(const Linear& linear, const float* in, int in_stride, float* out, int out_stride, size_t rows, bool accumulate, cudaStream_t stream) {
  const LinearArguments arguments{linear.weight.data(), linear.bias.data(), linear.d_in, linear.d_out, {in, in_stride}, {out, out_stride}, rows, accumulate};
  if (linear.d_in <= 8 || linear.d_out <= 8) {
    const Grid grid(rows, linear.d_out);
    launch(narrow_product, grid.blocks, kThreads, 0, stream, arguments, grid.rows_per_block);
  } else {
    launch(tiled_product, dim3(blocks_of(rows, kTileRows), blocks_of(size_t(linear.d_out), kTileOutputs)), kThreads, 0, stream, arguments);
  }
}

void run_rms_norm(const float* weight, float eps, int groups, int width, const float* in, int in_stride, float* out, int out_stride, size_t rows,
                  cudaStream_t stream) {
  launch(rms_norm, blocks_of(rows * size_t(groups) * 32, kThreads), kThreads, 0, stream, weight, eps, groups, width, ConstRows{in, in_stride},
         Rows{out, out_stride}, rows);
}

void run_activation(ssm::Activation kind, const float* in, int in_stride, float* out, int out_stride, int width, size_t rows, cudaStream_t stream) {
  const ConstRows from{in, in_stride};
  const Rows to{out, out_stride};
  if (kind == ssm::Activation::glu) {
    for_each_element(rows, width, stream, [=] __device__(size_t row, int c) { to.at(row, c) = from.at(row, c) * sigmoid(from.at(row, width + c)); });
  } else {
    for_each_element(rows, width, stream, [=] __device__(size_t row, int c) { to.at(row, c) = activated(kind, from.at(row, c)); });
  }
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

void run_time_step(const float* bias, float low, float high, float* x, int stride, int width, size_t rows, cudaStream_t stream) {
  const Rows to{x, stride};
  for_each_element(rows, width, stream,
                   [=] __device__(size_t row, int c) { to.at(row, c) = fminf(fmaxf(softplus(to.at(row, c) + bias[c]), low), high); });
}

void run_film(const Film& film, int scale_at, int shift_at, const float* in, float* out, int width, cudaStream_t stream) {
  launch(each_film_row<ApplyFilm>, unsigned(film.count), kThreads, 0, stream, film, width, ApplyFilm{scale_at, shift_at, {in, width}, {out, width}});
}

void run_gain(const Film& film, int gain_at, float* x, int stride, int width, cudaStream_t stream) {
  launch(each_film_row<ApplyGain>, unsigned(film.count), kThreads, 0, stream, film, width, ApplyGain{gain_at, {x, stride}});
}

void run_unpack(const float* packed, const int64_t* source, const Chunk* chunks, int chunk_frames, size_t rows, float* out, int width,
                cudaStream_t stream) {
  const Source from{source, chunks, chunk_frames};
  for_each_element(rows, width, stream, [=] __device__(size_t row, int c) {
    const int64_t frame = from.of(row);
    if (frame < 0) return;
    const float value = packed[size_t(frame) * size_t(width) + size_t(c)];
    out[row * size_t(width) + size_t(c)] = isfinite(value) ? value : 0.0f;
  });
}

void run_pack(const float* in, int stride, const int64_t* source, const Chunk* chunks, int chunk_frames, size_t rows, float* packed, int width,
              cudaStream_t stream) {
  const Source to{source, chunks, chunk_frames};
  for_each_element(rows, width, stream, [=] __device__(size_t row, int c) {
    const int64_t frame = to.of(row);
    if (frame >= 0) packed[size_t(frame) * size_t(width) + size_t(c)] = in[row * size_t(stride) + size_t(c)];
  });
}

void run_embed(const float* table, int vocab, const int32_t* tokens, const int64_t* source, const Chunk* chunks, int chunk_frames, size_t rows,
               float* out, int width, cudaStream_t stream) {
  const Source from{source, chunks, chunk_frames};
  for_each_element(rows, width, stream, [=] __device__(size_t row, int c) {
    const int64_t frame = from.of(row);
    if (frame < 0) return;
    const int32_t id = tokens[frame];
    out[row * size_t(width) + size_t(c)] = table[size_t(id >= 0 && id < vocab ? id : 0) * size_t(width) + size_t(c)];
  });
}

}  // namespace coil::gpu
