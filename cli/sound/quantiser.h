// Float samples to whole numbers of some bit depth, with clipping and dither.
#pragma once

#include <cstdint>
#include <span>

namespace coil::cli {

// Full scale (1.0) is 2^(bits - 1). The dither is triangular, two steps wide, and the same in every run.
class Quantiser {
 public:
  Quantiser(int bits, bool dither);

  // `out` gets whole numbers of `bits` bits, aligned to the most significant bit of 32, as libsndfile wants them.
  void process(std::span<const float> in, std::span<int32_t> out);

 private:
  double uniform();  // [0, 1)

  int bits_;
  bool dither_;
  uint64_t random_ = 0x9e3779b97f4a7c15;
};

}  // namespace coil::cli
