// A model in a program of your own: raw float32 from standard input through it to standard output, frame by frame or on
// a GPU.
//   embed model.safetensors [gpu] < in.f32 > out.f32
#include <cstdio>
#include <exception>
#include <string_view>
#include <vector>

#include "gpu/batched_model.h"
#include "gpu/device.h"
#include "ssm/run/stream.h"

int main(int argc, char** argv) try {
  if (argc < 2) return std::fputs("usage: embed model.safetensors [gpu] < in.f32 > out.f32\n", stderr), 2;
  const auto checkpoint = coil::ssm::Checkpoint::open(argv[1]);
  const auto model = coil::ssm::Model::load(checkpoint);
  if (argc > 2 && std::string_view(argv[2]) == "gpu") {  // the whole signal at once, parallel over time
    if (coil::gpu::devices().empty())
      return std::fprintf(stderr, "embed: no GPU: %s\n", coil::gpu::why_no_device().c_str()), 4;
    std::vector<float> in, block(4096);
    while (const size_t n = std::fread(block.data(), sizeof(float), block.size(), stdin))
      in.insert(in.end(), block.data(), block.data() + n);
    std::vector<float> out(in.size());
    coil::ssm::Stream begin(model);  // at rest, as the CPU begins
    const coil::gpu::Frames signal{&begin.state(), in, out};
    coil::gpu::BatchedModel(model, checkpoint).process({&signal, 1});
    std::fwrite(out.data(), sizeof(float), out.size(), stdout);
    return 0;
  }
  coil::ssm::Stream stream(model);  // all memory is taken here; process() may run on an audio thread
  float block[64];
  while (const size_t n = std::fread(block, sizeof(float), 64, stdin)) {
    stream.process({block, n}, {block, n});
    std::fwrite(block, sizeof(float), n, stdout);
  }
} catch (const std::exception& error) {
  return std::fprintf(stderr, "embed: %s\n", error.what()), 3;
}
