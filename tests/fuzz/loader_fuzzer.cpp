// libFuzzer target: any bytes as a model file. They must load, or be rejected with an Error.
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "base/error.h"
#include "ssm/verify/golden.h"
#include "ssm/verify/reference.h"
#include "tests/fuzz/some_frames.h"

extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t max_size);

namespace {

using namespace coil;

constexpr size_t kLengthBytes = 8;

// A file in memory that is rewritten for every input.
class MemoryFile {
 public:
  MemoryFile()
      : descriptor_(memfd_create("model.safetensors", MFD_CLOEXEC)),
        path_("/proc/self/fd/" + std::to_string(descriptor_)) {
    if (descriptor_ < 0) std::abort();
  }

  const std::string& hold(const uint8_t* data, size_t size) {
    if (ftruncate(descriptor_, 0) != 0 || pwrite(descriptor_, data, size, 0) != static_cast<ssize_t>(size))
      std::abort();
    return path_;
  }

 private:
  int descriptor_;
  std::string path_;
};

template <class Do>
void done_or_refused(const Do& action) {
  try {
    action();
  } catch (const Error&) {
  }
}

void run_a_little(const std::shared_ptr<const ssm::Model>& model) {
  if (!test::finite_for_some_frames(model)) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static MemoryFile file;
  const std::string& path = file.hold(data, size);
  done_or_refused([&] { ssm::Golden::open(path); });
  done_or_refused([&] { ssm::Reference(ssm::Checkpoint::open(path)); });
  done_or_refused([&] { run_a_little(ssm::Model::load(path)); });
  return 0;
}

// Mostly mutates only the header and updates its length. Otherwise nearly every mutation would fail at the length
// field.
extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size, unsigned int seed) {
  uint64_t length = 0;
  if (size > kLengthBytes) std::memcpy(&length, data, kLengthBytes);
  if (seed % 8 == 0 || size <= kLengthBytes || length > size - kLengthBytes)
    return LLVMFuzzerMutate(data, size, max_size);
  const std::vector<uint8_t> tail(data + kLengthBytes + length, data + size);
  if (max_size < kLengthBytes + tail.size() + 1) return LLVMFuzzerMutate(data, size, max_size);
  std::vector<uint8_t> header(max_size - kLengthBytes - tail.size());
  if (length > header.size()) return LLVMFuzzerMutate(data, size, max_size);
  std::copy_n(data + kLengthBytes, length, header.begin());
  length = LLVMFuzzerMutate(header.data(), length, header.size());
  std::memcpy(data, &length, kLengthBytes);
  std::copy_n(header.begin(), length, data + kLengthBytes);
  std::copy(tail.begin(), tail.end(), data + kLengthBytes + length);
  return kLengthBytes + length + tail.size();
}
