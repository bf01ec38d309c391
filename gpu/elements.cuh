// Assigns threads to the elements of rows.
#pragma once

#include <cstdint>

#include "gpu/memory.h"

namespace coil::gpu {

inline constexpr int kElementThreads = 256;

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

// Whether rows can be read as vectors of four floats; depends on alignment and width.
inline __host__ __device__ bool on_vectors(const float* rows, int stride, int width = 4) {
  return width % 4 == 0 && stride % 4 == 0 && reinterpret_cast<uintptr_t>(rows) % 16 == 0;
}

// Thread blocks of whole rows, or of a part of one row. A thread divides by a run-time width only to find its place in
// the block.
struct Grid {
  int width, rows_per_block;
  dim3 blocks;

  Grid(size_t rows, int row_width)
      : width(row_width),
        rows_per_block(max(kElementThreads / row_width, 1)),
        blocks(blocks_of(rows, size_t(rows_per_block)),
               blocks_of(size_t(row_width), row_width < kElementThreads ? size_t(row_width) : kElementThreads)) {}
};

// Finds this thread's element; returns false if it has none.
__device__ inline bool find_element(size_t rows, int width, int rows_per_block, size_t& row, int& column) {
  const int thread = int(threadIdx.x);
  const int row_in_block = rows_per_block > 1 ? thread / width : 0;
  row = size_t(blockIdx.x) * size_t(rows_per_block) + size_t(row_in_block);
  column = thread - row_in_block * width + int(blockIdx.y) * kElementThreads;
  return row_in_block < rows_per_block && row < rows && column < width;
}

// Calls f(row, column) for every element of rows x width. Neighbouring threads get neighbouring columns.
template <class F>
__global__ void __launch_bounds__(kElementThreads) each_element(size_t rows, int width, int rows_per_block, F f) {
  size_t row;
  int column;
  if (find_element(rows, width, rows_per_block, row, column)) f(row, column);
}

template <class F>
void for_each_element(size_t rows, int width, cudaStream_t stream, const F& f) {
  const Grid grid(rows, width);
  launch(each_element<F>, grid.blocks, kElementThreads, 0, stream, rows, width, grid.rows_per_block, f);
}

}  // namespace coil::gpu
