// Emulates gpu/load_matrices.cuh on an emulated block.
#pragma once

#include <cstdint>

#include "tests/emulation/block.h"

namespace coil::gpu {

inline void load_matrices(uint32_t (&m)[4], const uint32_t* row) {
  const auto rows = emulation::Block::current().exchange(row);
  const size_t lane = emulation::Block::current().lane();
  for (size_t i = 0; i < 4; ++i) m[i] = rows[8 * i + lane / 4][lane % 4];
}
inline void load_matrices_transposed(uint32_t (&m)[4], const uint32_t* row) {
  const auto rows = emulation::Block::current().exchange(row);
  const size_t lane = emulation::Block::current().lane(), g = lane / 4, t = lane % 4;
  const auto element = [&](size_t i, size_t r) { return rows[8 * i + r][g / 2] >> (g % 2 * 16) & 0xffffu; };
  for (size_t i = 0; i < 4; ++i) m[i] = element(i, 2 * t) | element(i, 2 * t + 1) << 16;
}

}  // namespace coil::gpu
