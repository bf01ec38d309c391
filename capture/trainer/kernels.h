// The arithmetic of forward and backward pass for one vector of lanes, as a table of functions per SIMD target and
// shape.
//
// A lane is one stream of the batch; all arrays end in [lane], so that the work is vertical and weights are broadcast.
// Frames come in blocks of kBlockFrames, layer by layer; the backward pass goes through the blocks in reverse.
// Equations, for a channel of an S4D layer with input h and output y, g the gradient of y, modes z_n, weights c_n:
//
//   s_n[t] = z_n s_n[t-1] + h[t]            y[t] = D h[t] + sum_n Re(c_n s_n[t])
//   m_n[t] = g[t] + z_n m_n[t+1]            q_n[t] = m_n[t+1] + z_n q_n[t+1]
//   dL/dh[t] = D g[t] + sum_n Re(c_n m_n[t])
//   M_n = sum_t g s_n = sum_t h m_n + s_n[-1] z_n m_n[0]
//   Q_n = sum_t c^-1 dL/dz = sum_t h q_n + s_n[-1] (m_n[0] + z_n q_n[0]),     dL = Re(M dc + c Q dz)
//
// so no state of the forward pass is needed. The rest of a layer, with per-lane scale and shift:
//
//   p = scale (W_in y) + shift,  a = tanh(p) - tanh(shift),  h' = h + W_out a
//
// A filter behind the network is one more bank of modes, with the output row's sum as its h and the output as its y.
//
// With a slow path, scale, shift - scale b and the output row move from frame to frame, in a line from one boundary of
// hops to the next. What the film vector is there, the slow path says: with the features x of a hop and 8 states c,
//
//   z = tanh(W x + b + R c),  g = sigmoid(G z + b_g),  c' = c + g (V z + b_v - c),  film = base + O tanh(H c' + b_h) +
//   b_o
#pragma once

#include <cstddef>
#include <vector>

#include "capture/trainer/shape.h"
#include "ssm/machine/aligned.h"

namespace coil::capture {

inline constexpr size_t kBlockFrames = 16;    // of which what a layer reads and writes lies in the first cache
inline constexpr size_t kFilterFrames = 128;  // that pass the filter at a time
inline constexpr size_t kMaxLanes = 16;
inline constexpr size_t kStates = 2;          // of a pair of modes, carried from block to block: real, imaginary
inline constexpr size_t kAdjoints = 4;        // of a pair: m and q
inline constexpr double kPreEmphasis = 0.85;  // of the second part of the loss: e[t] - 0.85 e[t-1]

// What all lanes share.
template <class T>
struct Weights {
  const T* parameters;  // as ParameterMap says
  const T* modes;       // [layer][z_re, z_im, c_re, c_im][d][pairs]
  size_t layers;
};

// The bank of modes behind the network.
template <class T>
struct OutputFilter {
  const T* modes;  // [z_re, z_im, c_re, c_im][count]
  T direct;
  size_t count;  // a multiple of 4
};

// What belongs to a lane's knobs; [..][lane].
template <class T>
struct Conditions {
  const T* scale;   // [layer][d]
  const T* shift;   // [layer][d]
  const T* rest;    // [layer][d]: tanh(shift)
  const T* output;  // [d]
};

// What blocks leave for their way back, and buffers of that way.
template <class T>
class Tape {
 public:
  // blocks: 0 for a tape that goes on forward only: all layers then lie in one place, which stays in the cache.
  Tape(const Shape& shape, size_t lanes, size_t blocks);

  // Of layer l, in the present block: its input (of l == layers: what the output row gets), that of W_in, of W_out;
  // with a slow path also W_in y and tanh(shift).
  T* h(size_t l) { return at(inputs_, layers_ + 1, l); }
  T* y(size_t l) { return at(filtered_, layers_, l); }
  T* a(size_t l) { return at(activated_, layers_, l); }
  T* pre(size_t l) { return at(pre_, layers_, l); }
  T* rest(size_t l) { return at(rest_, layers_, l); }

  size_t block = 0;                           // the present one
  ssm::AlignedVector<T> g, gp, g_scaled, gy;  // gradients of h, p, scale p, y

 private:
  T* at(ssm::AlignedVector<T>& values, size_t layers, size_t l) {
    return &values[keeps_ ? (block * layers + l) * span_ : 0];
  }

  bool keeps_;
  size_t span_;  // of one layer and block
  size_t layers_;
  ssm::AlignedVector<T> inputs_, filtered_, activated_, pre_, rest_;
};

// The film vector over a block with a slow path, [film][lane]: each layer's scale [d] and shift without scale b [d],
// then the output row.
template <class T>
struct MovingFilm {
  const T *from, *to;  // at the boundaries around the hop
  T *from_gradient, *to_gradient;
  size_t first;  // frame of the hop that the block begins with
};

// The slow path over the hops before and in a segment; [..][lane]. Boundary i lies behind hop `hops - boundaries + i`.
template <class T>
struct SlowTape {
  SlowTape(const SlowMap& map, size_t lanes, size_t hops, size_t boundaries);

  size_t hops, boundaries;
  ssm::AlignedVector<T> base;           // [film]: what is there without the slow path
  ssm::AlignedVector<T> features;       // [hops][inputs]
  ssm::AlignedVector<T> alive;          // [hops + 1]: 1, or 0 where there is no sound yet: neither states nor film move
  ssm::AlignedVector<T> state;          // [hops + 1][units]
  ssm::AlignedVector<T> z, z_gradient;  // [hops][hidden]
  ssm::AlignedVector<T> gate, value;    // [hops][units], on the way back their gradients
  ssm::AlignedVector<T> head, head_gradient;  // [boundaries][head]
  ssm::AlignedVector<T> film, film_gradient;  // [boundaries][film]
  ssm::AlignedVector<T> state_gradient;       // [boundaries][units], from the head
};

// Sums over the lanes and frames that count.
struct LossSums {
  double plain = 0, pre_emphasised = 0;
};

template <class T>
struct Kernels {
  size_t lanes;
  size_t d_model, pairs;

  // rest = tanh(shift), `count` vectors
  void (*rest)(const T* shift, T* rest, size_t count);
  // x, out: [kBlockFrames]; states: [layer][d][pairs][kStates], before the block and, written, behind it, in the same
  // place or another
  void (*forward)(const Weights<T>&, const Conditions<T>&, const T* x, T* out, const T* before, T* state, Tape<T>&);
  // out_gradient: [kBlockFrames]; adjoint: [layer][d][pairs][kAdjoints], moves back; adds to gradient, which has the
  // places of ParameterMap up to `knobs`, then [layer][d]: the sum of a's gradient. C's places hold M, log_A_real's and
  // A_imag's hold Q; W_in's and in_bias's gradients are those of scale W_in and shift.
  void (*backward)(const Weights<T>&, const Conditions<T>&, const T* x, const T* out_gradient, Tape<T>&, T* adjoint,
                   T* gradient);
  // After the first block: the share of the states before it in M and Q.
  void (*add_initial_state)(const Weights<T>&, const T* state, const T* adjoint, T* gradient);
  // Energies of the target. counts: 1 where a frame is scored, else 0. weight: [1]
  LossSums (*energy)(const T* target, const T* counts, const T* weight, size_t frames);
  // Takes the output, leaves the gradient of k_plain/2 |e|^2 + k_pre/2 |pre-emphasised e|^2, e = output - target;
  // returns the sums.
  LossSums (*loss)(T* output, const T* target, const T* counts, const T* weight, size_t frames, T k_plain, T k_pre);

  // Of any number of frames: y of v. state: [count][kStates], moves on
  void (*filter)(const OutputFilter<T>&, const T* v, T* y, T* state, size_t frames);
  // state: before the first frame. gradient: FilterMap's places, with M and Q as in a layer; it and adjoint are set.
  void (*filter_back)(const OutputFilter<T>&, const T* v, const T* of_y, T* of_v, const T* state, size_t frames,
                      T* adjoint, T* gradient);

  // With a slow path, in place of forward and backward. The gradient lacks what the film vector moves: knobs, output
  // row.
  void (*forward_moving)(const Weights<T>&, const MovingFilm<T>&, const T* x, T* out, const T* before, T* state,
                         Tape<T>&);
  void (*backward_moving)(const Weights<T>&, const MovingFilm<T>&, const T* x, const T* out_gradient, Tape<T>&,
                          T* adjoint, T* gradient);
  // From tape.state's first row and tape.features to all else of the tape.
  void (*slow_forward)(const SlowMap&, const T* parameters, SlowTape<T>&);
  // From tape.film_gradient to `gradient`, which has the places of SlowMap.
  void (*slow_backward)(const SlowMap&, const T* parameters, SlowTape<T>&, T* gradient);
};

// Of one SIMD target.
struct TrainerKernels {
  const char* target;
  std::vector<Kernels<float>> shapes;

  // Throws Error for a shape that was not compiled.
  const Kernels<float>& of(const Shape& shape) const;
};

// What this machine can run, best first. [any thread]
std::vector<TrainerKernels> available_trainer_kernels();

template <class T>
Tape<T>::Tape(const Shape& shape, size_t lanes, size_t blocks)
    : keeps_(blocks > 0),
      span_((kBlockFrames * shape.d_model + 24) *
            lanes),  // 24: lest the layers lie at the same places modulo 4096 bytes
      layers_(shape.layers) {
  const size_t places = keeps_ ? blocks * layers_ : 1;
  for (auto* values : {&filtered_, &activated_}) values->resize(places * span_);
  inputs_.resize((places + blocks) * span_);
  if (shape.slow_features > 0)
    for (auto* values : {&pre_, &rest_}) values->resize(places * span_);
  for (auto* values : {&g, &gp, &g_scaled, &gy}) values->resize(span_);
}

template <class T>
SlowTape<T>::SlowTape(const SlowMap& map, size_t lanes, size_t hop_count, size_t boundary_count)
    : hops(hop_count),
      boundaries(boundary_count),
      base(map.film * lanes),
      features(hops * map.inputs * lanes),
      alive((hops + 1) * lanes),
      state((hops + 1) * SlowMap::units * lanes),
      z(hops * SlowMap::hidden * lanes),
      z_gradient(z.size()),
      gate(hops * SlowMap::units * lanes),
      value(gate.size()),
      head(boundaries * SlowMap::head * lanes),
      head_gradient(head.size()),
      film(boundaries * map.film * lanes),
      film_gradient(film.size()),
      state_gradient(boundaries * SlowMap::units * lanes) {}

}  // namespace coil::capture
