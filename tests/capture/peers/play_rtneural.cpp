// Plays 32-bit floats through a model that RTNeural reads, for reference vectors. Not part of the build:
//   c++ -std=c++20 -O2 -DRTNEURAL_USE_STL=1 -I RTNEURAL play_rtneural.cpp -o play_rtneural
#include <RTNeural/RTNeural.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <vector>

int main(int argc, char** argv) {
  if (argc < 4) {
    std::fprintf(stderr, "play_rtneural MODEL IN.f32 OUT.f32 [KNOB ...]\n");
    return 2;
  }
  std::ifstream model_file(argv[1]);
  const auto model = RTNeural::json_parser::parseJson<float>(model_file);
  std::ifstream file(argv[2], std::ios::binary);
  const std::vector<char> bytes((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  const auto* samples = reinterpret_cast<const float*>(bytes.data());
  alignas(64) float frame[8] = {};
  for (int i = 4; i < argc; ++i) frame[i - 3] = float(std::atof(argv[i]));
  model->reset();
  std::vector<float> out;
  for (size_t t = 0; t < bytes.size() / sizeof(float); ++t) {
    frame[0] = samples[t];
    out.push_back(model->forward(frame));
  }
  std::ofstream(argv[3], std::ios::binary)
      .write(reinterpret_cast<const char*>(out.data()), std::streamsize(out.size() * sizeof(float)));
}
