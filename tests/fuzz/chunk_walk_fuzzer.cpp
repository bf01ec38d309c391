// libFuzzer target: any bytes as a sound file with chunks, from a file and through a pipe. They must be read, or
// rejected with a Failure.
#include <cstdint>
#include <cstdlib>

#include "tests/fuzz/chunk_walk_check.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace coil;
  const std::span<const uint8_t> bytes(data, size);
  if (test::walk_and_read(std::make_shared<cli::MemoryBytes>(bytes), size) == test::WalkOutcome::broken) std::abort();
  if (test::walk_and_read(std::make_shared<test::StreamedBytes>(bytes), size) == test::WalkOutcome::broken)
    std::abort();
  return 0;
}
