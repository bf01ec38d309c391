// What the audio thread calls takes nothing from the heap.
#include <catch2/catch.hpp>
#include <cstddef>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "tests/realtime/allocation_counter.h"
#include "dsp/model_processor.h"
#include "ssm/stream.h"
#include "tests/support/random_network.h"
#include "tests/support/runs.h"

namespace {

using coil::test::AllocationCounter;

// The compiler may leave out allocations that it sees through; not those that leave a value behind that it must show.
int* volatile shown = nullptr;

TEST_CASE("the counter counts") {
  const AllocationCounter counter;
  CHECK(counter.count() == 0);
  shown = new int(1);
  const int64_t after_new = counter.count();
  delete shown;
  const int64_t after_delete = counter.count();
  auto vector = std::make_unique<std::vector<float>>(1000);
  shown = reinterpret_cast<int*>(vector->data());
  const int64_t after_vector = counter.count();
  CHECK(after_new == 1);
  CHECK(after_delete == 2);
  CHECK(after_vector == 4);
  struct alignas(64) Wide {
    float values[16];
  };
  const int64_t before = counter.count();
  auto wide = std::make_unique<Wide>();
  shown = reinterpret_cast<int*>(wide->values);
  CHECK(counter.count() > before);
}

TEST_CASE("a stream of any network runs without the heap") {
  for (uint32_t seed = 0; seed < 30; ++seed) {
    const auto model = coil::test::load(coil::test::random_coil_network(seed)).model();
    coil::test::Random random(seed);
    coil::ssm::Stream stream(model);
    std::vector<float> in = coil::test::random_signal(3000 * coil::test::width_in(*model), random);
    in[7] = std::numeric_limits<float>::quiet_NaN();
    std::vector<float> out(3000 * coil::test::width_out(*model));
    const std::vector<float> controls = coil::test::random_controls(*model, random);
    int64_t count = 0;
    {
      const AllocationCounter counter;
      stream.set_controls(controls);
      stream.process(in, out);
      stream.process({}, {});
      stream.step({in.data(), coil::test::width_in(*model)}, {out.data(), coil::test::width_out(*model)});
      stream.reset();
      stream.process(in, out);
      count = counter.count();
    }
    CHECK(count == 0);
  }
}

TEST_CASE("a processor runs without the heap, at the model's rate and at others, for one model channel and two") {
  for (int width : {1, 2}) {
    const std::string w = std::to_string(width);
    const auto model = coil::test::load(coil::test::model_file(
        R"({"model_type": "coil", "sample_rate": 48000, "d_model": 3, "norm_f": false, "d_input": )" + w + R"(, "d_output": )" + w +
        R"(, "layers": [{"repeat": 2, "residual": true, "parts": [{"type": "s4d", "name": "mixer", "d_state": 4, "mode": "complex",
        "discretization": "zoh"}, {"type": "tanh"}]}]})", 1)).model();
    for (double rate_hz : {44100.0, 48000.0, 96000.0}) {
      coil::dsp::ModelProcessor processor(model);
      processor.prepare({rate_hz, 64, 2});
      coil::test::Random random(2);
      std::vector<float> left = coil::test::random_signal(5000, random), right = left;
      right[3] = std::numeric_limits<float>::infinity();
      const std::vector<size_t> blocks = coil::test::random_blocks(5000, random);
      int64_t count = 0;
      {
        const AllocationCounter counter;
        size_t begin = 0;
        for (size_t size : blocks) {
          float* channels[] = {left.data() + begin, right.data() + begin};
          processor.process({channels, 2, static_cast<int>(size)});
          begin += size;
        }
        processor.set_controls({});
        processor.reset();
        float* channels[] = {left.data(), right.data()};
        processor.process({channels, 2, 5000});  // far more than announced
        count = counter.count();
      }
      CHECK(count == 0);
    }
  }
}

}  // namespace
