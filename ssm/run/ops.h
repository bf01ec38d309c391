// The two scan operators alone, with the interface of upstream's kernels, to check kernels without a model.
#pragma once

#include <span>

#include "ssm/machine/target.h"

namespace coil::ssm {

// How the frames are run: one by one, in blocks, or in chunks that are joined by the scan's associativity.
enum class Execution { step, block, scan };

// Selective scan (Mamba-1), one batch entry. delta = softplus?(delta + delta_bias); h = exp(delta A) h + delta u B; y =
// C h + D u, then y * silu(z). Source: Gu & Dao 2023, eq. 2; upstream's selective_scan_ref.
struct SelectiveScan {
  int d_inner = 0, d_state = 0, frames = 0, groups = 1;
  bool delta_softplus = false;
  // Values that vary in time are (d_inner or groups * d_state, frames), as upstream; a constant B or C is (d_inner,
  // d_state).
  const float *u = nullptr, *delta = nullptr, *A = nullptr, *B = nullptr, *C = nullptr;
  bool constant_B = false, constant_C = false;
  const float *D = nullptr, *delta_bias = nullptr, *z = nullptr;  // null: none
  float* ssm_state = nullptr;                                     // (d_inner, d_state); in: before the first frame,
                                                                  // out: after the last
  float* y = nullptr;                                             // (d_inner, frames)
};
void run(const SelectiveScan& op, Execution execution, Target target);

// SSD (Mamba-2), one batch entry. dt = softplus?(dt + dt_bias); h = exp(dt A) h + dt x B; y = C h + D x. Source: Dao &
// Gu 2024.
struct Ssd {
  int heads = 0, headdim = 0, d_state = 0, groups = 1, frames = 0;
  bool dt_softplus = false;
  const float* x = nullptr;                      // (frames, heads, headdim)
  const float* dt = nullptr;                     // (frames, heads)
  const float* A = nullptr;                      // (heads)
  const float *B = nullptr, *C = nullptr;        // (frames, groups, d_state)
  const float *D = nullptr, *dt_bias = nullptr;  // (heads); null: none
  float* ssm_state = nullptr;                    // (heads, headdim, d_state); in: before the first frame, out: after
                                                 // the last
  float* y = nullptr;                            // (frames, heads, headdim)
};
void run(const Ssd& op, Execution execution, Target target);

}  // namespace coil::ssm
