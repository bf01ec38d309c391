// ModelProcessor and OfflineProcessor: latency, alignment, blocks, channels, resets, and non-finite input.
#include <catch2/catch.hpp>
#include <cmath>
#include <limits>
#include <numbers>
#include <string>
#include <vector>

#include "dsp/model_processor.h"
#include "dsp/offline_processor.h"
#include "base/error.h"
#include "tests/support/matrix_model.h"
#include "tests/support/random_network.h"
#include "tests/support/runs.h"

namespace {

using coil::dsp::ModelProcessor;
using coil::dsp::OfflineProcessor;
using coil::dsp::RateMode;
using coil::test::matrix_model;
using Signal = std::vector<float>;

constexpr double kHostRates[] = {8000, 44100, 48000, 88200, 96000, 192000};

// Several sines below 3 kHz, which every rate here can represent.
Signal sines(double rate_hz, size_t frames) {
  Signal signal(frames);
  for (size_t i = 0; i < frames; ++i) {
    for (double hz : {211.0, 997.0, 1733.0, 2901.0}) {
      signal[i] += 0.2f * static_cast<float>(std::sin(2 * std::numbers::pi * hz * static_cast<double>(i) / rate_hz));
    }
  }
  return signal;
}

Signal run(ModelProcessor& processor, Signal signal, const std::vector<size_t>& blocks) {
  size_t begin = 0;
  for (size_t size : blocks) {
    float* channel = signal.data() + begin;
    processor.process({&channel, 1, static_cast<int>(size)});
    begin += size;
  }
  return signal;
}

Signal run_offline(OfflineProcessor& processor, const Signal& in, const std::vector<size_t>& blocks) {
  Signal out;
  size_t begin = 0;
  for (size_t size : blocks) {
    processor.process({in.data() + begin, size}, out);
    begin += size;
  }
  processor.finish(out);
  return out;
}

// With memory; with or without non-linear parts that make harmonics.
std::shared_ptr<const coil::ssm::Model> filter_model(bool linear = false, const std::string& frame = "") {
  const std::string curve = linear ? "" : R"({"type": "tanh"},)";
  return coil::test::load(coil::test::model_file(R"({
    "model_type": "coil", "sample_rate": 48000, "d_input": 1, "d_model": 4, "d_output": 1, "direct": true,
        "norm_f": false, )" + frame + R"(
    "layers": [{"repeat": 2, "residual": true, "parts": [
      {"type": "s4d", "name": "mixer", "d_state": 4, "mode": "complex", "discretization": "zoh"}, )" +
                                                     curve + R"(
      {"type": "linear", "name": "out_proj", "bias": false}]}]})",
                                                 5))
      .model();
}

TEST_CASE("the real-time output is the input, late by exactly the stated latency, at every host rate") {
  for (double rate_hz : kHostRates) {
    ModelProcessor processor(matrix_model(1, {1}, 48000));
    processor.prepare({rate_hz, 256, 1});
    const int latency = processor.latency_frames();
    INFO(rate_hz << " Hz, latency " << latency);
    CHECK((latency == 0) == (rate_hz == 48000));
    CHECK(latency < 0.012 * rate_hz);
    const Signal in = sines(rate_hz, 8000);
    coil::test::Random random(1);
    const Signal out = run(processor, in, coil::test::random_blocks(in.size(), random));
    double worst = 0;
    for (size_t i = 2000; i < in.size(); ++i) worst = std::max<double>(worst, std::fabs(out[i] - in[i - latency]));
    CHECK(worst < 5e-5);  // -100 dB for each of two filters, four sines of 0.2
    for (int i = 0; i < latency / 4; ++i) CHECK(std::fabs(out[i]) < 1e-3f);
  }
}

TEST_CASE("any blocks give the same real-time output, also larger ones than announced") {
  for (double rate_hz : kHostRates) {
    const auto model = filter_model();
    coil::test::Random random(2);
    const Signal in = coil::test::random_signal(6000, random);
    ModelProcessor processor(model);
    processor.prepare({rate_hz, 64, 1});
    const Signal whole = run(processor, in, {in.size()});
    for (const std::vector<size_t>& blocks :
         {coil::test::random_blocks(in.size(), random), std::vector<size_t>(in.size(), 1)}) {
      processor.reset();
      const Signal out = run(processor, in, blocks);
      CHECK(coil::test::relative_error(out, std::span<const float>(whole)) <= 1e-5);  // the engine's tolerance
    }
  }
}

TEST_CASE("a reset forgets the signal and keeps the latency") {
  for (double rate_hz : {44100.0, 48000.0}) {
    ModelProcessor processor(filter_model());
    processor.prepare({rate_hz, 128, 1});
    coil::test::Random random(3);
    const Signal in = coil::test::random_signal(3000, random);
    const int latency = processor.latency_frames();
    const Signal first = run(processor, in, {3000});
    processor.reset();
    CHECK(processor.latency_frames() == latency);
    CHECK(coil::test::same_bits(run(processor, in, {3000}), first));
  }
}

TEST_CASE("the card's latency counts, in host frames") {
  const auto model =
      matrix_model(1, {1}, 48000, R"({"name": "late", "sample_rate": 48000, "channels": 1, "latency_frames": 480})");
  ModelProcessor processor(model);
  processor.prepare({48000, 64, 1});
  CHECK(processor.latency_frames() == 480);
  processor.prepare({96000, 64, 1});
  const int both = processor.latency_frames();
  ModelProcessor plain(matrix_model(1, {1}, 48000));
  plain.prepare({96000, 64, 1});
  CHECK(both == plain.latency_frames() + 960);
}

TEST_CASE("channels of a mono model have separate states, a stereo model gets both channels") {
  coil::test::Random random(4);
  for (double rate_hz : {44100.0, 48000.0}) {
    Signal left = coil::test::random_signal(2000, random), right = coil::test::random_signal(2000, random);
    const Signal left_in = left, right_in = right;
    float* channels[] = {left.data(), right.data()};
    ModelProcessor pair(filter_model());
    pair.prepare({rate_hz, 512, 2});
    pair.process({channels, 2, 2000});
    ModelProcessor single(filter_model());
    single.prepare({rate_hz, 512, 1});
    CHECK(coil::test::same_bits(left, run(single, left_in, {2000})));
    single.reset();
    CHECK(coil::test::same_bits(right, run(single, right_in, {2000})));

    ModelProcessor swap(matrix_model(2, {0, 1, 1, 0}, 48000));
    left = left_in, right = right_in;
    swap.prepare({rate_hz, 100, 2});
    swap.process({channels, 2, 2000});
    ModelProcessor identity(matrix_model(1, {1}, 48000));
    identity.prepare({rate_hz, 100, 1});
    const Signal expected = run(identity, right_in, {2000});
    CHECK(coil::test::relative_error(left, std::span<const float>(expected)) <= 1e-6);
  }
  ModelProcessor swap(matrix_model(2, {0, 1, 1, 0}, 48000));
  CHECK_THROWS_AS(swap.prepare({48000, 64, 1}), coil::Error);
  CHECK_THROWS_AS(swap.prepare({48000, 64, 3}), coil::Error);
}

TEST_CASE("controls are kept by prepare") {
  const char* card =
      R"({"name": "gain", "controls": [{"name": "level", "min": -40, "max": 12, "default": 0,
          "to": "output_gain_db"}]})";
  ModelProcessor processor(matrix_model(1, {1}, 0, card));
  processor.prepare({48000, 64, 1});
  CHECK(run(processor, Signal(10, 1.0f), {10})[9] == Approx(1));
  processor.set_controls(Signal{-20});
  processor.prepare({44100, 64, 1});
  CHECK(run(processor, Signal(10, 1.0f), {10})[9] == Approx(0.1));
}

namespace {

// Checks that `dirty` sounds like `clean`, live and offline, and that its faults are counted.
void check_faults_are_silenced(double rate_hz, const Signal& clean, const Signal& dirty,
                               const coil::dsp::InputFaults& faults) {
  const auto check_count = [&](const coil::dsp::InputFaults& counted) {
    CHECK(counted.non_finite == faults.non_finite);
    CHECK(counted.too_loud == faults.too_loud);
  };
  ModelProcessor processor(filter_model());
  processor.prepare({rate_hz, 64, 1});
  const Signal expected = run(processor, clean, {2000});
  CHECK(processor.input_faults().total() == 0);
  processor.reset();
  CHECK(coil::test::same_bits(run(processor, dirty, {2000}), expected));
  check_count(processor.input_faults());

  OfflineProcessor offline(filter_model(), rate_hz, 1, 64), offline_clean(filter_model(), rate_hz, 1, 64);
  CHECK(coil::test::same_bits(run_offline(offline, dirty, {2000}), run_offline(offline_clean, clean, {2000})));
  check_count(offline.input_faults());
}

}  // namespace

TEST_CASE("non-finite samples count as 0 and are counted, live and offline, at every rate") {
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN(), kInfinity = std::numeric_limits<float>::infinity();
  coil::test::Random random(5);
  for (double rate_hz : {44100.0, 48000.0}) {
    Signal clean = coil::test::random_signal(2000, random), dirty = clean;
    clean[5] = clean[6] = clean[1000] = 0;
    dirty[5] = kNan, dirty[6] = kInfinity, dirty[1000] = -kInfinity;
    check_faults_are_silenced(rate_hz, clean, dirty, {.non_finite = 3});
  }
}

TEST_CASE("samples above the limit count as 0 and are counted, live and offline, at every rate") {
  coil::test::Random random(8);
  for (double rate_hz : {44100.0, 48000.0}) {
    Signal clean = coil::test::random_signal(2000, random), huge = clean;
    clean[7] = 0, clean[900] = 0, clean[901] = coil::dsp::kLoudest;
    huge[7] = 1e38f, huge[900] = -1.001f * coil::dsp::kLoudest, huge[901] = coil::dsp::kLoudest;
    check_faults_are_silenced(rate_hz, clean, huge, {.too_loud = 2});
  }
}

TEST_CASE("rescaled steps: no latency at any host rate, live and offline are the model at that rate to the bit") {
  const auto model = filter_model();
  coil::test::Random random(7);
  const Signal in = coil::test::random_signal(3000, random);
  for (double rate_hz : kHostRates) {
    INFO(rate_hz << " Hz");
    coil::ssm::Stream stream(model->at_rate(rate_hz));
    Signal expected(in.size());
    stream.process(in, expected);
    ModelProcessor live(model, RateMode::steps);
    live.prepare({rate_hz, 64, 1});
    CHECK(live.latency_frames() == 0);
    CHECK(coil::test::same_bits(run(live, in, coil::test::random_blocks(in.size(), random)), expected));
    OfflineProcessor offline(model, rate_hz, 1, 512, {}, RateMode::steps);
    CHECK(coil::test::same_bits(run_offline(offline, in, {in.size()}), expected));
  }
}

TEST_CASE("a model's config says whether its steps are rescaled, unless the caller does") {
  const auto by_steps = filter_model(false, R"("rate_scaling": "steps",)"), by_resampling = filter_model();
  const auto latency = [](const auto& model, RateMode mode, double rate_hz) {
    ModelProcessor processor(model, mode);
    processor.prepare({rate_hz, 64, 1});
    return processor.latency_frames();
  };
  for (double rate_hz : {44100.0, 96000.0}) {
    CHECK(latency(by_steps, RateMode::model_default, rate_hz) == 0);
    CHECK(latency(by_resampling, RateMode::model_default, rate_hz) > 0);
    CHECK(latency(by_steps, RateMode::resample, rate_hz) > 0);
    CHECK(latency(by_resampling, RateMode::steps, rate_hz) == 0);
    CHECK(latency(by_resampling, RateMode::prefer_steps, rate_hz) == 0);
    CHECK(coil::dsp::model_for_host(by_steps, rate_hz, RateMode::model_default) == by_steps->at_rate(rate_hz));
    CHECK(coil::dsp::model_for_host(by_resampling, rate_hz, RateMode::model_default) == by_resampling);
  }
  CHECK(coil::dsp::model_for_host(by_steps, 48000.3, RateMode::steps) == by_steps);
}

TEST_CASE("if steps cannot be rescaled the default is to resample, and requesting steps is an error") {
  const auto slow =
      coil::test::load(
          coil::test::model_file(R"({"model_type": "coil", "sample_rate": 48000, "rate_scaling": "steps", "d_input": 1,
    "d_model": 2, "d_output": 1, "layers": [{"parts": [{"type": "s4d", "name": "mixer", "d_state": 2},
        {"type": "film"}]}],
    "slow_path": {"hop_frames": 64, "n_features": 1, "d_model": 2, "layers": []}})",
                                 1))
          .model();
  ModelProcessor by_steps(slow, RateMode::steps);
  CHECK_THROWS_AS(by_steps.prepare({44100, 64, 1}), coil::Error);  // a hop would last 58.8 frames
  for (const RateMode mode : {RateMode::model_default, RateMode::prefer_steps}) {
    ModelProcessor processor(slow, mode);
    processor.prepare({44100, 64, 1});
    CHECK(processor.latency_frames() > 0);
    processor.prepare({96000, 64, 1});
    CHECK(processor.latency_frames() == 0);
  }
  CHECK_THROWS_AS(OfflineProcessor(slow, 44100, 1, 64, {}, RateMode::steps), coil::Error);
}

TEST_CASE("the card's latency counts in host frames also where steps are rescaled") {
  ModelProcessor processor(
      matrix_model(1, {1}, 48000, R"({"name": "late", "sample_rate": 48000, "latency_frames": 480})"), RateMode::steps);
  processor.prepare({96000, 64, 1});
  CHECK(processor.latency_frames() == 960);
}

TEST_CASE("models that are not for audio are refused") {
  CHECK_THROWS_AS(ModelProcessor(coil::ssm::Model::load(COIL_GOLDEN_DIR "/mamba1_lm_v97_tied.safetensors")),
                  coil::Error);
}

TEST_CASE("the offline output is aligned and as long as the input, at every rate and length") {
  for (double rate_hz : {8000.0, 44100.0, 44101.0, 48000.0, 192000.0}) {
    for (size_t frames : {0, 1, 2, 100, 5000}) {
      const Signal in = sines(rate_hz, frames);
      OfflineProcessor processor(matrix_model(1, {1}, 48000), rate_hz, 1, 512);
      coil::test::Random random(6);
      const Signal out = run_offline(processor, in, coil::test::random_blocks(frames, random));
      INFO(rate_hz << " Hz, " << frames << " frames");
      REQUIRE(out.size() == in.size());
      for (size_t i = 1500; i + 1500 < frames; ++i) REQUIRE(std::fabs(out[i] - in[i]) < 3e-6f);
    }
  }
}

TEST_CASE("the offline output has the requested rate, and the same duration") {
  for (const auto& [rate_hz, output_rate_hz] :
       {std::pair(44100.0, 48000.0), {48000.0, 44100.0}, {48000.0, 48000.0}, {44100.0, 22050.0}, {96000.0, 16000.0}}) {
    for (size_t frames : {0, 1, 2, 100, 6001}) {
      const Signal in = sines(rate_hz, frames);
      OfflineProcessor processor(matrix_model(1, {1}, 48000), rate_hz, 1, 512, {}, RateMode::resample, nullptr,
                                 output_rate_hz);
      coil::test::Random random(7);
      const Signal out = run_offline(processor, in, coil::test::random_blocks(frames, random));
      INFO(rate_hz << " to " << output_rate_hz << " Hz, " << frames << " frames");
      REQUIRE(out.size() == static_cast<size_t>(std::lround(static_cast<double>(frames) * output_rate_hz / rate_hz)));
      const Signal expected = sines(output_rate_hz, out.size());
      const size_t edge = static_cast<size_t>(1500 * std::max(1.0, output_rate_hz / rate_hz));
      for (size_t i = edge; i + edge < out.size(); ++i) REQUIRE(std::fabs(out[i] - expected[i]) < 3e-6f);
    }
  }
}

TEST_CASE("the real-time and the offline way sound the same, up to the latency and the resamplers") {
  const auto model = filter_model(true);  // the resamplers differ above 20 kHz, where harmonics would be
  for (double rate_hz : {44100.0, 96000.0}) {
    const Signal in = sines(rate_hz, 20000);
    ModelProcessor live(model);
    live.prepare({rate_hz, 64, 1});
    OfflineProcessor offline(model, rate_hz, 1, 512);
    const Signal a = run(live, in, {in.size()}), b = run_offline(offline, in, {in.size()});
    const int latency = live.latency_frames();
    double worst = 0;
    for (size_t i = 3000; i + latency + 1500 < in.size(); ++i)
      worst = std::max<double>(worst, std::fabs(a[i + latency] - b[i]));
    double peak = 1;
    for (float sample : b) peak = std::max<double>(peak, std::fabs(sample));
    CHECK(worst < 5e-5 * peak);
  }
}

}  // namespace
