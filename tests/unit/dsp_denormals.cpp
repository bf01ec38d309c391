// Denormals are flushed inside the scope only.
#include "dsp/denormals.h"

#include <catch2/catch.hpp>

namespace {

TEST_CASE("denormals are flushed to zero in scope, and as before afterwards") {
#if defined(__SSE2__) || defined(__aarch64__)
  volatile float small = 1e-38f, tenth = 0.1f;
  REQUIRE(small * tenth > 0);
  {
    const coil::dsp::ScopedFlushDenormals outer;
    CHECK(small * tenth == 0);
    {
      const coil::dsp::ScopedFlushDenormals inner;
      CHECK(small * tenth == 0);
    }
    CHECK(small * tenth == 0);
  }
  CHECK(small * tenth > 0);
#endif
}

}  // namespace
