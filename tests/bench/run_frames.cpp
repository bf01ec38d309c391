// Runs a model over frames from standard input and writes its output at chosen frames; train/forecast/evaluate.py runs
// it.
//   in:  for each signal the number of frames and of chosen ones (int32), the chosen frames' indices (int32), the
//        frames (float32)
//   out: for each signal the outputs at the chosen frames (float32)
#include <cstdint>
#include <stdexcept>
#include <vector>

#include "ssm/run/stream.h"
#include "tests/bench/piped.h"

namespace {

using coil::bench::read;

void run(const char* file) {
  const auto model = coil::ssm::Model::load(file);
  const size_t width_in = size_t(model->config().d_input), width_out = size_t(model->config().d_output);
  coil::ssm::Stream stream(model);
  std::vector<int32_t> sizes(2);
  while (read(sizes)) {
    if (sizes[0] < 1 || sizes[1] < 1) throw std::runtime_error("a signal has at least one frame and one chosen frame");
    std::vector<int32_t> chosen(static_cast<size_t>(sizes[1]));
    std::vector<float> in(static_cast<size_t>(sizes[0]) * width_in), out(width_out);
    if (!read(chosen) || !read(in)) throw std::runtime_error("the input ends within a signal");
    stream.reset();
    size_t next = 0;
    for (size_t frame = 0; frame < static_cast<size_t>(sizes[0]); ++frame) {
      stream.step({in.data() + frame * width_in, width_in}, out);
      for (; next < chosen.size() && static_cast<size_t>(chosen[next]) == frame; ++next) coil::bench::write(out);
    }
    if (next != chosen.size()) throw std::runtime_error("chosen frames must ascend and lie within the signal");
  }
}

}  // namespace

int main(int argc, char** argv) { return coil::bench::run_piped("run_frames", argc, argv, run); }
