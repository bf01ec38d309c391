// libFuzzer target for line protocol: any bytes as a stream.
#include <cstddef>
#include <cstdint>

#include "tests/fuzz/record_invariants.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  coil::test::check_stream({reinterpret_cast<const char*>(data), size}, "line");
  return 0;
}
