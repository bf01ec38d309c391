// The size of a network, and the places of its parameters in one vector.
#pragma once

#include <cstddef>

namespace coil::capture {

inline constexpr size_t kSlowFeatures = 8;  // of a slow path
inline constexpr size_t kFilterModes = 64;  // of a filter after the network

// Layers of S4D -> linear -> FiLM -> tanh -> linear with a residual connection; one input channel, one output channel,
// and a direct path.
struct Shape {
  size_t d_model = 8;
  size_t pairs = 4;  // conjugate pairs of modes per channel
  size_t layers = 6;
  size_t knobs = 0;
  size_t slow_features = 0;  // of the slow path; 0: none
  size_t filter_modes = 0;   // of the linear filter after the network; 0: none
  size_t direct = 1;         // 0: no direct path, so that the network can be part of a longer chain

  friend bool operator==(const Shape&, const Shape&) = default;
};

// Offsets in one layer's part of the vector. A gradient has the same layout.
struct LayerMap {
  constexpr LayerMap(size_t d, size_t pairs)
      : log_A_real(d),
        A_imag(log_A_real + d * pairs),
        C(A_imag + d * pairs),
        D(C + 2 * d * pairs),
        in_weight(D + d),
        in_bias(in_weight + d * d),
        out_weight(in_bias + d),
        size(out_weight + d * d) {}

  size_t log_dt = 0;  // [d]
  size_t log_A_real;  // [d][pairs]
  size_t A_imag;      // [d][pairs]
  size_t C;           // [d][pairs][2]
  size_t D;           // [d]
  size_t in_weight;   // [d][d]
  size_t in_bias;     // [d]
  size_t out_weight;  // [d][d]
  size_t size;
};

// The slow path's part of the vector: from a hop's features to its addition to the film vector (slow-inl.h).
struct SlowMap {
  static constexpr size_t kHopFrames = 64;
  static constexpr size_t units = 8, hidden = 16, head = 16;

  constexpr SlowMap(const Shape& shape, size_t film_size)
      : inputs(2 * shape.slow_features + shape.knobs),
        film(film_size),
        in_bias(hidden * inputs),
        recurrent(in_bias + hidden),
        gate_weight(recurrent + hidden * units),
        gate_bias(gate_weight + units * hidden),
        value_weight(gate_bias + units),
        value_bias(value_weight + units * hidden),
        head_weight(value_bias + units),
        head_bias(head_weight + head * units),
        out_weight(head_bias + head),
        out_bias(out_weight + film * head),
        size(shape.slow_features > 0 ? out_bias + film : 0) {}

  size_t inputs;         // per hop: means of the features, of their squares, knobs
  size_t film;           // width of the film vector
  size_t in_weight = 0;  // [hidden][inputs]
  size_t in_bias;        // [hidden]
  size_t recurrent;      // [hidden][units]
  size_t gate_weight;    // [units][hidden]
  size_t gate_bias;      // [units]
  size_t value_weight;   // [units][hidden]
  size_t value_bias;     // [units]
  size_t head_weight;    // [head][units]
  size_t head_bias;      // [head]
  size_t out_weight;     // [film][head]
  size_t out_bias;       // [film]
  size_t size;
};

// The filter's part of the vector: a bank of modes on the network's output channel. A loudspeaker and its box resonate
// at a hundred frequencies, which the layers would have to learn one by one.
struct FilterMap {
  constexpr explicit FilterMap(size_t count)
      : log_A_real(count), A_imag(2 * count), C(3 * count), D(5 * count), size(count > 0 ? 5 * count + 1 : 0) {}

  size_t log_dt = 0;  // [modes]
  size_t log_A_real;  // [modes]
  size_t A_imag;      // [modes]
  size_t C;           // [modes][2]
  size_t D;           // [1]
  size_t size;
};

struct ParameterMap {
  constexpr explicit ParameterMap(const Shape& s)
      : shape(s),
        layer(s.d_model, s.pairs),
        input(s.layers * layer.size),
        output(input + s.d_model),
        direct(output + s.d_model),
        knobs(direct + 1),
        slow_path(s, film_size()),
        slow(knobs + film_size() * features()),
        filter_bank(s.filter_modes),
        filter(slow + slow_path.size),
        size(filter + filter_bank.size) {}

  // Linear and quadratic terms of the knobs.
  constexpr size_t features() const { return shape.knobs + shape.knobs * (shape.knobs + 1) / 2; }
  // Scale and shift of each layer, then the addition to the output row.
  constexpr size_t film_size() const { return 2 * shape.d_model * shape.layers + shape.d_model; }
  constexpr size_t at_layer(size_t index) const { return index * layer.size; }
  constexpr size_t modes() const { return shape.d_model * shape.pairs; }
  // Of all layers and the filter.
  constexpr size_t all_modes() const { return shape.layers * modes() + shape.filter_modes; }

  Shape shape;
  LayerMap layer;
  size_t input;   // [d]
  size_t output;  // [d]
  size_t direct;  // [1]
  size_t knobs;   // [film_size()][features()]
  SlowMap slow_path;
  size_t slow;
  FilterMap filter_bank;
  size_t filter;
  size_t size;
};

}  // namespace coil::capture
