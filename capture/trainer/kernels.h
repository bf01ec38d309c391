// The arithmetic of forward and backward pass for one vector of lanes, as a table of functions per SIMD target and
// shape.
//
// A lane is one stream of the batch. All arrays end in [lane], so that lanes never interact and weights are broadcast.
// Frames are processed in blocks of kBlockFrames, layer by layer; the backward pass takes the blocks in reverse order.
// Equations, for a channel of an S4D layer with input h and output y, g the gradient of y, modes z_n, weights c_n:
//
//   s_n[t] = z_n s_n[t-1] + h[t]            y[t] = D h[t] + sum_n Re(c_n s_n[t])
//   m_n[t] = g[t] + z_n m_n[t+1]            q_n[t] = m_n[t+1] + z_n q_n[t+1]
//   dL/dh[t] = D g[t] + sum_n Re(c_n m_n[t])
//   M_n = sum_t g s_n = sum_t h m_n + s_n[-1] z_n m_n[0]
//   Q_n = sum_t c^-1 dL/dz = sum_t h q_n + s_n[-1] (m_n[0] + z_n q_n[0]),     dL = Re(M dc + c Q dz)
//
// so the backward pass needs no states of the forward pass. The states before a segment depend on z, too: their
// derivative P_n = ds_n/dz_n is carried with them, and exact for a layer's own modes.
//
//   P_n[t] = s_n[t-1] + z_n P_n[t-1]       Q_n += z_n m_n[0] P_n[-1]
//
// The rest of a layer, with per-lane scale and shift:
//
//   p = scale (W_in y) + shift,  a = tanh(p) - tanh(shift),  h' = h + W_out a
//
// A filter after the network is one more bank of modes: its h is the sum of the output row, its y is the output.
//
// With a slow path, scale, shift - scale b and the output row change from frame to frame, linearly between the
// boundaries of hops. The slow path computes the film vector at a boundary: with the features x of a hop and 8 states
// c,
//
//   z = tanh(W x + b + R c),  g = sigmoid(G z + b_g),  c' = c + g (V z + b_v - c),
//   film = base + O tanh(H c' + b_h) + b_o
#pragma once

#include <cstddef>
#include <vector>

#include "capture/trainer/shape.h"
#include "ssm/machine/aligned.h"

namespace coil::capture {

inline constexpr size_t kBlockFrames = 16;    // a layer's inputs and outputs then fit into the L1 cache
inline constexpr size_t kFilterFrames = 128;  // per call of the filter
inline constexpr size_t kMaxLanes = 16;
inline constexpr size_t kStates = 2;          // of a pair of modes, passed from block to block: real, imaginary
inline constexpr size_t kAdjoints = 4;        // of a pair: m and q
inline constexpr double kPreEmphasis = 0.85;  // of the second part of the loss: e[t] - 0.85 e[t-1]

// Values that all lanes share.
template <class T>
struct Weights {
  const T* parameters;  // at the places of ParameterMap
  const T* modes;       // [layer][z_re, z_im, c_re, c_im][d][pairs]
  size_t layers;
};

// The bank of modes after the network.
template <class T>
struct OutputFilter {
  const T* modes;  // [z_re, z_im, c_re, c_im][count]
  T direct;
  size_t count;  // a multiple of 4
};

// Values that depend on a lane's knobs; [..][lane].
template <class T>
struct Conditions {
  const T* scale;   // [layer][d]
  const T* shift;   // [layer][d]
  const T* rest;    // [layer][d]: tanh(shift)
  const T* output;  // [d]
};

// What the forward pass of blocks saves for the backward pass, and buffers of the backward pass.
template <class T>
class Tape {
 public:
  // blocks: how many it holds. 0 saves nothing: all layers then share one place, which stays in the cache.
  Tape(const Shape& shape, size_t lanes, size_t blocks);

  // For layer l of the current block: its input (for l == layers, that of the output row), the inputs of W_in and of
  // W_out, and, with a slow path, W_in y and tanh(shift).
  T* h(size_t l) { return at(inputs_, layers_ + 1, l); }
  T* y(size_t l) { return at(filtered_, layers_, l); }
  T* a(size_t l) { return at(activated_, layers_, l); }
  T* pre(size_t l) { return at(pre_, layers_, l); }
  T* rest(size_t l) { return at(rest_, layers_, l); }

  size_t block = 0;                           // the current one
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
  const T *from, *to;  // at the boundaries of the hop
  T *from_gradient, *to_gradient;
  size_t first;  // the frame of the hop at which the block starts
};

// The slow path over the hops before and in a segment; [..][lane]. Boundary i follows hop `hops - boundaries + i`.
template <class T>
struct SlowTape {
  SlowTape(const SlowMap& map, size_t lanes, size_t hops, size_t boundaries);

  size_t hops, boundaries;
  ssm::AlignedVector<T> base;           // [film]: the film vector without the slow path
  ssm::AlignedVector<T> features;       // [hops][inputs]
  ssm::AlignedVector<T> alive;          // [hops + 1]: 1; or 0 before the sound starts, where neither states nor film
                                        // change
  ssm::AlignedVector<T> state;          // [hops + 1][units]
  ssm::AlignedVector<T> z, z_gradient;  // [hops][hidden]
  ssm::AlignedVector<T> gate, value;    // [hops][units]; in the backward pass their gradients
  ssm::AlignedVector<T> head, head_gradient;  // [boundaries][head]
  ssm::AlignedVector<T> film, film_gradient;  // [boundaries][film]
  ssm::AlignedVector<T> state_gradient;       // [boundaries][units], from the output head
};

// Sums over the lanes and the scored frames.
struct LossSums {
  double plain = 0, pre_emphasised = 0;
};

template <class T>
struct Kernels {
  size_t lanes;
  size_t d_model, pairs;

  // rest = tanh(shift), `count` vectors
  void (*rest)(const T* shift, T* rest, size_t count);
  // x, out: [kBlockFrames]; state: [layer][d][pairs][kStates], updated. derivative: of the states, in the same layout,
  // updated; or null.
  void (*forward)(const Weights<T>&, const Conditions<T>&, const T* x, T* out, T* state, T* derivative, Tape<T>&);
  // out_gradient: [kBlockFrames]; adjoint: [layer][d][pairs][kAdjoints], updated backwards. Adds to `gradient`, which
  // has the places of ParameterMap up to `knobs`, then [layer][d]: the sum of a's gradient. C's places hold M,
  // log_A_real's and A_imag's hold Q. W_in's and in_bias's gradients are those of scale W_in and shift.
  void (*backward)(const Weights<T>&, const Conditions<T>&, const T* x, const T* out_gradient, Tape<T>&, T* adjoint,
                   T* gradient);
  // Call after the first block: adds the contribution of the initial states and of their derivatives to M and Q.
  void (*add_initial_state)(const Weights<T>&, const T* state, const T* derivative, const T* adjoint, T* gradient);
  // Energies of the target. counts: 1 where a frame is scored, else 0. weight: [1]
  LossSums (*energy)(const T* target, const T* counts, const T* weight, size_t frames);
  // Replaces the output by the gradient of k_plain/2 |e|^2 + k_pre/2 |pre-emphasised e|^2, e = output - target. Returns
  // the sums.
  LossSums (*loss)(T* output, const T* target, const T* counts, const T* weight, size_t frames, T k_plain, T k_pre);

  // Any number of frames: computes y from v. state, derivative (or null): [count][kStates], updated
  void (*filter)(const OutputFilter<T>&, const T* v, T* y, T* state, T* derivative, size_t frames);
  // state, derivative: before the first frame. gradient: the places of FilterMap, with M and Q as in a layer; it and
  // adjoint are overwritten.
  void (*filter_back)(const OutputFilter<T>&, const T* v, const T* of_y, T* of_v, const T* state, const T* derivative,
                      size_t frames, T* adjoint, T* gradient);

  // With a slow path, replaces forward and backward. The gradient lacks the parts that the film vector changes: knobs
  // and output row.
  void (*forward_moving)(const Weights<T>&, const MovingFilm<T>&, const T* x, T* out, T* state, T* derivative,
                         Tape<T>&);
  void (*backward_moving)(const Weights<T>&, const MovingFilm<T>&, const T* x, const T* out_gradient, Tape<T>&,
                          T* adjoint, T* gradient);
  // Computes all other members of the tape from the first row of tape.state and tape.features.
  void (*slow_forward)(const SlowMap&, const T* parameters, SlowTape<T>&);
  // Computes `gradient`, which has the places of SlowMap, from tape.film_gradient.
  void (*slow_backward)(const SlowMap&, const T* parameters, SlowTape<T>&, T* gradient);
};

// The kernels of one SIMD target.
struct TrainerKernels {
  const char* target;
  std::vector<Kernels<float>> shapes;

  // Throws Error for a shape that was not compiled.
  const Kernels<float>& of(const Shape& shape) const;
};

// The targets that this machine supports, best first. [any thread]
std::vector<TrainerKernels> available_trainer_kernels();

template <class T>
Tape<T>::Tape(const Shape& shape, size_t lanes, size_t blocks)
    : keeps_(blocks > 0),
      span_((kBlockFrames * shape.d_model + 24) *
            lanes),  // 24, so that the layers do not start at equal addresses modulo 4096
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
