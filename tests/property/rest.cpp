// Networks whose tanh parts subtract their value at rest: exactly silent for silent input, for any knob positions, in
// every execution.
#include <algorithm>
#include <bit>
#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "ssm/run/stream.h"
#include "ssm/run/stream_batch.h"
#include "tests/support/runs.h"

namespace {

using namespace coil;

constexpr size_t kFrames = 1500;

std::string config(int width, const std::string& more) {
  return R"({"model_type": "coil", "sample_rate": 48000, "d_input": 1, "d_output": 2, "direct": true,
      "in_proj_bias": false, "out_proj_bias": false,
             "d_model": )" +
         std::to_string(width) + R"(, "layers": [{"repeat": 2, "parts": [{"type": "s4d", "name": "mixer", "d_state": 4},
             {"type": "linear", "name": "in_proj", "d_out": )" +
         std::to_string(width + 3) + R"(}, {"type": "film"}, {"type": "tanh", "rest": true},
             {"type": "linear", "name": "out_proj", "bias": false, "d_out": )" +
         std::to_string(width) + R"(}]}, {"parts": [
             {"type": "linear", "name": "fixed", "d_out": )" +
         std::to_string(width) + R"(}, {"type": "tanh", "rest": true}]}],
             "controls": {"count": 2, )" +
         more + "}}";
}

const char* const kCard =
    R"({"name": "amp", "sample_rate": 48000, "controls": [{"name": "a", "min": 0, "max": 1, "default": 0.3},
  {"name": "b", "min": 0, "max": 1, "default": 0.9}]})";

// Every combination of FiLM that the knobs can change.
std::vector<std::string> configs() {
  std::vector<std::string> all;
  for (const int width : {3, 8, 17})
    for (const char* more : {R"("polynomial": 2, "output": true)", R"("hidden": 5)"})
      all.push_back(config(width, more));
  all.push_back(config(257, R"("polynomial": 2, "output": true)"));
  return all;
}

// Changed by a slow path, too.
std::string config_with_slow_path() {
  return config(8, R"("polynomial": 2}, "slow_path": {"hop_frames": 37, "n_features": 3, "d_model": 5, "output": true,
      "layers": [{"residual": false, "parts": [{"type": "gated", "name": "units", "d_out": 6}]}])");
}

test::Loaded amplifier(const std::string& json) {
  test::ModelFile file = test::model_file(json, 7);
  file.card_json = kCard;
  return test::load(file);
}

bool all_zero(std::span<const float> values) {
  return std::all_of(values.begin(), values.end(), [](float v) { return std::bit_cast<uint32_t>(v) == 0; });
}

// Calls f(model, what it is) on every target and in every format of weights.
template <class F>
void on_every_target(const F& f) {
  std::vector<std::string> all = configs();
  all.push_back(config_with_slow_path());
  for (const std::string& json : all) {
    const auto loaded = amplifier(json);
    for (const ssm::Target& target : ssm::Target::all())
      for (const ssm::WeightFormat format :
           {ssm::WeightFormat::f32, ssm::WeightFormat::bf16, ssm::WeightFormat::int8}) {
        const auto model = loaded.model(target.with(format));
        INFO(model->target().label() << " " << json);
        f(model);
      }
  }
}

// Blocks of odd sizes through silence, with a knob change between any two of them.
template <class Process>
void throw_knobs(std::span<const float> values, const Process& process) {
  test::Random random(5);
  std::vector<float> knobs(values.begin(), values.end());
  for (size_t done = 0; done < kFrames;) {
    const size_t count = std::min<size_t>(random.chance(0.3) ? 1 : size_t(random.whole(1, 400)), kFrames - done);
    if (random.chance(0.7)) knobs[random.chance(0.5)] = float(random.uniform(0, 1));
    process(count, std::span<const float>(knobs));
    done += count;
  }
}

TEST_CASE("a network at rest gives 0 to the last bit, whatever the knobs do") {
  on_every_target([](const std::shared_ptr<const ssm::Model>& model) {
    ssm::Stream stream(model);
    ssm::Scan scan(model, {.chunk_frames = 33, .segment_frames = 200, .threads = 1});
    ssm::State state = model->initial_state();
    const std::vector<float> defaults{0.3f, 0.9f};
    bool silent = true;
    throw_knobs(defaults, [&](size_t count, std::span<const float> knobs) {
      const std::vector<float> in(count, 0.0f);
      std::vector<float> out(2 * count, 1.0f);
      stream.set_controls(knobs);
      stream.process(in, out);
      silent = silent && all_zero(out);
      std::fill(out.begin(), out.end(), 1.0f);
      model->set_controls(state, knobs);
      scan.process(state, in, out);
      silent = silent && all_zero(out);
    });
    CHECK(silent);
  });
}

TEST_CASE("many streams in one batch are silent at rest, each with its own knobs") {
  on_every_target([](const std::shared_ptr<const ssm::Model>& model) {
    constexpr size_t kStreams = 3;
    const std::vector<uint32_t> second{1};
    for (const bool selected : {false, true}) {
      ssm::StreamBatch batch(model, kStreams,
                             selected ? std::span<const uint32_t>(second) : std::span<const uint32_t>());
      const size_t outputs = selected ? 1 : 2;
      bool silent = true;
      test::Random random(3);
      for (int round = 0; round < 6; ++round) {
        std::vector<ssm::StreamBatch::Advance> all;
        for (uint32_t i = 0; i < kStreams; ++i) {
          const std::vector<float> knobs{float(random.uniform(0, 1)), float(random.uniform(0, 1))};
          if (round % 3 == 0) batch.set_controls(i, knobs);
          all.push_back({i, uint32_t(random.whole(1, 200))});
        }
        size_t frames = 0;
        for (const auto& advance : all) frames += advance.frames;
        const std::vector<float> in(frames, 0.0f);
        std::vector<float> out(outputs * frames, 1.0f);
        batch.process(all, in, out);
        silent = silent && all_zero(out);
      }
      CHECK(silent);
    }
  });
}

TEST_CASE("a ramp of the knobs starts with another output than its end, and converges to the same") {
  for (const std::string& json : configs()) {
    const auto loaded = amplifier(json);
    for (const ssm::Target& target : ssm::Target::all()) {
      INFO(target.name() << " " << json);
      const auto model = loaded.model(target);
      test::Random random(8);
      const auto in = test::random_signal(kFrames + 1500, random);  // the ramp, and the layers' memory of it
      const std::vector<float> low{0.1f, 0.2f}, high{0.8f, 0.5f};
      ssm::Stream moved(model, low), there(model, high);
      std::vector<float> first(2);
      moved.process(std::span(in).first(1), first);
      moved.set_controls(high);
      std::vector<float> ramped(2 * in.size()), settled(2 * in.size());
      moved.process(in, ramped);
      there.process(in, settled);
      CHECK(test::relative_error(std::span(ramped).last(200), std::span<const float>(settled).last(200)) <= 1e-5);
      CHECK(test::relative_error(std::span(ramped).first(400), std::span<const float>(settled).first(400)) > 1e-3);
    }
  }
}

}  // namespace
