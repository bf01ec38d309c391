// The largest of many errors.
#pragma once

#include <cmath>
#include <type_traits>

namespace coil::test {

// Unlike with std::max, a NaN stays, so that the comparison with a tolerance fails.
template <class T>
void take_worst(T& worst, std::type_identity_t<T> error) {
  if (std::isnan(error) || error > worst) worst = error;
}

}  // namespace coil::test
