// Converts float samples to integers, with clipping and dither.
#pragma once

#include <cstdint>
#include <span>

namespace coil::cli {

// Full scale (1.0) is 2^(bits - 1). The dither is triangular, two steps wide, and deterministic.
class Quantiser {
 public:
  enum class Lowest { minus_full_scale, one_above };  // one above: some encoders negate their input

  Quantiser(int bits, bool dither, Lowest lowest = Lowest::minus_full_scale);

  // `out` gets integers of `bits` bits, aligned to the most significant bit of 32, as libsndfile expects them.
  void process(std::span<const float> in, std::span<int32_t> out);

 private:
  double uniform();  // [0, 1)

  int bits_;
  bool dither_;
  double full_scale_, lowest_;
  uint64_t random_ = 0x9e3779b97f4a7c15;
};

}  // namespace coil::cli
