// The float32 kernels as a table of functions, one table per SIMD target. Layers call through it; nothing else includes
// SIMD code.
//
// Conventions. A block is n frames, row-major: frame t of a buffer x lies at x + t * stride. Widths are padded (see
// padded()); what lies in the padding is zero before and after. Pointers may have any alignment; aligned ones are
// faster. Every kernel gives the same bits for any split of the frames into calls. All are [audio-thread].
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "ssm/machine/aligned.h"
#include "ssm/machine/target.h"

namespace coil::ssm {

inline constexpr size_t kPad = 16;     // floats: the widest vector of any target
inline constexpr size_t kHalfPad = 8;  // narrow networks would waste half of the widest vectors

// The width of a row in memory. Kernels take widths that are multiples of kHalfPad, and use the widest vectors on
// multiples of kPad.
constexpr size_t padded(size_t width) { return width <= kHalfPad ? kHalfPad : (width + kPad - 1) / kPad * kPad; }

// Consecutive rows of a block that belong to one stream, and what a layer remembers of that stream.
struct Run {
  size_t frames;
  float *history, *scan_state;
};
using Runs = std::span<const Run>;

// Where a scan state lies among `states` of each of `channels` (padded): panels of kPad channels, or of kHalfPad where
// there are no more, and in a panel [state][channel], so that what a vector of channels needs lies together.
constexpr size_t state_index(size_t channel, size_t state, size_t channels, size_t states) {
  const size_t panel = channels < kPad ? kHalfPad : kPad;
  return (channel / panel * states + state) * panel + channel % panel;
}

inline constexpr size_t kMaxDots = 4;  // rows of a matrix that may be kept each by itself

// A weight matrix, packed for one target. Weight (row r, column k) lies at offset[r] + k * step[r].
//
// Many rows: panels of `lanes` rows, [column][row of the panel], where neighbouring panels form a group that lies
// interleaved column by column, so that a single frame reads one stream of memory. Few rows: each row by itself, for
// dot products.
struct PackedLinear {
  WeightFormat format = WeightFormat::f32;
  AlignedFloats f32;  // one of these three holds the weights
  AlignedVector<uint16_t> bf16;
  AlignedVector<int8_t> int8;
  AlignedFloats bias, row_scale;  // row_scale: of int8
  std::vector<size_t> offset, step;
  size_t d_in = 0;    // columns that are read, without padding
  size_t d_out = 0;   // rows, padded
  size_t lanes = 0;   // of a panel: the target's vector, or half of the widest one
  size_t dots = 0;    // rows, if they lie each by itself; 0: panels
  size_t chains = 1;  // interleaved sums that a row of a panel is added up in
};

// Depthwise convolution in time. Weights and history lie [tap][width].
struct ConvKernel {
  const float *weights, *bias;
  size_t taps, width;
};

// Diagonal complex or real filter bank. Coefficients and states lie as state_index says; of a state the imaginary parts
// follow the real ones.
struct S4dKernel {
  size_t channels, modes;    // channels padded
  const float *z_re, *z_im;  // decay per frame; z_im null: real
  const float *c_re, *c_im;  // output weights with the input's coefficient folded in
  const float* D;            // [channels]
};

// h[n] = 2^(dt a[n]) h[n] + (dt u) B[n];  y = sum_n C[n] h[n] + D u. a and h lie as state_index says.
struct ScanKernel {
  size_t channels, d_state;
  const float* a;       // A log2(e)
  const float* D;       // [channels]
  const float *dt, *u;  // [frames] rows of `stride`
  size_t stride;
  const float *B, *C;  // element n of frame t: B[t * bc_stride + n]
  size_t bc_stride;
  const float *B_constant, *C_constant;  // like a, in place of B or C; null: B or C varies
  float* y;                              // rows of y_stride; not u
  size_t y_stride;
};

// As ScanKernel with one decay a frame and head: h[n] = (1 + decay) h[n] + (dt u) B[n].
struct SsdKernel {
  size_t channels, d_state;
  size_t first_state;           // where this call's states begin in the runs' scan_state
  size_t headdim;               // a multiple of kPad: decay and dt are given per head; 0: they are given per channel
  const float* D;               // [channels]
  const float *decay, *dt, *u;  // [frames] rows of stride, dt_stride, u_stride
  size_t stride, dt_stride, u_stride;
  const float *B, *C;
  size_t bc_stride;
  float* y;
  size_t y_stride;
};

// dt = softplus(bias + W x), from few values x.
struct TimeStepKernel {
  const float* weights;  // [rank][width]
  const float* bias;     // [width]
  size_t rank, width;
};

// One frame of a whole Mamba-1 mixer. All of it but `history`, `h` and the buffers is constant.
struct Mamba1Frame {
  const float* norm_eps;        // null: no norm in front
  size_t d_model, model_width;  // width: padded
  const PackedLinear *in_proj, *x_to_rank, *x_to_bc, *out_proj;
  ConvKernel conv;
  TimeStepKernel time_step;
  size_t d_state, bc_width;
  const float *a, *D;  // as in ScanKernel
};

// What steers Mamba-3's heads: its step sizes, decays and rotations, in double precision from the projection on, since
// phases add up what every frame's rounding leaves. Rows of the weights, and of `out`, begin with the heads, padded.
struct Mamba3Steps {
  size_t d_model, heads_width, angle_width;  // widths: padded to kHalfPad
  const double* weights;  // [d_model][dt, a, s: heads_width each; angles: angle_width], the norm's weights in them
  const double* dt_bias;  // [heads_width]
  bool has_norm;
  double norm_eps, a_floor;
  bool a_softplus;
  size_t stride() const { return 4 * heads_width + angle_width; }
};

// Mamba-3 between its projections. States, angles and what lies in K and Q are ordered so that the pairs (i, half + i)
// rotate. Angles are counted in turns, as two floats: the second holds what the first one's last bit cannot.
struct Mamba3Kernel {
  size_t heads, channels;  // channels of a head, padded
  size_t d_state, half;    // of the d_state states of a head `half` are the first of a pair
  size_t rank, groups;
  size_t bc_width, angle_width;          // of a row of B, C, K or Q; of the angles: padded
  size_t k_at, v_at, angle_at, rest_at;  // where in a run's scan_state they lie; the scan's own states lie at 0
  size_t stride;
  const float *B, *C, *v;  // rows of `stride`; B and C after their norm
  size_t step_stride;
  const float *dt, *decay, *beta, *gamma, *speed;  // rows of step_stride, as mamba3_steps gives them
  const float *B_bias, *C_bias;                    // [head][rank][bc_width]
  const float* mimo_x;                             // [head][rank][channels]; null: 1
  const float* D;                                  // [head]
  float *K, *Q;                                    // [frame][head][rank][bc_width]
  float* y;                                        // [frame][head][rank][channels]
};

// Attention over the last `window` frames, which lie in a ring: frame t in slot t % window. What a run remembers lies
// in its history: keys [kv head][slot / kPad][headdim][kPad], values [kv head][slot][width], and at position_at how
// many frames there were, see frames_seen().
struct AttentionKernel {
  size_t heads, kv_heads, headdim, width;  // width: of a head, padded
  size_t window, slots;                    // slots: padded
  size_t values_at, position_at;           // in a run's history
  float scale, soft_cap;                   // soft_cap 0: none
  const float* sinks;                      // [head], one more score that takes its share and gives nothing; null: none
  size_t stride;
  const float *q, *k, *v;  // rows of [head][width], [kv head][width]
  float* scores;           // [slots], for one frame and head
  float* y;                // rows of [head][width]
  size_t y_stride;
};

// A count that float32 could not hold, as two of them.
inline constexpr float kLowFrames = 1 << 20;
inline uint64_t frames_seen(const float* position) {
  return uint64_t(position[0]) * uint64_t(kLowFrames) + uint64_t(position[1]);
}

struct Kernels {
  const char* name;
  size_t lanes;  // floats in a vector
  size_t group;  // panels of a matrix that lie interleaved

  // y[t] = s[t] W x[t] + b, added to y[t] if accumulate; frame_scale null: s is 1. y_stride is at least w.d_out.
  void (*linear)(const PackedLinear& w, const float* frame_scale, const float* x, size_t x_stride, float* y,
                 size_t y_stride, size_t frames, bool accumulate);
  // scale[t] = 1 / sqrt(sum(x^2) / count + eps) over `width` floats of each frame
  void (*rms_scale)(float eps, size_t count, size_t width, const float* x, size_t x_stride, float* scale,
                    size_t frames);
  // y = x / sqrt(sum(x^2) / count + eps) * weight over `width` floats of each frame; in place allowed.
  void (*rms_norm)(const float* weight, float eps, size_t count, size_t width, const float* x, size_t x_stride,
                   float* y, size_t y_stride, size_t frames);
  // Pointwise over width floats of each frame; in place allowed.
  void (*tanh)(const float* x, size_t x_stride, float* y, size_t y_stride, size_t width, size_t frames);
  // y = tanh(x) - rest; rest_stride 0: one row for all frames. 0 to the last bit where `rest` is what `tanh` makes of
  // x.
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
  // y[t] = (1 + scale) x[t] + shift, where scale = scale_base + scale_slope * (first + t) and shift likewise; slopes
  // null: constant.
  void (*film)(const float* scale_base, const float* scale_slope, const float* shift_base, const float* shift_slope,
               float first, const float* x, size_t x_stride, float* y, size_t y_stride, size_t width, size_t frames);
  // y[t * y_stride] += sum(w x[t]), where w = base + slope * (first + t) over `width` floats; slope null: base.
  void (*moving_dot)(const float* base, const float* slope, float first, const float* x, size_t x_stride, float* y,
                     size_t y_stride, size_t width, size_t frames);
  // dt = min(max(softplus(dt + bias), dt_min), dt_max) in place; without `softplus` only the bias is added.
  void (*time_step)(const float* bias, float dt_min, float dt_max, bool softplus, float* dt, size_t stride,
                    size_t width, size_t frames);
  // dt[t] = softplus(bias + W x[t])
  void (*project_time_step)(const TimeStepKernel& w, const float* x, size_t x_stride, float* dt, size_t dt_stride,
                            size_t frames);
  // decay = 2^(dt a) - 1
  void (*decay)(const float* a, const float* dt, size_t dt_stride, float* decay, size_t decay_stride, size_t width,
                size_t frames);
  // y[t] = silu(b + sum_j w[j] x[t + 1 - taps + j]), j = 0 .. taps - 1, for each run. Its history holds the `taps`
  // frames before its rows, oldest first, and afterwards those before the next block.
  void (*conv_silu)(const ConvKernel& conv, Runs runs, const float* x, size_t x_stride, float* y, size_t y_stride);
  // sum[i] += f, sum[width + i] += f^2 over the frames, f = tanh(x)
  void (*envelopes)(const float* x, size_t x_stride, float* sum, size_t width, size_t frames);

  // The recurrences, each run from and to its scan_state. With _end only the state moves on.
  void (*s4d)(const S4dKernel& bank, Runs runs, const float* x, size_t x_stride, float* y, size_t y_stride);
  void (*s4d_end)(const S4dKernel& bank, Runs runs, const float* x, size_t x_stride);
  void (*selective_scan)(const ScanKernel& scan, Runs runs);
  void (*selective_scan_end)(const ScanKernel& scan, Runs runs);
  void (*ssd)(const SsdKernel& scan, Runs runs);
  void (*ssd_end)(const SsdKernel& scan, Runs runs);

  // Mamba-3: out [frame][dt; decay = e^(A dt) - 1; beta, gamma: what the last frame and this one add; speed: in half
  // turns a step]; then angles on from each run's own, and K and Q; then the scan, with y or without.
  void (*mamba3_steps)(const Mamba3Steps& m, const float* x, size_t x_stride, float* out, size_t frames);
  void (*mamba3_rotate)(const Mamba3Kernel& m, Runs runs);
  void (*mamba3_scan)(const Mamba3Kernel& m, Runs runs);
  void (*mamba3_end)(const Mamba3Kernel& m, Runs runs);
  // y = sum over r < rank of y_r silu(z z_weight_r) o_weight_r; x_r lies at x + r * width.
  void (*mimo_gate)(const float* y, size_t y_stride, const float* z, size_t z_stride, const float* z_weight,
                    const float* o_weight, size_t rank, float* out, size_t out_stride, size_t width, size_t frames);

  // Frame after frame: takes k and v into each run's ring, then y of all frames in it.
  void (*attend)(const AttentionKernel& m, Runs runs);

  // All of Mamba-1 for one frame, bit for bit what the single kernels give: what a frame costs most is waiting, and
  // here nothing waits for memory or a call that can stand in a register. For float32 weights, four taps, and x_to_rank
  // as dot products. scratch: 5 widths and bc; `out` may be `in`.
  void (*mamba1_frame)(const Mamba1Frame& m, const Run& run, const float* in, float* scratch, float* out,
                       bool accumulate);
};

// All tables of this build that this machine can run, best first.
std::vector<const Kernels*> available_kernels();

// Packs a matrix for `kernels`. Row r of the packed matrix is row rows[r] of the source, column k is column columns[k];
// -1 is a row or column of zeros. source lies (.., source_columns); bias is null or has one value a source row.
PackedLinear pack_linear(const Kernels& kernels, WeightFormat format, const float* source, size_t source_columns,
                         const float* bias, const std::vector<int>& rows, const std::vector<int>& columns);

// Some rows of a packed matrix, in this order, each giving the bits that it gives there.
PackedLinear select_rows(const Kernels& kernels, const PackedLinear& from, std::span<const uint32_t> rows);

}  // namespace coil::ssm
