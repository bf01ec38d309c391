// Quantiser: rounding, clipping, TPDF dither.
#include "cli/sound/quantiser.h"

#include <algorithm>
#include <cmath>

namespace coil::cli {

Quantiser::Quantiser(int bits, bool dither, Lowest lowest)
    : bits_(bits),
      dither_(dither),
      full_scale_(std::ldexp(1.0, bits - 1)),
      lowest_(lowest == Lowest::one_above ? 1 - full_scale_ : -full_scale_) {}

// xorshift64*: Vigna, "An experimental exploration of Marsaglia's xorshift generators, scrambled", 2016.
double Quantiser::uniform() {
  random_ ^= random_ >> 12;
  random_ ^= random_ << 25;
  random_ ^= random_ >> 27;
  return static_cast<double>((random_ * 0x2545f4914f6cdd1d) >> 11) * 0x1p-53;
}

void Quantiser::process(std::span<const float> in, std::span<int32_t> out) {
  const int shift = 32 - bits_;
  for (size_t i = 0; i < in.size(); ++i) {
    double value = in[i] * full_scale_;
    if (dither_) value += uniform() - uniform();
    value = std::clamp(std::nearbyint(value), lowest_, full_scale_ - 1);
    out[i] = static_cast<int32_t>(static_cast<uint32_t>(static_cast<int64_t>(value)) << shift);
  }
}

}  // namespace coil::cli
