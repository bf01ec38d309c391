// Mamba-3, attention, MLPs, experts and taps against the double reference, in every execution; memory that never grows.
#include <catch2/catch.hpp>
#include <string>

#include "ssm/run/scan.h"
#include "ssm/run/stream.h"
#include "ssm/run/stream_batch.h"
#include "tests/support/runs.h"
#include "tests/support/temp_dir.h"

namespace {

using namespace coil;

constexpr double kTolerance = 1e-5;  // as for the other random networks

TEST_CASE("random hybrids agree with the reference in every execution") {
  for (uint32_t seed = 0; seed < 60; ++seed) {
    const auto loaded = test::load(test::random_family_network(seed));
    test::Random random(seed + 77);
    const auto first = loaded.model();
    const auto frames = static_cast<size_t>(random.whole(1, 200));
    const auto in = test::random_signal(frames * test::width_in(*first), random);
    const auto blocks = test::random_blocks(frames, random);
    const ssm::ScanOptions scan{
        .chunk_frames = random.whole(1, 60), .segment_frames = random.whole(1, 150), .threads = random.whole(1, 2)};
    const auto reference = test::run_reference(loaded, in, {});
    for (const ssm::Target& target : ssm::Target::all()) {
      const auto model = loaded.model(target);
      INFO("network " << seed << ", " << frames << " frames, target " << target.name() << ", chunks "
                      << scan.chunk_frames << ", segments " << scan.segment_frames << "\n"
                      << loaded.checkpoint.config_json());
      test::check_executions(model, model->initial_state(), in, blocks, scan, reference, kTolerance);
    }
  }
}

const char* kJamba = R"({"model_type": "jamba", "input_kind": "embeddings", "hidden_size": 16, "intermediate_size": 20,
    "num_hidden_layers": 3, "num_attention_heads": 4, "num_key_value_heads": 2, "attn_layer_period": 3,
    "attn_layer_offset": 1, "expert_layer_period": 2, "expert_layer_offset": 1, "num_experts": 3,
    "mamba_d_state": 8, "sliding_window": 24})";

const char* kMamba3 = R"({"model_type": "coil", "d_input": 1, "d_model": 8, "d_output": 1, "layers": [{"parts": [
    {"type": "rmsnorm", "name": "norm"}, {"type": "mamba3", "name": "mixer", "headdim": 4, "d_state": 8}]}]})";

TEST_CASE("a stream of a hybrid can be split, saved and continued anywhere, in blocks and as a scan") {
  const auto loaded = test::load(test::model_file(kJamba, 5));
  const auto model = loaded.model();
  test::Random random(6);
  const size_t frames = 150, width = 16;
  const auto in = test::random_signal(frames * width, random);
  auto whole = model->initial_state(), parts = whole;
  const auto expected = test::run_blocks(model, whole, in, std::vector<size_t>{frames});
  const std::span<const float> begin = std::span(in).first(71 * width), end = std::span(in).subspan(71 * width);
  auto got = test::run_steps(model, parts, begin);

  const test::TempDir dir;
  parts.save(dir / "state.safetensors");
  auto resumed = ssm::State::load(dir / "state.safetensors", model->state_layout());
  CHECK(resumed == parts);
  const auto rest = test::run_scan(model, resumed, end, {.chunk_frames = 16, .segment_frames = 64, .threads = 2});
  got.insert(got.end(), rest.begin(), rest.end());
  CHECK(test::relative_error(got, expected) <= kTolerance);
  CHECK(whole.bytes() == resumed.bytes());
}

TEST_CASE("many streams of a hybrid at once are the streams one by one") {
  const auto loaded = test::load(test::model_file(kJamba, 8));
  const auto model = loaded.model();
  test::Random random(9);
  constexpr size_t kStreams = 5, kFrames = 40, kWidth = 16;
  ssm::StreamBatch batch(model, kStreams);
  std::vector<std::vector<float>> in, out(kStreams);
  for (size_t s = 0; s < kStreams; ++s) in.push_back(test::random_signal(kFrames * kWidth, random));
  std::vector<float> frame(kStreams * kWidth), result(kStreams * kWidth);
  for (size_t t = 0; t < kFrames; ++t) {
    for (size_t s = 0; s < kStreams; ++s)
      std::copy_n(in[s].begin() + static_cast<std::ptrdiff_t>(t * kWidth), kWidth,
                  frame.begin() + static_cast<std::ptrdiff_t>(s * kWidth));
    batch.step(frame, result);
    for (size_t s = 0; s < kStreams; ++s)
      out[s].insert(out[s].end(), result.begin() + static_cast<std::ptrdiff_t>(s * kWidth),
                    result.begin() + static_cast<std::ptrdiff_t>((s + 1) * kWidth));
  }
  for (size_t s = 0; s < kStreams; ++s) {
    auto state = model->initial_state();
    CHECK(test::relative_error(out[s], test::run_steps(model, state, in[s])) <= kTolerance);
  }
}

// The angles rotate some thousands of times; rounding errors of single frames must not accumulate. An hour is the same,
// only longer.
TEST_CASE("Mamba-3 follows the double reference over a long signal, its angles wrapped") {
  const auto loaded = test::load(test::model_file(kMamba3, 3));
  const auto model = loaded.model();
  test::Random random(4);
  const auto in = test::random_signal(60000, random);
  const auto reference = test::run_reference(loaded, in, {});
  auto state = model->initial_state();
  CHECK(test::relative_error(test::run_blocks(model, state, in, std::vector<size_t>{in.size()}), reference.output) <=
        kTolerance);
  for (const auto& tensor : state.tensors())
    if (tensor.name.ends_with(".angle"))
      for (const float angle : tensor.values) CHECK(std::abs(angle) <= 3.1416f);
}

TEST_CASE("rotary angles are exact after a year of frames") {
  const std::string config = R"({"model_type": "coil", "d_input": 1, "d_model": 8, "d_output": 1, "layers": [{"parts": [
      {"type": "attention", "name": "attn", "heads": 2, "window": 16, "rope_theta": 10000}]}]})";
  const auto loaded = test::load(test::model_file(config, 7));
  const auto model = loaded.model();
  test::Random random(8);
  const auto in = test::random_signal(64, random);
  auto fresh = model->initial_state(), late = fresh;
  const float year[] = {1443600.0f, 0.0f};  // x 2^20 frames: a year at 48,000 per second; a multiple of the window
  late.set("state.0.position", year);
  test::run_steps(model, fresh, in);
  test::run_steps(model, late, in);
  // Once the ring only holds new frames, their absolute time does not matter.
  const auto more = test::random_signal(16, random);
  CHECK(test::relative_error(test::run_steps(model, late, more), test::run_steps(model, fresh, more)) <= kTolerance);
}

}  // namespace
