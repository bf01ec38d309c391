// What the emulated kernels of several recurrences share: the join between their two passes, and the largest errors.
#pragma once

#include "gpu/segment.h"
#include "tests/support/worst.h"

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

namespace coil::emulation {

// The rows that a signal takes up, in whole chunks.
inline size_t rows_of(size_t frames, int chunk_frames) {
  return (frames + size_t(chunk_frames) - 1) / size_t(chunk_frames) * size_t(chunk_frames);
}

// Replaces the end states in `carry`, one row of `states` floats for each chunk, by the states at each chunk's begin.
// `sums` has for each chunk the logarithm to base 2 of the decay of each `head_states` states.
inline void join_states(const std::vector<gpu::Chunk>& chunks, const std::vector<float>& table, size_t table_stride,
                        size_t states, const std::vector<float>& sums, size_t head_states, std::vector<float>& carry) {
  const size_t heads = states / head_states;
  std::vector<float> running(states);
  for (size_t chunk = 0; chunk < chunks.size(); ++chunk)
    for (size_t i = 0; i < states; ++i) {
      if (chunks[chunk].first) running[i] = table[size_t(chunks[chunk].state_in) * table_stride + i];
      const float end = std::exchange(carry[chunk * states + i], running[i]);
      if (!chunks[chunk].last) running[i] = std::exp2(sums[chunk * heads + i / head_states]) * running[i] + end;
    }
}

// The largest errors of outputs and states, and the largest values; errors are relative to these.
struct Errors {
  double y = 0, state = 0, peak_y = 1, peak_state = 1;
  static void take(double& worst, double& peak, double expected, float found) {
    peak = std::max(peak, std::abs(expected));
    const double error = std::abs(expected - double(found));
    test::take_worst(worst, error);
  }
};

}  // namespace coil::emulation
