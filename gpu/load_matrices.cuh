// Wrappers for the instruction that loads operands of the tensor cores from shared memory.
#pragma once

#include <cstdint>

namespace coil::gpu {

// Loads four 8 x 8 matrices of 16-bit numbers from shared memory, by a whole warp: lane l passes in row l % 8 of matrix
// l / 8, 16 bytes. With g = lane / 4 and t = lane % 4 a lane gets elements (g, 2 t) and (g, 2 t + 1) of each;
// transposed, (2 t, g) and (2 t + 1, g).
__device__ inline void load_matrices(uint32_t (&m)[4], const uint32_t* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(m[0]), "=r"(m[1]), "=r"(m[2]), "=r"(m[3])
               : "r"(static_cast<unsigned>(__cvta_generic_to_shared(row)))
               : "memory");
}
__device__ inline void load_matrices_transposed(uint32_t (&m)[4], const uint32_t* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(m[0]), "=r"(m[1]), "=r"(m[2]), "=r"(m[3])
               : "r"(static_cast<unsigned>(__cvta_generic_to_shared(row)))
               : "memory");
}

}  // namespace coil::gpu
