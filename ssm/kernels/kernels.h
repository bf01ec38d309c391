// The float32 kernels as a table of functions, one table per SIMD target. Layers call through it; nothing else includes
// SIMD code.
//
// Conventions. A block is n frames, row-major: frame t of a buffer x starts at x + t * stride. Widths are padded (see
// padded()); the padding is zero before and after each call. Pointers may have any alignment; aligned ones are faster.
// The results of every kernel are bit-identical for any split of the frames into calls. All kernels are [audio-thread].
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "ssm/machine/aligned.h"
#include "ssm/machine/target.h"

namespace coil::ssm {

inline constexpr size_t kPad = 16;     // floats; the widest vector of any target
inline constexpr size_t kHalfPad = 8;  // for narrow networks, which would waste half of the widest vectors

// The width of a row in memory. Kernels accept multiples of kHalfPad, and use the widest vectors for multiples of kPad.
constexpr size_t padded(size_t width) { return width <= kHalfPad ? kHalfPad : (width + kPad - 1) / kPad * kPad; }

// Consecutive rows of a block that belong to one stream, and the layer's memory of that stream.
struct Run {
  size_t frames;
  float *history, *scan_state;
};
using Runs = std::span<const Run>;

// The index of a scan state, with `states` states for each of `channels` (padded) channels. The layout is panels of
// kPad channels (or kHalfPad if there are no more), and inside a panel [state][channel], so that a vector of channels
// reads contiguous memory.
constexpr size_t state_index(size_t channel, size_t state, size_t channels, size_t states) {
  const size_t panel = channels < kPad ? kHalfPad : kPad;
  return (channel / panel * states + state) * panel + channel % panel;
}

inline constexpr size_t kMaxDots = 4;  // largest number of rows that are stored for dot products

// A weight matrix, packed for one target. Weight (row r, column k) is at offset[r] + k * step[r].
//
// Many rows are stored in panels of `lanes` rows, as [column][row of the panel]. Neighbouring panels form a group that
// is interleaved column by column, so that a single frame reads one stream of memory. Few rows are stored one by one,
// for dot products.
struct PackedLinear {
  WeightFormat format = WeightFormat::f32;
  AlignedFloats f32;  // exactly one of these three holds the weights
  AlignedVector<uint16_t> bf16;
  AlignedVector<int8_t> int8;
  AlignedFloats bias, row_scale;  // row_scale: only for int8
  std::vector<size_t> offset, step;
  size_t d_in = 0;    // columns, without padding
  size_t d_out = 0;   // rows, padded
  size_t lanes = 0;   // of a panel: the target's vector width, or half of the widest one
  size_t dots = 0;    // number of rows stored for dot products; 0: panels
  size_t chains = 1;  // how many interleaved sums a row of a panel is accumulated in
};

// Depthwise convolution in time. Weights and history are stored as [tap][width].
struct ConvKernel {
  const float *weights, *bias;
  size_t taps, width;
};

// A bank of diagonal complex or real filters: y = Re(c h) + D u, then h = z h + u. Coefficients and states are stored
// as state_index says. In a state, the imaginary parts follow the real parts.
struct S4dKernel {
  size_t channels, modes;    // channels padded
  const float *z_re, *z_im;  // decay per frame; z_im is null for real filters
  const float *c_re, *c_im;  // output weights, multiplied by the input's coefficient and by z
  const float* D;            // [channels]; with the real parts of the output weights added
};

// A layer of kHalfPad channels: h += W_out (tanh((1 + scale) (W_in s4d(h) + b_in) + shift) - rest) + b_out. The bank
// has 1, 2 or 4 complex modes, the matrices have float32 weights stored as [column][kHalfPad].
struct NarrowLayer {
  S4dKernel bank;
  size_t state_at;  // offset of the bank's state in a stream's arena
  const PackedLinear *in, *out;
  const float* rest;  // [kHalfPad]
  // A FiLM vector that moves: where this layer's scale starts in it, kHalfPad values, followed by the shift; and
  // whether the rest is what the tanh gives for an input of 0, instead of `rest`.
  bool has_film, rest_moves;
  size_t film_at;
};
struct NarrowRun {
  float* arena;
  size_t frames;
  const float *film_base, *film_slope;  // at frame t base + slope (first + t); null: scale and shift are 0
  float first;
};

// h[n] = 2^(dt a[n]) h[n] + (dt u) B[n];  y = sum_n C[n] h[n] + D u. a and h are stored as state_index says.
struct ScanKernel {
  size_t channels, d_state;
  const float* a;       // A log2(e)
  const float* D;       // [channels]
  const float *dt, *u;  // [frames] rows of `stride`
  size_t stride;
  const float *B, *C;  // element n of frame t: B[t * bc_stride + n]
  size_t bc_stride;
  const float *B_constant, *C_constant;  // stored like a, instead of B or C; null if B or C varies in time
  float* y;                              // rows of y_stride; must not be u
  size_t y_stride;
};

// As ScanKernel, with one decay per frame and head: h[n] = (1 + decay) h[n] + (dt u) B[n].
struct SsdKernel {
  size_t channels, d_state;
  size_t first_state;           // offset of this call's states in the runs' scan_state
  size_t headdim;               // a multiple of kPad: decay and dt are given per head; 0: per channel
  const float* D;               // [channels]
  const float *decay, *dt, *u;  // [frames] rows of stride, dt_stride, u_stride
  size_t stride, dt_stride, u_stride;
  const float *B, *C;
  size_t bc_stride;
  float* y;
  size_t y_stride;
};

// dt = softplus(bias + W x), where x has few values.
struct TimeStepKernel {
  const float* weights;  // [rank][width]
  const float* bias;     // [width]
  size_t rank, width;
};

// One frame of a whole Mamba-1 mixer. Everything but `history`, `h` and the buffers is constant.
struct Mamba1Frame {
  const float* norm_eps;        // null: no norm before the mixer
  size_t d_model, model_width;  // width: padded
  const PackedLinear *in_proj, *x_to_rank, *x_to_bc, *out_proj;
  ConvKernel conv;
  TimeStepKernel time_step;
  size_t d_state, bc_width;
  const float *a, *D;  // as in ScanKernel
};

// Mamba-3's step sizes, decays and rotations. They are computed in double precision from the projection on, because a
// phase accumulates the rounding error of every frame. Rows of the weights and of `out` start with the heads, padded.
struct Mamba3Steps {
  size_t d_model, heads_width, angle_width;  // widths: padded to kHalfPad
  const double* weights;  // [d_model][dt, a, s: heads_width each; angles: angle_width], with the norm's weights folded
                          // in
  const double* dt_bias;  // [heads_width]
  bool has_norm;
  double norm_eps, a_floor;
  bool a_softplus;
  size_t stride() const { return 5 * heads_width + 2 * angle_width; }
};

// Mamba-3 between its projections. States, angles and the elements of K and Q are ordered so that the pairs (i, half +
// i) rotate. An angle is counted in turns and stored as two floats; the second holds the digits that do not fit into
// the first.
struct Mamba3Kernel {
  size_t heads, channels;  // channels of a head, padded
  size_t d_state, half;    // of the d_state states of a head, the first `half` are the first elements of pairs
  size_t rank, groups;
  size_t bc_width, angle_width;          // row width of B, C, K and Q; padded row width of the angles
  size_t k_at, v_at, angle_at, rest_at;  // offsets in a run's scan_state; the scan's own states are at 0
  size_t stride;
  const float *B, *C, *v;  // rows of `stride`; B and C after their norm
  size_t step_stride;
  // rows of step_stride, from mamba3_steps
  const float *dt, *dt_rest, *decay, *beta, *gamma, *speed, *speed_rest;
  const float *B_bias, *C_bias;  // [head][rank][bc_width]
  const float* mimo_x;           // [head][rank][channels]; null: 1
  const float* D;                // [head]
  float *K, *Q;                  // [frame][head][rank][bc_width]
  float* y;                      // [frame][head][rank][channels]
};

// Attention over the last `window` frames, which are kept in a ring: frame t in slot t % window. A run's history holds
// the keys as [kv head][slot / kPad][headdim][kPad], the values as [kv head][slot][width], and at position_at the
// number of frames so far, see frames_seen().
struct AttentionKernel {
  size_t heads, kv_heads, headdim, width;  // width: of a head, padded
  size_t window, slots;                    // slots: padded
  size_t values_at, position_at;           // offsets in a run's history
  float scale, soft_cap;                   // soft_cap 0: no soft cap
  const float* sinks;                      // [head]; a score that takes part in the softmax but has no value; null:
                                           // none
  size_t stride;
  const float *q, *k, *v;  // rows of [head][width], [kv head][width]
  float* scores;           // [slots]; scratch for one frame and head
  float* y;                // rows of [head][width]
  size_t y_stride;
};

// The count of frames is stored as two floats, because one float32 cannot hold it exactly.
inline constexpr float kLowFrames = 1 << 20;
inline uint64_t frames_seen(const float* position) {
  return uint64_t(position[0]) * uint64_t(kLowFrames) + uint64_t(position[1]);
}

struct Kernels {
  const char* name;
  size_t lanes;  // floats per vector
  size_t group;  // panels of a matrix that are interleaved

  // y[t] = s[t] W x[t] + b, added to y[t] if accumulate. If frame_scale is null, s is 1. y_stride is at least w.d_out.
  void (*linear)(const PackedLinear& w, const float* frame_scale, const float* x, size_t x_stride, float* y,
                 size_t y_stride, size_t frames, bool accumulate);
  // scale[t] = 1 / sqrt(sum(x^2) / count + eps) over `width` floats of each frame
  void (*rms_scale)(float eps, size_t count, size_t width, const float* x, size_t x_stride, float* scale,
                    size_t frames);
  // y = x / sqrt(sum(x^2) / count + eps) * weight over `width` floats of each frame; in place allowed.
  void (*rms_norm)(const float* weight, float eps, size_t count, size_t width, const float* x, size_t x_stride,
                   float* y, size_t y_stride, size_t frames);
  // Pointwise over `width` floats of each frame; in place allowed.
  void (*tanh)(const float* x, size_t x_stride, float* y, size_t y_stride, size_t width, size_t frames);
  // y = tanh(x) - rest; rest_stride 0: one row for all frames. Exactly 0 where `rest` was computed by `tanh` from the
  // same x.
  void (*tanh_rest)(const float* rest, size_t rest_stride, const float* x, size_t x_stride, float* y, size_t y_stride,
                    size_t width, size_t frames);
  void (*gelu)(const float* x, size_t x_stride, float* y, size_t y_stride, size_t width, size_t frames);
  void (*silu)(const float* x, size_t x_stride, float* y, size_t y_stride, size_t width, size_t frames);
  // y = x[0 ..] * sigmoid(x[width ..])
  void (*glu)(const float* x, size_t x_stride, float* y, size_t y_stride, size_t width, size_t frames);
  // y *= silu(z)
  void (*gate)(const float* z, size_t z_stride, float* y, size_t y_stride, size_t width, size_t frames);
  // y += x
  void (*add)(const float* x, size_t x_stride, float* y, size_t y_stride, size_t width, size_t frames);
  // y[t] = (1 + scale) x[t] + shift, where scale = scale_base + scale_slope * (first + t) and shift likewise. Null
  // slopes: constant.
  void (*film)(const float* scale_base, const float* scale_slope, const float* shift_base, const float* shift_slope,
               float first, const float* x, size_t x_stride, float* y, size_t y_stride, size_t width, size_t frames);
  // y[t * y_stride] += sum(w x[t]) over `width` floats, where w = base + slope * (first + t). Null slope: w = base.
  void (*moving_dot)(const float* base, const float* slope, float first, const float* x, size_t x_stride, float* y,
                     size_t y_stride, size_t width, size_t frames);
  // dt = min(max(softplus(dt + bias), dt_min), dt_max) in place. Without `softplus`, only adds the bias.
  void (*time_step)(const float* bias, float dt_min, float dt_max, bool softplus, float* dt, size_t stride,
                    size_t width, size_t frames);
  // dt[t] = softplus(bias + W x[t])
  void (*project_time_step)(const TimeStepKernel& w, const float* x, size_t x_stride, float* dt, size_t dt_stride,
                            size_t frames);
  // decay = 2^(dt a) - 1
  void (*decay)(const float* a, const float* dt, size_t dt_stride, float* decay, size_t decay_stride, size_t width,
                size_t frames);
  // y[t] = silu(b + sum_j w[j] x[t + 1 - taps + j]), j = 0 .. taps - 1, for each run. The history holds the `taps`
  // frames before the run's rows, oldest first; afterwards it holds those before the next block.
  void (*conv_silu)(const ConvKernel& conv, Runs runs, const float* x, size_t x_stride, float* y, size_t y_stride);
  // sum[i] += f, sum[width + i] += f^2 over the frames, where f = tanh(x)
  void (*envelopes)(const float* x, size_t x_stride, float* sum, size_t width, size_t frames);

  // The recurrences; each run starts from its scan_state and updates it. The _end variants only update the state.
  void (*s4d)(const S4dKernel& bank, Runs runs, const float* x, size_t x_stride, float* y, size_t y_stride);
  void (*s4d_end)(const S4dKernel& bank, Runs runs, const float* x, size_t x_stride);
  // The rows of each run through whole layers, one after another, in place. Neighbouring runs of the same length share
  // vectors. Either all runs have a FiLM vector or none. Null: this target lacks it.
  void (*narrow_layers)(std::span<const NarrowLayer> layers, std::span<const NarrowRun> runs, float* h) = nullptr;
  void (*selective_scan)(const ScanKernel& scan, Runs runs);
  void (*selective_scan_end)(const ScanKernel& scan, Runs runs);
  void (*ssd)(const SsdKernel& scan, Runs runs);
  void (*ssd_end)(const SsdKernel& scan, Runs runs);

  // Mamba-3. mamba3_steps writes [frame][dt; decay = e^(A dt) - 1; beta and gamma: the weights of the previous and the
  // current frame; dt_rest; speed: in half turns per step; speed_rest]. A rest holds the digits that do not fit into
  // the first float. The next kernel advances the angles of each run and computes K and Q. The last ones are the scan,
  // with and without y.
  void (*mamba3_steps)(const Mamba3Steps& m, const float* x, size_t x_stride, float* out, size_t frames);
  void (*mamba3_rotate)(const Mamba3Kernel& m, Runs runs);
  void (*mamba3_scan)(const Mamba3Kernel& m, Runs runs);
  void (*mamba3_end)(const Mamba3Kernel& m, Runs runs);
  // y = sum over r < rank of y_r silu(z z_weight_r) o_weight_r, where x_r is at x + r * width.
  void (*mimo_gate)(const float* y, size_t y_stride, const float* z, size_t z_stride, const float* z_weight,
                    const float* o_weight, size_t rank, float* out, size_t out_stride, size_t width, size_t frames);

  // For each frame: writes k and v into each run's ring, then computes y from all frames in it.
  void (*attend)(const AttentionKernel& m, Runs runs);

  // All of Mamba-1 for one frame, bit-identical to the separate kernels. Latency dominates a single frame, so values
  // stay in registers instead of memory. Only for float32 weights, four taps, and x_to_rank stored for dot products.
  // scratch: 5 widths and bc; `out` may be `in`.
  void (*mamba1_frame)(const Mamba1Frame& m, const Run& run, const float* in, float* scratch, float* out,
                       bool accumulate);
};

// All tables of this build that this machine can run, best first. [any thread]
std::vector<const Kernels*> available_kernels();

// Packs a matrix for `kernels`. Row r of the packed matrix is row rows[r] of the source, column k is column columns[k];
// -1 is a row or column of zeros. source is (.., source_columns), row-major; bias is null or has one value per source
// row.
PackedLinear pack_linear(const Kernels& kernels, WeightFormat format, const float* source, size_t source_columns,
                         const float* bias, const std::vector<int>& rows, const std::vector<int>& columns);

// Selects rows of a packed matrix, in this order. Their products are bit-identical to those of the whole matrix.
PackedLinear select_rows(const Kernels& kernels, const PackedLinear& from, std::span<const uint32_t> rows);

}  // namespace coil::ssm
