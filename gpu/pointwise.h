// Parts without memory: norms, activations, FiLM, copies between signals and rows. Rows of a buffer are `stride` floats
// apart.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "gpu/memory.h"
#include "gpu/segment.h"
#include "ssm/model/config.h"

namespace coil::gpu {

// Normalises columns [0, groups * width) in groups, each with its own mean square. weight null: 1. In place is allowed.
void run_rms_norm(const float* weight, float eps, int groups, int width, const float* in, int in_stride, float* out,
                  int out_stride, size_t rows, cudaStream_t stream);

// out = (in - mean) / sqrt(variance + eps) * weight + bias. weight null: no weight and no bias.
void run_layer_norm(const float* weight, const float* bias, float eps, int width, const float* in, float* out,
                    size_t rows, cudaStream_t stream);

// out = f(in) * factor; for glu, f is the sigmoid. factor null: 1. `out` may be `in` or `factor`.
void run_activation(ssm::Activation kind, const float* in, int in_stride, const float* factor, int factor_stride,
                    float* out, int out_stride, int width, size_t rows, cudaStream_t stream);

// out = tanh(in) - tanh(x0), x0 = bias, or (1 + scale) bias + shift with the FiLM vector: exactly 0 where in equals x0.
void run_tanh_rest(const float* bias, const float* in, float* out, int width, size_t rows, cudaStream_t stream);

// out = in
void run_copy(const float* in, int in_stride, float* out, int out_stride, int width, size_t rows, cudaStream_t stream);

// out = out + in
void run_add(const float* in, int in_stride, float* out, int out_stride, int width, size_t rows, cudaStream_t stream);

// y = y * silu(z)
void run_gate(const float* z, int z_stride, float* y, int y_stride, int width, size_t rows, cudaStream_t stream);

// x = clamp(softplus(x + bias), low, high)
void run_time_step(const float* bias, float low, float high, float* x, int stride, int width, size_t rows,
                   cudaStream_t stream);

// The FiLM vector changes linearly over the frames of a piece: at its frame t it is vector + slope * (first + t).
struct DeviceFilmPiece {
  int row, rows;
  float first;
  int vector;  // row in the table of vectors: [vector | slope], each `vector_floats` long
};

struct Film {
  const DeviceFilmPiece* pieces = nullptr;
  int count = 0;
  const float* vectors = nullptr;
  int vector_floats = 0;
};

// out = (1 + scale) in + shift, both read from the FiLM vector at these offsets.
void run_film(const Film& film, int scale_at, int shift_at, const float* in, float* out, int width,
              cudaStream_t stream);
void run_tanh_rest(const Film& film, int scale_at, int shift_at, const float* bias, const float* in, float* out,
                   int width, cudaStream_t stream);
// y = y + W h, with W from the FiLM vector: rows of `outputs`, `row_floats` apart, from weights_at on
void run_moving_linear(const Film& film, int weights_at, int row_floats, const float* h, int width, float* y,
                       int outputs, cudaStream_t stream);
// x = x * the FiLM vector's value at `gain_at`
void run_gain(const Film& film, int gain_at, float* x, int stride, int width, cudaStream_t stream);

// Copies packed signals (`width` values per frame) to rows and back; `source` is the first frame of each chunk. On the
// way in, non-finite values and ids outside the vocabulary become 0.
void run_unpack(const float* packed, const int64_t* source, const Chunk* chunks, int chunk_frames, size_t rows,
                float* out, int width, cudaStream_t stream);
void run_pack(const float* in, int stride, const int64_t* source, const Chunk* chunks, int chunk_frames, size_t rows,
              float* packed, int width, cudaStream_t stream);
void run_embed(const float* table, int vocab, const int32_t* tokens, const int64_t* source, const Chunk* chunks,
               int chunk_frames, size_t rows, float* out, int width, cudaStream_t stream);

}  // namespace coil::gpu
