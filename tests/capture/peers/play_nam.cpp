// Plays 32-bit floats through Neural Amp Modeler's core, for reference vectors and times. Not part of the build:
//   c++ -std=c++20 -O3 -march=native -DNDEBUG -I CORE -I CORE/NAM -I CORE/Dependencies/nlohmann -I /usr/include/eigen3
//       play_nam.cpp CORE/NAM/*.cpp CORE/NAM/wavenet/*.cpp -o play_nam
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <vector>

#include "NAM/activations.h"
#include "NAM/dsp.h"
#include "NAM/get_dsp.h"

constexpr int kBlocks = 30;  // of a stretch

int main(int argc, char** argv) {
  if (argc < 4) {
    std::fprintf(stderr, "play_nam MODEL IN.f32 OUT.f32 [BLOCK [fast]]; fast: with its stand-in for tanh\n");
    return 2;
  }
  if (argc > 5) nam::activations::Activation::enable_fast_tanh();
  const auto model = nam::get_dsp(std::filesystem::path(argv[1]));
  const int block = argc > 4 ? std::atoi(argv[4]) : 64;
  std::ifstream file(argv[2], std::ios::binary);
  const std::vector<char> bytes((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  const auto* samples = reinterpret_cast<const float*>(bytes.data());
  std::vector<NAM_SAMPLE> in(samples, samples + bytes.size() / sizeof(float)), out(in.size());
  const double rate = model->GetExpectedSampleRate();
  model->ResetAndPrewarm(rate > 0 ? rate : 48000, block);
  // The fastest stretch counts: other programs slow the others down.
  double fastest = 1e9;
  for (size_t begin = 0; begin < in.size(); begin += size_t(kBlocks * block)) {
    const size_t end = std::min(begin + size_t(kBlocks * block), in.size());
    const auto start = std::chrono::steady_clock::now();
    for (size_t t = begin; t < end; t += size_t(block)) {
      NAM_SAMPLE *from = &in[t], *to = &out[t];
      model->process(&from, &to, int(std::min(size_t(block), end - t)));
    }
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    fastest = std::min(fastest, took.count() / double(end - begin));
  }
  const std::vector<float> result(out.begin(), out.end());
  std::ofstream(argv[3], std::ios::binary)
      .write(reinterpret_cast<const char*>(result.data()), std::streamsize(result.size() * sizeof(float)));
  std::printf("%.1f ns a sample\n", 1e9 * fastest);
}
