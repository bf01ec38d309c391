// A card's settle_frames: a stream starts, and restarts after a reset, in the device's settled state.
#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <vector>

#include "ssm/run/stream.h"
#include "tests/support/random_network.h"
#include "tests/support/temp_dir.h"
#include "tests/support/worst.h"

namespace {

using namespace coil;

// Biases and a knob keep its states away from zero in silence; its memory is some hundred frames.
constexpr const char* kConfig =
    R"({"model_type": "coil", "d_input": 1, "d_model": 4, "d_output": 1, "controls": {"count": 1, "hidden": 3},
  "layers": [{"repeat": 2, "parts": [{"type": "s4d", "name": "mixer", "d_state": 4}, {"type": "linear",
      "name": "in_proj"},
                                     {"type": "film"}, {"type": "tanh"}, {"type": "linear", "name": "out_proj"}]}]})";

std::shared_ptr<const ssm::Model> model(const test::TempDir& folder, int settle_frames) {
  test::ModelFile file = test::model_file(kConfig, 3);
  file.card_json =
      R"({"name": "x", "controls": [{"name": "knob"}], "settle_frames": )" + std::to_string(settle_frames) + "}";
  file.write(folder / "model.safetensors");
  return ssm::Model::load(folder / "model.safetensors");
}

std::vector<float> silence_through(ssm::Stream& stream, size_t frames) {
  std::vector<float> in(frames), out(frames);
  stream.process(in, out);
  return out;
}

// How far the output for silence moves from its final value.
float thump(const std::vector<float>& out) {
  float worst = 0;
  for (const float value : out) test::take_worst(worst, std::abs(value - out.back()));
  return worst;
}

}  // namespace

TEST_CASE("a settled stream starts in the state that an unsettled one reaches") {
  const test::TempDir folder;
  const std::vector<float> knob{0.9f};
  ssm::Stream unsettled(model(folder, 0), knob);
  const std::vector<float> raw = silence_through(unsettled, 20000);
  REQUIRE(thump(raw) > 1e-3f);

  ssm::Stream settled(model(folder, 20000), knob);
  const std::vector<float> rest = silence_through(settled, 2000);
  CHECK(thump(rest) <= 1e-5f);
  CHECK(rest.front() == Approx(raw.back()).margin(1e-5));
}

TEST_CASE("cached settled states are bit-identical to settling, for each setting of the controls") {
  const test::TempDir folder;
  const auto shared = model(folder, 3000);
  const size_t positions = 2 * ssm::SettledStates::kKept;  // more than are cached
  for (size_t round = 0; round < 2; ++round)
    for (size_t i = 0; i < positions; ++i)
      for (size_t again = 0; again < 2; ++again) {
        const std::vector<float> knob{float(i) / float(positions)};
        ssm::Stream stream(shared, knob), alone(model(folder, 3000), knob);
        REQUIRE(stream.state() == alone.state());
        REQUIRE(silence_through(stream, 50) == silence_through(alone, 50));
        stream.set_controls(std::vector<float>{0.5f});  // is nobody else's
        silence_through(stream, 50);
      }
}

TEST_CASE("reset goes back to rest and keeps the controls") {
  const test::TempDir folder;
  ssm::Stream stream(model(folder, 20000), std::vector<float>{0.9f});
  const ssm::State fresh = stream.state();
  std::vector<float> loud(300, 1.0f), out(300);
  stream.process(loud, out);
  stream.reset();
  CHECK(stream.state() == fresh);

  stream.set_controls(std::vector<float>{0.1f});
  stream.process(loud, out);
  stream.reset();
  const std::vector<float> later = silence_through(stream, 20000);
  ssm::Stream other(model(folder, 20000), std::vector<float>{0.1f});
  CHECK(later.back() == Approx(silence_through(other, 20000).back()).margin(1e-5));
}
