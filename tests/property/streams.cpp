// Properties of every network, however its signal is split, stopped, saved, handed over or controlled.
#include "ssm/run/stream.h"

#include <algorithm>
#include <array>
#include <catch2/catch.hpp>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>

#include "base/error.h"
#include "ssm/verify/reference.h"
#include "tests/support/runs.h"
#include "tests/support/temp_dir.h"
#include "tests/support/worst.h"

namespace {

using namespace coil;

constexpr uint32_t kNetworks = 40;
// As in random_networks.cpp: the design's tolerance between executions.
constexpr double kTolerance = 1e-5;

// A random network with a signal.
struct Scene {
  uint32_t seed;
  test::Loaded loaded;
  std::shared_ptr<const ssm::Model> model;
  test::Random random;
  size_t frames;
  std::vector<float> in;

  explicit Scene(uint32_t s, size_t n = 300)
      : seed(s),
        loaded(test::load(test::random_coil_network(s))),
        model(loaded.model()),
        random(s + 500),
        frames(n),
        in(test::random_signal(n * test::width_in(*model), random)) {}

  std::span<const float> part(size_t begin, size_t count) const {
    return std::span(in).subspan(begin * test::width_in(*model), count * test::width_in(*model));
  }
};

TEST_CASE("any split into blocks gives the same bits") {
  for (uint32_t seed = 0; seed < kNetworks; ++seed) {
    Scene scene(seed);
    for (const ssm::Target& target : ssm::Target::all()) {
      INFO("network " << seed << " target " << target.name());
      const auto model = scene.loaded.model(target);
      auto whole_state = model->initial_state();
      const auto whole = test::run_blocks(model, whole_state, scene.in, std::vector<size_t>{scene.frames});
      for (int split = 0; split < 3; ++split) {
        auto state = model->initial_state();
        const auto blocks =
            split == 0 ? std::vector<size_t>(scene.frames, 1) : test::random_blocks(scene.frames, scene.random);
        CHECK(test::same_bits(test::run_blocks(model, state, scene.in, blocks), whole));
        CHECK(state == whole_state);
      }
    }
  }
}

TEST_CASE("a scan gives the same bits whatever the number of threads") {
  for (uint32_t seed = 0; seed < kNetworks; ++seed) {
    Scene scene(seed);
    INFO("network " << seed);
    auto one = scene.model->initial_state(), three = scene.model->initial_state();
    const auto a =
        test::run_scan(scene.model, one, scene.in, {.chunk_frames = 16, .segment_frames = 100, .threads = 1});
    const auto b =
        test::run_scan(scene.model, three, scene.in, {.chunk_frames = 16, .segment_frames = 100, .threads = 3});
    CHECK(test::same_bits(a, b));
    CHECK(one == three);
  }
}

TEST_CASE("after a reset a stream works like a new one with the same controls") {
  for (uint32_t seed = 0; seed < kNetworks; ++seed) {
    Scene scene(seed);
    INFO("network " << seed);
    const auto controls = test::random_controls(*scene.model, scene.random);
    ssm::Stream fresh(scene.model), used(scene.model);
    fresh.set_controls(controls);
    std::vector<float> expected(scene.frames * test::width_out(*scene.model)), out(expected.size());
    used.process(scene.in, out);
    used.set_controls(controls);
    used.process(scene.part(0, 100),
                 std::span(out).first(100 * test::width_out(*scene.model)));  // a reset in the middle of a ramp
    used.reset();
    CHECK(used.state() == fresh.state());
    fresh.process(scene.in, expected);
    used.process(scene.in, out);
    CHECK(test::same_bits(out, expected));
    CHECK(used.state() == fresh.state());
  }
}

// S4D stores its states divided by the input's coefficient; a file has upstream's values, which costs one rounding.
// Everything else is stored unchanged.
constexpr double kStoredTolerance = 4 * std::numeric_limits<float>::epsilon();

TEST_CASE("a state saved in the middle of a signal continues in another stream") {
  const test::TempDir dir;
  for (uint32_t seed = 0; seed < kNetworks; ++seed) {
    Scene scene(seed);
    const auto cut = static_cast<size_t>(scene.random.whole(0, 300));
    INFO("network " << seed << " cut at " << cut);
    const size_t d_out = test::width_out(*scene.model);
    ssm::Stream stream(scene.model);
    std::vector<float> out(scene.frames * d_out);
    stream.process(scene.part(0, cut / 2), std::span(out).first(cut / 2 * d_out));
    stream.set_controls(test::random_controls(*scene.model, scene.random));  // the split is in the middle of the ramp
    stream.process(scene.part(cut / 2, cut - cut / 2),
                   std::span(out).subspan(cut / 2 * d_out, (cut - cut / 2) * d_out));
    stream.state().save(dir / "state.safetensors");
    const ssm::State copied = stream.state();

    stream.process(scene.part(cut, scene.frames - cut), std::span(out).subspan(cut * d_out));
    const auto expected = std::span<const float>(out).subspan(cut * d_out);

    ssm::State from_file = ssm::State::load(dir / "state.safetensors", scene.model->state_layout());
    ssm::State from_copy = copied;
    CHECK(from_copy == copied);
    const bool exact = scene.loaded.checkpoint.config_json().find("\"s4d\"") == std::string::npos;
    if (exact) CHECK(from_file == copied);
    const auto stored = from_file.tensors(), original = copied.tensors();
    REQUIRE(stored.size() == original.size());
    for (size_t i = 0; i < stored.size(); ++i)
      CHECK(test::relative_error(stored[i].values, original[i].values) <= kStoredTolerance);
    const std::vector<size_t> blocks = test::random_blocks(scene.frames - cut, scene.random);
    const auto after_file = test::run_blocks(scene.model, from_file, scene.part(cut, scene.frames - cut), blocks);
    CHECK(test::relative_error(after_file, expected) <= kTolerance);
    if (exact) {
      CHECK(test::same_bits(after_file, expected));
      CHECK(from_file == stream.state());
    }
    CHECK(test::same_bits(test::run_blocks(scene.model, from_copy, scene.part(cut, scene.frames - cut), blocks),
                          expected));
    CHECK(from_copy == stream.state());
  }
}

TEST_CASE("a state saved on one target continues on every other, within the tolerance") {
  const test::TempDir dir;
  for (uint32_t seed = 0; seed < 10; ++seed) {
    Scene scene(seed);
    const size_t cut = 150;
    auto state = scene.model->initial_state();
    test::run_blocks(scene.model, state, scene.part(0, cut), std::vector<size_t>{cut});
    state.save(dir / "state.safetensors");
    const auto expected = test::run_blocks(scene.model, state, scene.part(cut, cut), std::vector<size_t>{cut});
    for (const ssm::Target& target : ssm::Target::all()) {
      INFO("network " << seed << " target " << target.name());
      const auto model = scene.loaded.model(target);
      auto here = ssm::State::load(dir / "state.safetensors", model->state_layout());
      CHECK(test::relative_error(test::run_blocks(model, here, scene.part(cut, cut), std::vector<size_t>{cut}),
                                 expected) <= kTolerance);
    }
  }
}

TEST_CASE("a state of another model is refused") {
  const test::TempDir dir;
  const auto one = test::load(test::random_coil_network(1)).model(),
             two = test::load(test::random_coil_network(2)).model();
  one->initial_state().save(dir / "state.safetensors");
  CHECK_THROWS_WITH(ssm::State::load(dir / "state.safetensors", two->state_layout()),
                    Catch::Contains(one->hash()) && Catch::Contains(two->hash()));
  CHECK_FALSE(one->initial_state() == two->initial_state());
}

TEST_CASE("executions can continue each other's states in the middle of a signal") {
  for (uint32_t seed = 0; seed < kNetworks; ++seed) {
    Scene scene(seed);
    const auto controls = test::random_controls(*scene.model, scene.random);
    const auto reference = test::run_reference(scene.loaded, scene.in, controls);
    for (const ssm::Target& target : ssm::Target::all()) {
      INFO("network " << seed << " target " << target.name());
      const auto model = scene.loaded.model(target);
      auto state = model->initial_state();
      model->set_controls(state, controls);
      std::vector<float> out;
      size_t done = 0;
      for (int turn = 0; done < scene.frames; ++turn) {
        const size_t n = std::min(static_cast<size_t>(scene.random.whole(1, 90)), scene.frames - done);
        const auto in = scene.part(done, n);
        const auto y =
            turn % 3 == 0 ? test::run_steps(model, state, in)
            : turn % 3 == 1
                ? test::run_scan(model, state, in,
                                 {.chunk_frames = scene.random.whole(1, 40), .segment_frames = 64, .threads = 2})
                : test::run_blocks(model, state, in, test::random_blocks(n, scene.random));
        out.insert(out.end(), y.begin(), y.end());
        done += n;
      }
      CHECK(test::relative_error(out, reference.output) <= kTolerance);
      CHECK(test::state_error(state, reference) <= kTolerance);
    }
  }
}

// An event at a frame: the controls change.
struct Event {
  size_t frame;
  std::vector<float> controls;
};

std::vector<float> run_with_events(ssm::Stream& stream, const Scene& scene, const std::vector<Event>& events,
                                   test::Random* split) {
  const size_t d_out = test::width_out(stream.model());
  std::vector<float> out(scene.frames * d_out);
  size_t done = 0;
  const auto run_to = [&](size_t end) {
    const auto blocks = split ? test::random_blocks(end - done, *split) : std::vector<size_t>{end - done};
    for (const size_t n : blocks) {
      stream.process(scene.part(done, n), std::span(out).subspan(done * d_out, n * d_out));
      done += n;
    }
  };
  for (const Event& event : events) {
    run_to(event.frame);
    stream.set_controls(event.controls);
  }
  run_to(scene.frames);
  return out;
}

TEST_CASE("controls that move in the middle of a signal give the same bits under any split") {
  int moved = 0;
  for (uint32_t seed = 0; seed < 3 * kNetworks; ++seed) {
    Scene scene(seed, 2500);
    if (scene.model->card().controls.empty()) continue;
    INFO("network " << seed);
    std::vector<Event> events;
    for (const size_t frame : {7, 300, 301, 800, 2100})
      events.push_back({frame, test::random_controls(*scene.model, scene.random)});
    ssm::Stream whole(scene.model), cut(scene.model), still(scene.model);
    const auto expected = run_with_events(whole, scene, events, nullptr);
    CHECK(test::same_bits(run_with_events(cut, scene, events, &scene.random), expected));
    CHECK(cut.state() == whole.state());
    moved += !test::same_bits(run_with_events(still, scene, {}, nullptr), expected);
  }
  CHECK(moved > 10);
}

TEST_CASE("a scan can start in the middle of a control's ramp") {
  for (uint32_t seed = 0; seed < 3 * kNetworks; ++seed) {
    Scene scene(seed, 1600);
    if (scene.model->card().controls.empty()) continue;
    INFO("network " << seed);
    ssm::Stream stream(scene.model);
    const size_t cut = 200, d_out = test::width_out(*scene.model);
    std::vector<float> out(scene.frames * d_out);
    stream.process(scene.part(0, 100), std::span(out).first(100 * d_out));
    stream.set_controls(test::random_controls(*scene.model, scene.random));
    stream.process(scene.part(100, 100), std::span(out).first(100 * d_out));
    auto state = stream.state();
    std::vector<float> rest((scene.frames - cut) * d_out);
    stream.process(scene.part(cut, scene.frames - cut), rest);
    const auto scanned = test::run_scan(scene.model, state, scene.part(cut, scene.frames - cut),
                                        {.chunk_frames = 50, .segment_frames = 333, .threads = 2});
    CHECK(test::relative_error(scanned, rest) <= kTolerance);
  }
}

TEST_CASE("controls ramp linearly over 1024 frames, at once before the first frame") {
  // y = (1 + scale) x + shift with x = 0: the output is the shift itself, times the output gain.
  test::ModelFile file{
      R"({"model_type": "coil", "d_model": 1, "layers": [{"residual": false, "parts": [{"type": "film"}]}],
                          "controls": {"count": 1, "hidden": 1}})",
      R"({"controls": [{"name": "shift", "min": 0, "max": 1, "default": 0}]})",
      {{"controls.layers.0.weight", {1, 1}, {1}},
       {"controls.layers.0.bias", {1}, {0}},
       {"controls.layers.1.weight", {2, 1}, {0, 4}},
       {"controls.layers.1.bias", {2}, {0, 1}}}};
  const auto model = test::load(file).model();
  const auto shift = [](double k) { return 4 * std::tanh(2 * k - 1) + 1; };
  // FiLM and ramp are sums of a few terms below 8, each rounded once: 4 epsilon of 8.
  const double tolerance = 4 * 8 * std::numeric_limits<float>::epsilon();

  ssm::Stream stream(model);
  stream.set_controls(std::array{0.75f});
  std::vector<float> zero(2048, 0.0f), out(2048);
  stream.process(std::span(zero).first(10), std::span(out).first(10));
  for (size_t i = 0; i < 10; ++i) CHECK(std::abs(out[i] - shift(0.75)) <= tolerance);

  stream.set_controls(std::array{0.25f});
  stream.process(zero, out);
  double worst = 0;
  for (size_t i = 0; i < out.size(); ++i) {
    const double part = std::min(1.0, (static_cast<double>(i) + 1) / ssm::kControlRampFrames);
    test::take_worst(worst, std::abs(out[i] - (shift(0.75) + (shift(0.25) - shift(0.75)) * part)));
  }
  CHECK(worst <= tolerance);

  // Changed again halfway: from the current value, the new ramp takes 1024 frames.
  stream.set_controls(std::array{1.0f});
  stream.process(std::span(zero).first(512), std::span(out).first(512));
  stream.set_controls(std::array{0.0f});
  stream.process(zero, out);
  const double halfway = (shift(0.25) + shift(1.0)) / 2;
  worst = 0;
  for (size_t i = 0; i < out.size(); ++i) {
    const double part = std::min(1.0, (static_cast<double>(i) + 1) / ssm::kControlRampFrames);
    test::take_worst(worst, std::abs(out[i] - (halfway + (shift(0.0) - halfway) * part)));
  }
  CHECK(worst <= tolerance);
}

TEST_CASE("controls that are out of range, not finite or too few do no harm") {
  const test::ModelFile file{
      R"({"model_type": "coil", "d_model": 1, "layers": [{"residual": false, "parts": [{"type": "film"}]}],
                                "controls": {"count": 1, "hidden": 1}})",
      R"({"controls": [{"name": "a", "min": -2, "max": 2, "default": 1},
                                              {"name": "level", "min": -20, "max": 20, "default": 0,
                                                  "to": "output_gain_db"}]})",
      {{"controls.layers.0.weight", {1, 1}, {1}},
       {"controls.layers.0.bias", {1}, {0}},
       {"controls.layers.1.weight", {2, 1}, {0, 4}},
       {"controls.layers.1.bias", {2}, {0, 1}}}};
  const auto model = test::load(file).model();
  const auto output = [&](std::vector<float> controls) {
    ssm::Stream stream(model);
    stream.set_controls(controls);
    const float x = 0.5f;
    float y = 0;
    stream.step({&x, 1}, {&y, 1});
    return y;
  };
  const float nan = std::numeric_limits<float>::quiet_NaN(), infinity = std::numeric_limits<float>::infinity();
  CHECK(output({99, 99}) == output({2, 20}));
  CHECK(output({-99, -99}) == output({-2, -20}));
  CHECK(output({nan, 0}) == output({1, 0}));
  CHECK(std::isfinite(output({infinity, -infinity})));
  CHECK(std::isfinite(output({})));
  CHECK(output({0, 0, 5, 5, 5}) == output({0, 0}));
}

TEST_CASE("input and output may be the same buffer") {
  int tried = 0;
  for (uint32_t seed = 0; seed < kNetworks; ++seed) {
    Scene scene(seed);
    if (test::width_in(*scene.model) != test::width_out(*scene.model)) continue;
    INFO("network " << seed);
    ++tried;
    ssm::Stream apart(scene.model), together(scene.model);
    std::vector<float> out(scene.in.size()), buffer = scene.in;
    apart.process(scene.in, out);
    together.process(buffer, buffer);
    CHECK(test::same_bits(buffer, out));
  }
  CHECK(tried > 3);
}

TEST_CASE("an empty block changes nothing") {
  Scene scene(3);
  ssm::Stream stream(scene.model);
  std::vector<float> out(scene.frames * test::width_out(*scene.model));
  stream.process(scene.in, out);
  const ssm::State before = stream.state();
  stream.process({}, {});
  CHECK(stream.state() == before);
  auto state = before;
  ssm::Scan(scene.model).process(state, {}, {});
  CHECK(state == before);
}

TEST_CASE("non-finite input reads as 0 and never reaches the state") {
  for (uint32_t seed = 0; seed < kNetworks; ++seed) {
    Scene scene(seed);
    INFO("network " << seed);
    auto poisoned = scene.in, zeroed = scene.in;
    uint64_t count = 0;
    for (size_t i = 0; i < poisoned.size(); i += 37) {
      poisoned[i] = i % 3 == 0 ? std::numeric_limits<float>::quiet_NaN()
                               : (i % 3 == 1 ? 1 : -1) * std::numeric_limits<float>::infinity();
      zeroed[i] = 0;
      ++count;
    }
    ssm::Stream a(scene.model), b(scene.model);
    std::vector<float> found(scene.frames * test::width_out(*scene.model)), expected(found.size());
    a.process(poisoned, found);
    b.process(zeroed, expected);
    CHECK(test::same_bits(found, expected));
    CHECK(a.state() == b.state());
    CHECK(a.non_finite_inputs() == count);
    CHECK(b.non_finite_inputs() == 0);
    CHECK(a.restarts() == 0);

    auto scan_state = scene.model->initial_state();
    const auto scanned = test::run_scan(scene.model, scan_state, poisoned, {.chunk_frames = 50, .threads = 2});
    CHECK(test::relative_error(scanned, expected) <= kTolerance);
  }
}

TEST_CASE("a stream that becomes non-finite restarts, is counted, and then works like a new one") {
  // Huge finite input causes an overflow in most networks. Nothing of it may remain, not even in buffers that are only
  // read as padding.
  int restarted = 0;
  for (uint32_t seed = 0; seed < 2 * kNetworks; ++seed) {
    Scene scene(seed);
    for (const ssm::Target& target : ssm::Target::all()) {
      INFO("network " << seed << " target " << target.name());
      const auto model = scene.loaded.model(target);
      std::vector<float> out(scene.frames * test::width_out(*model)), expected(out.size());
      ssm::Stream stream(model), fresh(model);
      for (const float loud : {3e38f, -1e25f, 1e19f}) {
        const std::vector<float> in(scene.in.size(), loud);
        stream.process(in, out);
        CHECK(std::all_of(out.begin(), out.end(), [](float v) { return std::isfinite(v); }));
      }
      const uint64_t restarts = stream.restarts();
      restarted += restarts > 0;
      stream.reset();
      fresh.process(scene.in, expected);
      stream.process(scene.in, out);
      CHECK(stream.restarts() == restarts);
      CHECK(test::same_bits(out, expected));
      CHECK(stream.state() == fresh.state());
      CHECK(stream.state().is_finite());
    }
  }
  CHECK(restarted > 20);
}

TEST_CASE("a state with invalid counters is rejected, or runs without harm") {
  const test::TempDir dir;
  for (uint32_t seed = 0; seed < kNetworks; ++seed) {
    Scene scene(seed, 150);
    const auto start = scene.model->initial_state();
    const auto tensors = start.tensors();
    const auto counters =
        std::find_if(tensors.begin(), tensors.end(), [](const auto& t) { return t.name.ends_with(".counters"); });
    if (counters == tensors.end()) continue;
    for (size_t i = 0; i < counters->values.size(); ++i) {
      for (const float value : {-1.0f, 0.5f, 1e-30f, 1023.0f, 1025.0f, -1e9f, 4e9f, 1e30f, -1e30f}) {
        INFO("network " << seed << " counter " << i << " = " << value);
        auto values = counters->values;
        values[i] = value;
        auto damaged = start;
        damaged.set(counters->name, values);
        damaged.save(dir / "state.safetensors");
        try {
          ssm::Stream stream(scene.model);
          stream.state().copy_from(ssm::State::load(dir / "state.safetensors", scene.model->state_layout()));
          std::vector<float> out(scene.frames * test::width_out(*scene.model));
          stream.process(scene.in, out);
          CHECK(std::all_of(out.begin(), out.end(), [](float v) { return std::isfinite(v); }));
          stream.set_controls(test::random_controls(*scene.model, scene.random));
          auto state = stream.state();
          test::run_scan(scene.model, state, scene.in, {.chunk_frames = 50, .threads = 2});
        } catch (const Error& error) {
          CHECK_THAT(error.what(), Catch::Contains("counters"));
        }
      }
    }
  }
}

TEST_CASE("a scan object that ran an overflowing signal runs the next one as if new") {
  for (uint32_t seed = 0; seed < 2 * kNetworks; ++seed) {
    Scene scene(seed);
    INFO("network " << seed);
    const ssm::ScanOptions options{.chunk_frames = 40, .segment_frames = 1000, .threads = 2};
    ssm::Scan scan(scene.model, options);
    std::vector<float> out(scene.frames * test::width_out(*scene.model));
    auto burnt = scene.model->initial_state(), state = scene.model->initial_state(),
         fresh = scene.model->initial_state();
    scan.process(burnt, std::vector<float>(scene.in.size(), 3e38f), out);
    scan.process(state, scene.in, out);
    CHECK(test::same_bits(out, test::run_scan(scene.model, fresh, scene.in, options)));
    CHECK(state == fresh);
  }
}

TEST_CASE("token models: splits, scan, and ids outside the vocabulary") {
  for (const std::string type : {"mamba", "falcon_mamba", "mamba2"}) {
    nlohmann::json config = {{"model_type", type},         {"hidden_size", 12},    {"num_hidden_layers", 2},
                             {"vocab_size", 19},           {"state_size", 5},      {"expand", 2},
                             {"layer_norm_epsilon", 0.01}, {"mixer_rms_eps", 0.05}};
    if (type == "mamba2") config.update({{"num_heads", 6}, {"head_dim", 4}, {"n_groups", 2}});
    const auto loaded = test::load(test::model_file(config.dump(), 8));
    test::Random random(6);
    const size_t frames = 90, vocab = 19;
    std::vector<int32_t> tokens(frames), cleaned(frames);
    for (size_t i = 0; i < frames; ++i) {
      tokens[i] = i % 13 == 5 ? (i % 2 ? -1 : 19) : random.whole(0, 18);
      cleaned[i] = tokens[i] < 0 || tokens[i] >= 19 ? 0 : tokens[i];
    }
    ssm::Reference reference(loaded.checkpoint);
    std::vector<double> expected;
    for (const int32_t token : cleaned) {
      const auto y = reference.step_token(token);
      expected.insert(expected.end(), y.begin(), y.end());
    }
    for (const ssm::Target& target : ssm::Target::all()) {
      INFO(type << " " << target.name());
      const auto model = loaded.model(target);
      ssm::Stream whole(model), cut(model);
      std::vector<float> a(frames * vocab), b(frames * vocab), c(frames * vocab);
      whole.process_tokens(tokens, a);
      size_t done = 0;
      for (const size_t n : test::random_blocks(frames, random)) {
        cut.process_tokens(std::span(tokens).subspan(done, n), std::span(b).subspan(done * vocab, n * vocab));
        done += n;
      }
      CHECK(test::same_bits(a, b));
      CHECK(test::relative_error(a, expected) <= kTolerance);
      auto state = model->initial_state();
      ssm::Scan(model, {.chunk_frames = 11, .threads = 2}).process_tokens(state, tokens, c);
      CHECK(test::relative_error(c, expected) <= kTolerance);
    }
  }
}

TEST_CASE("many streams share one model without affecting each other") {
  Scene scene(11);
  ssm::Stream alone(scene.model);
  std::vector<float> expected(scene.frames * test::width_out(*scene.model)), out(expected.size()),
      noise(expected.size());
  alone.process(scene.in, expected);
  ssm::Stream one(scene.model), other(scene.model);
  const size_t d_in = test::width_in(*scene.model), d_out = test::width_out(*scene.model);
  for (size_t t = 0; t < scene.frames; ++t) {
    one.step(std::span(scene.in).subspan(t * d_in, d_in), std::span(out).subspan(t * d_out, d_out));
    const std::vector<float> loud(d_in, 10.0f);
    other.step(loud, std::span(noise).subspan(t * d_out, d_out));
  }
  CHECK(test::same_bits(out, expected));

  ssm::Stream moved = std::move(one);
  moved.reset();
  moved.process(scene.in, out);
  CHECK(test::same_bits(out, expected));
}

}  // namespace
