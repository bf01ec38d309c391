// Executors against plain streams: the same outputs, states and restarts.
#include "ssm/run/executor.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <limits>
#include <thread>

#include "tests/support/matrix_model.h"
#include "tests/support/runs.h"

namespace {

using namespace coil;

constexpr double kTolerance = 1e-5;  // the design's tolerance, 84 epsilon of max(1, peak)

std::vector<float> run(ssm::Executor& executor, ssm::Stream& stream, std::span<const float> in, size_t stretch_frames) {
  const size_t width_in = test::width_in(stream.model()), width_out = test::width_out(stream.model()),
               frames = in.size() / width_in;
  std::vector<float> out(frames * width_out, std::numeric_limits<float>::quiet_NaN());
  for (size_t begin = 0; begin < frames; begin += stretch_frames) {
    const size_t n = std::min(stretch_frames, frames - begin);
    const ssm::Stretch stretch{&stream, in.subspan(begin * width_in, n * width_in),
                               std::span(out).subspan(begin * width_out, n * width_out)};
    executor.run({&stretch, 1});
  }
  return out;
}

TEST_CASE("the scan executor gives the results of streams, also for several threads at once") {
  ssm::ScanExecutor executor(3);
  std::vector<std::thread> threads;
  std::vector<double> errors(4, 1);
  for (uint32_t seed = 0; seed < 4; ++seed) {
    threads.emplace_back([&, seed] {
      const auto model = test::load(test::random_coil_network(seed)).model();
      test::Random random(seed);
      const auto in = test::random_signal(5000 * test::width_in(*model), random);
      const auto controls = test::random_controls(*model, random);
      ssm::Stream plain(model, controls), scanned(model, controls);
      std::vector<float> expected(in.size() / test::width_in(*model) * test::width_out(*model));
      plain.process(in, expected);
      errors[seed] = test::relative_error(run(executor, scanned, in, 2100), expected);
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const double error : errors) CHECK(error <= kTolerance);
}

TEST_CASE("a scan that overflows restarts where a stream does") {
  const auto model = test::matrix_model(1, {1e38f}, 48000);
  std::vector<float> in(3000, 0.5f);
  in[1000] = 50, in[2500] = 60;  // times 1e38: infinite
  ssm::Stream plain(model), scanned(model);
  std::vector<float> expected(in.size());
  plain.process(in, expected);
  ssm::ScanExecutor executor(3);
  const auto found = run(executor, scanned, in, 2000);
  CHECK(scanned.restarts() == 2);
  CHECK(plain.restarts() == 2);
  CHECK(ssm::all_finite(found));
  CHECK(found[500] == Approx(0.5e38f));
  CHECK(found[1000] == 0);
}

TEST_CASE("a scan of a model with memory restarts where a stream does") {
  const auto model =
      test::load(test::model_file(R"({"model_type": "coil", "d_input": 1, "d_output": 1, "d_model": 4, "norm_f": false,
      "layers": [{"parts": [{"type": "s4d", "name": "mixer", "d_state": 4}]}]})",
                                  3))
          .model();
  std::vector<float> in(4000, 0.5f), expected(in.size());
  in[1500] = 3e38f, in[1501] = 3e38f;
  ssm::Stream plain(model), scanned(model);
  plain.process(in, expected);
  REQUIRE(plain.restarts() > 0);
  ssm::ScanExecutor executor(3);
  CHECK(test::relative_error(run(executor, scanned, in, in.size()), expected) <= kTolerance);
  CHECK(scanned.restarts() == plain.restarts());
}

TEST_CASE("a non-finite state is detected even if the outputs are finite") {
  const auto model = test::load(test::random_coil_network(1)).model();
  ssm::Stream stream(model), plain(model);
  test::Random random(1);
  const auto in = test::random_signal(200 * test::width_in(*model), random);
  std::vector<float> out(200 * test::width_out(*model)), expected(out.size());
  plain.process(in, expected);
  const ssm::Stretch stretch{&stream, in, out};
  ssm::run_or_redo({&stretch, 1}, [&] {
    for (const auto& tensor : stream.state().tensors()) {
      stream.state().set(tensor.name, std::vector<float>(tensor.values.size(), std::numeric_limits<float>::infinity()));
    }
    return true;
  });
  CHECK(test::same_bits(out, expected));
  CHECK(stream.state() == plain.state());
  CHECK(stream.restarts() == 0);
}

TEST_CASE("streams redo what a fast execution could not do, from their previous states") {
  const auto model = test::load(test::random_coil_network(2)).model();
  ssm::Stream stream(model), plain(model);
  test::Random random(2);
  const auto in = test::random_signal(300 * test::width_in(*model), random);
  std::vector<float> out(300 * test::width_out(*model)), expected(out.size());
  plain.process(in, expected);
  const ssm::Stretch stretch{&stream, in, out};
  ssm::run_or_redo({&stretch, 1}, [&] {
    stream.process(in, out);  // advanced the state before it failed
    std::ranges::fill(out, 0.25f);
    return false;
  });
  CHECK(test::same_bits(out, expected));
  CHECK(stream.state() == plain.state());
}

}  // namespace
