// Rack: latency, blocks, routing, mix, bypass, gate, slots, loudness, and invalid input.
#include "dsp/rack.h"

#include <catch2/catch.hpp>
#include <functional>
#include <limits>
#include <map>
#include <string>

#include "dsp/chain.h"
#include "dsp/decibels.h"
#include "dsp/level_stages.h"
#include "dsp/loudness.h"
#include "dsp/model_processor.h"
#include "dsp/sample_faults.h"
#include "base/error.h"
#include "tests/support/matrix_model.h"
#include "tests/support/planes.h"
#include "tests/support/runs.h"

namespace {

using namespace coil;
using dsp::ChannelMode;
using dsp::Rack;
using test::Planes;
using test::Signal;

constexpr double kRate = 48000;
constexpr size_t kSecond = 48000;

std::shared_ptr<const ssm::Model> preset() {
  static const auto model = ssm::Model::load(COIL_PRESETS_DIR "/green_overdrive.safetensors");
  return model;
}

// y = gain x, made for 48 kHz.
std::shared_ptr<const ssm::Model> gain_model(float gain, const std::string& card = "") {
  static std::map<std::pair<float, std::string>, std::shared_ptr<const ssm::Model>> made;
  auto& model = made[{gain, card}];
  if (!model) model = test::matrix_model(1, {gain}, kRate, card);
  return model;
}

// States a latency of this many frames, but has none.
std::shared_ptr<const ssm::Model> late_model(int frames, float gain = 1) {
  return gain_model(gain, R"({"name": "late", "sample_rate": 48000, "channels": 1, "latency_frames": )" +
                              std::to_string(frames) + "}");
}

struct Options {
  double rate_hz = kRate;
  int channels = 1;
  bool normalise = false;
};

std::unique_ptr<Rack> rack_of(std::shared_ptr<const ssm::Model> first,
                              std::shared_ptr<const ssm::Model> second = nullptr, Options options = {}) {
  auto rack = std::make_unique<Rack>();
  rack->settings().normalise = options.normalise;
  rack->prepare({options.rate_hz, 128, options.channels});
  rack->load(0, std::move(first));
  rack->load(1, std::move(second));
  return rack;
}

Signal late(const Signal& signal, int frames) {
  Signal out(signal.size());
  std::copy(signal.begin(), signal.end() - frames, out.begin() + frames);
  return out;
}

Signal noise(size_t frames, uint32_t seed) {
  test::Random random(seed);
  return test::random_signal(frames, random);
}

size_t impulse_at(const Signal& signal) {
  const auto larger = [](float a, float b) { return std::fabs(a) < std::fabs(b); };
  return static_cast<size_t>(std::ranges::max_element(signal, larger) - signal.begin());
}

TEST_CASE("wet, dry and bypassed, an impulse comes out exactly at the stated latency, at every host rate") {
  for (const double rate_hz : {22050.0, 44100.0, 48000.0, 96000.0, 192000.0}) {
    for (const bool late_other_slot : {false, true}) {
      const auto rack = rack_of(gain_model(1), late_other_slot ? late_model(100) : nullptr, {.rate_hz = rate_hz});
      const int latency = rack->latency_frames();
      INFO(rate_hz << " Hz, latency " << latency);
      CHECK((latency == 0) == (rate_hz == kRate && !late_other_slot));
      const size_t at = 5000;
      Signal impulse(20000);
      impulse[at] = 0.5f;
      for (const auto& [mix, bypass] : {std::pair{1.0f, false}, {0.0f, false}, {1.0f, true}}) {
        rack->settings().mix = mix;
        rack->settings().bypass = bypass;
        rack->reset();
        const Signal out = test::run_all(*rack, {impulse})[0];
        CHECK(impulse_at(out) == at + static_cast<size_t>(latency));
        if (mix == 0 || bypass || rate_hz == kRate) CHECK(test::same_bits(out, late(impulse, latency)));
      }
    }
  }
}

TEST_CASE("any blocks give the same sound, whatever moves meanwhile") {
  for (const double rate_hz : {44100.0, 48000.0}) {
    test::Random random(1);
    const size_t part = 12000;
    Planes in{test::random_signal(4 * part, random), test::random_signal(4 * part, random)};
    for (Signal& plane : in) std::fill(plane.begin() + part, plane.begin() + 2 * part, 0.0f);
    const auto play = [&](bool split) {
      const auto rack = rack_of(preset(), late_model(30, -1), {.rate_hz = rate_hz, .channels = 2, .normalise = true});
      rack->settings().gate_db = -30;
      Planes out(2);
      for (size_t i = 0; i < 4; ++i) {
        if (i == 1) rack->settings().mix = 0.5f;
        if (i == 2) rack->settings().active_slot = 1, rack->settings().channels = ChannelMode::sum;
        if (i == 3) rack->load(1, preset()), rack->settings().bypass = true, rack->settings().input_db = 6;
        Planes piece;
        for (const Signal& plane : in) piece.emplace_back(plane.begin() + i * part, plane.begin() + (i + 1) * part);
        piece = test::run_all(*rack, std::move(piece),
                              split ? test::random_blocks(part, random) : std::vector<size_t>{part});
        for (size_t c = 0; c < 2; ++c) out[c].insert(out[c].end(), piece[c].begin(), piece[c].end());
      }
      return out;
    };
    const Planes whole = play(false), split = play(true);
    for (size_t c = 0; c < 2; ++c) {
      CHECK(test::largest_difference(whole[c], split[c]) <= 1e-6);
      CHECK(dsp::peak(whole[c]) > 0.1f);
    }
  }
}

// A click is a large second difference. The signal's own is 0.5 (2 pi 200 / 48000)^2 = 3.4e-4, and at most twice that
// where a fade changes the sign of the gain. Allowed on top: -60 dB of the peak.
constexpr double kClick = 2 * 3.4e-4 + 0.5e-3;
// The gate opens fast, from any value. The second difference of its gain is at most 1.5 / attack frames, here 72; that
// of the sound is half of it.
constexpr double kGateClick = kClick + 0.5 * 1.5 / 72;

TEST_CASE("no change during playback makes a click") {
  using Change = std::function<void(Rack&)>;
  const std::vector<std::pair<std::string, std::vector<Change>>> all{
      {"bypass", {[](Rack& r) { r.settings().bypass = true; }, [](Rack& r) { r.settings().bypass = false; }}},
      {"mix",
       {[](Rack& r) { r.settings().mix = 0; }, [](Rack& r) { r.settings().mix = 0.3f; },
        [](Rack& r) { r.settings().mix = 1; }}},
      {"slots", {[](Rack& r) { r.settings().active_slot = 1; }, [](Rack& r) { r.settings().active_slot = 0; }}},
      {"swaps",
       {[](Rack& r) { r.load(0, gain_model(-1)); }, [](Rack& r) { r.load(0, nullptr); },
        [](Rack& r) { r.load(0, gain_model(-0.5f)); }}},
      {"swap and latency", {[](Rack& r) { r.load(0, late_model(90, -1)); }, [](Rack& r) { r.load(0, gain_model(1)); }}},
      {"latency of the other slot",
       {[](Rack& r) { r.load(1, late_model(77)); }, [](Rack& r) { r.load(1, late_model(11)); }}},
      {"latency, half dry",
       {[](Rack& r) {
          r.settings().mix = 0.5f;
          r.load(1, late_model(77));
        },
        [](Rack& r) { r.load(1, nullptr); }}},
      {"gains",
       {[](Rack& r) { r.settings().output_db = -60; }, [](Rack& r) { r.settings().output_db = 0; },
        [](Rack& r) { r.settings().input_db = -6; }}},
      {"loudness", {[](Rack& r) { r.settings().normalise = true; }, [](Rack& r) { r.settings().normalise = false; }}},
      {"channels",
       {[](Rack& r) { r.settings().channels = ChannelMode::right; },
        [](Rack& r) { r.settings().channels = ChannelMode::sum; },
        [](Rack& r) { r.settings().channels = ChannelMode::each; },
        [](Rack& r) { r.settings().channels = ChannelMode::left; },
        [](Rack& r) { r.settings().channels = ChannelMode::each; }}},
      {"gate",
       {[](Rack& r) { r.settings().gate_db = 0; }, [](Rack& r) { r.settings().gate_db = -20; },
        [](Rack& r) { r.settings().gate_db = 0; }, [](Rack& r) { r.settings().gate_db = dsp::kGateOffDb; }}},
      {"all of it",
       {[](Rack& r) {
          r.settings().active_slot = 1;
          r.load(1, gain_model(0.7f));
        },
        [](Rack& r) { r.load(0, gain_model(-0.7f)); }, [](Rack& r) { r.settings().active_slot = 0; },
        [](Rack& r) {
          r.settings().bypass = true;
          r.load(0, nullptr);
        },
        [](Rack& r) {
          r.settings().bypass = false;
          r.settings().mix = 0;
        }}},
  };
  // Between the changes: the ends of fades, their middles, and intervals with hardly any fade.
  for (const auto& [name, changes] : all) {
    for (const size_t apart : {size_t{9600}, size_t{4096}, size_t{700}, size_t{33}}) {
      const auto rack = rack_of(gain_model(1), gain_model(-0.8f), {.channels = 2});
      Planes sound{test::sine(200, kRate, 40000), test::sine(200, kRate, 40000, -0.3f)};
      test::run_block(*rack, sound, 0, 10000);
      size_t at = 10000, change = 0;
      while (at < 30000 && change < 30) {
        changes[change++ % changes.size()](*rack);
        test::run_block(*rack, sound, at, apart);
        at += apart;
      }
      test::run_block(*rack, sound, at, sound[0].size() - at);
      INFO(name << ", " << apart << " frames apart");
      for (const Signal& plane : sound)
        CHECK(test::roughness(std::span(plane).subspan(1000)) < (name == "gate" ? kGateClick : kClick));
    }
  }
}

TEST_CASE("swapping and switching the preset during a note makes no click") {
  const Signal in = test::sine(110, kRate, 2 * kSecond, 0.2f);
  const auto play = [&](const std::vector<float>& controls, auto change) {
    const auto rack = rack_of(nullptr);
    rack->load(0, preset(), controls);
    rack->load(1, preset());
    Planes sound{in};
    test::run_block(*rack, sound, 0, kSecond);
    change(*rack);
    test::run_block(*rack, sound, kSecond, kSecond);
    return test::roughness(std::span(sound[0]).subspan(kSecond / 2));
  };
  const auto nothing = [](Rack&) {};
  const double own = std::max(play({9, 9, 0}, nothing), play({5, 5, 0}, nothing));
  CHECK(play({9, 9, 0}, [](Rack& rack) { rack.settings().active_slot = 1; }) < own + 1e-3);
  CHECK(play({9, 9, 0}, [](Rack& rack) { rack.load(0, preset()); }) < own + 1e-3);
  CHECK(play({9, 9, 0}, [](Rack& rack) { rack.settings().bypass = true; }) < own + 1e-3);
}

TEST_CASE("a silent model falls asleep and wakes at the first frame") {
  const Signal sound = dsp::plucked_strings(kRate);
  const size_t silence = 16 * kSecond;
  Signal in(2 * sound.size() + silence);
  std::ranges::copy(sound, in.begin());
  std::ranges::copy(sound, in.end() - static_cast<ptrdiff_t>(sound.size()));
  for (const double rate_hz : {44100.0, 48000.0}) {
    const auto rack = rack_of(preset(), nullptr, {.rate_hz = rate_hz});
    Planes out{in};
    test::run_block(*rack, out, 0, sound.size() + silence / 2);
    const uint64_t before = rack->model_frames();
    CHECK(before < sound.size() + silence / 2);
    test::run_block(*rack, out, sound.size() + silence / 2, silence / 2);
    CHECK(rack->model_frames() == before);
    test::run_block(*rack, out, sound.size() + silence, sound.size());
    const uint64_t played = sound.size() - 1;  // whose first frame is 0
    CHECK(rack->model_frames() >= before + played);
    CHECK(rack->model_frames() < before + played + (rate_hz == kRate ? 1 : 147));  // where the resamplers' period ends

    dsp::ModelProcessor awake(preset());
    awake.prepare({rate_hz, 128, 1});
    CHECK(test::largest_difference(out[0], test::run_all(awake, {in})[0]) < 2e-6);
  }
}

TEST_CASE("a model with non-zero input does not sleep even if its output is constant") {
  const auto rack = rack_of(gain_model(0));
  Signal ticks(2 * kSecond);
  for (size_t i = 0; i < ticks.size(); i += 5000) ticks[i] = 0.5f;
  test::run_all(*rack, {ticks});
  CHECK(rack->model_frames() == ticks.size());
}

TEST_CASE("moving a control wakes a model") {
  const auto rack = rack_of(preset());
  test::run_all(*rack, {Signal(4 * kSecond)});
  const uint64_t before = rack->model_frames();
  test::run_all(*rack, {Signal(1000)});
  CHECK(rack->model_frames() == before);
  rack->settings().controls[0][0] = 9;
  test::run_all(*rack, {Signal(1000)});
  CHECK(rack->model_frames() == before + 1000);
}

TEST_CASE("only the active slot's models run, one for both channels where one is enough") {
  const auto frames_of = [](Options options, ChannelMode mode, std::shared_ptr<const ssm::Model> model) {
    const auto rack = rack_of(std::move(model), preset(), options);
    rack->settings().channels = mode;
    test::run_all(*rack, Planes(static_cast<size_t>(options.channels), noise(1000, 1)));
    return rack->model_frames();
  };
  CHECK(frames_of({.channels = 1}, ChannelMode::each, preset()) == 1000);
  CHECK(frames_of({.channels = 1}, ChannelMode::sum, preset()) == 1000);
  CHECK(frames_of({.channels = 2}, ChannelMode::each, preset()) == 2000);
  CHECK(frames_of({.channels = 2}, ChannelMode::left, preset()) == 1000);
  CHECK(frames_of({.channels = 2}, ChannelMode::sum, preset()) == 1000);
  CHECK(frames_of({.channels = 2}, ChannelMode::left, test::matrix_model(2, {0, 1, 1, 0}, kRate)) == 1000);
}

TEST_CASE("channels reach the model as the mode says") {
  const Signal left = noise(3000, 1), right = noise(3000, 2);
  const auto play = [&](ChannelMode mode, std::shared_ptr<const ssm::Model> model) {
    const auto rack = rack_of(std::move(model), nullptr, {.channels = 2});
    rack->settings().channels = mode;
    return test::run_all(*rack, {left, right});
  };
  Signal sum(3000);
  for (size_t i = 0; i < sum.size(); ++i) sum[i] = 0.5f * (left[i] + right[i]);
  CHECK(play(ChannelMode::each, gain_model(1)) == Planes{left, right});
  CHECK(play(ChannelMode::left, gain_model(1)) == Planes{left, left});
  CHECK(play(ChannelMode::right, gain_model(1)) == Planes{right, right});
  CHECK(play(ChannelMode::sum, gain_model(1)) == Planes{sum, sum});
  CHECK(play(ChannelMode::sum, nullptr) == Planes{sum, sum});
  CHECK(play(ChannelMode::sum, test::matrix_model(2, {0, 1, 1, 0}, kRate)) == Planes{right, left});

  const auto rack = rack_of(preset(), nullptr, {.channels = 2});
  dsp::ModelProcessor pair(preset());
  pair.prepare({kRate, 128, 2});
  CHECK(test::run_all(*rack, {left, right}) == test::run_all(pair, {left, right}));
}

TEST_CASE("after a change of channel mode and back, the second channel's model runs as if from rest") {
  const auto rack = rack_of(preset(), nullptr, {.channels = 2});
  const Planes in{noise(kSecond, 1), noise(kSecond, 2)};
  rack->settings().channels = ChannelMode::left;
  test::run_all(*rack, in);
  rack->settings().channels = ChannelMode::each;
  test::run_all(*rack, {Signal(kSecond), Signal(kSecond)});
  const Planes out = test::run_all(*rack, in);
  dsp::ModelProcessor single(preset());
  single.prepare({kRate, 128, 1});
  test::run_all(single, {Signal(kSecond)});
  CHECK(test::largest_difference(out[1], test::run_all(single, {in[1]})[0]) < 1e-5);
}

TEST_CASE("a model of two channels needs two channels") {
  const auto wide = test::matrix_model(2, {0, 1, 1, 0}, kRate);
  const auto rack = rack_of(gain_model(0.5f));
  CHECK_THROWS_WITH(rack->load(0, wide), Catch::Contains("the model takes 2 channels, the audio has 1"));
  CHECK(rack->model(0) != wide);
  CHECK(test::run_all(*rack, {Signal(10, 1.0f)})[0] == Signal(10, 0.5f));

  rack->prepare({kRate, 64, 2});
  rack->load(0, wide);
  CHECK(rack->problem(0).empty());
  rack->prepare({kRate, 64, 1});
  CHECK_THAT(rack->problem(0), Catch::Contains("the model takes 2 channels, the audio has 1"));
  CHECK(rack->model(0) == wide);
  CHECK(test::run_all(*rack, {Signal(10, 1.0f)})[0] == Signal(10, 1.0f));
  rack->prepare({kRate, 64, 2});
  CHECK(rack->problem(0).empty());
  CHECK(test::run_all(*rack, {Signal(10, 1.0f), Signal(10, -2.0f)}) == Planes{Signal(10, -2.0f), Signal(10, 1.0f)});

  CHECK_THROWS_WITH(rack->load(0, ssm::Model::load(COIL_GOLDEN_DIR "/mamba1_lm_v97_tied.safetensors")),
                    Catch::Contains("token ids"));
  CHECK_THROWS_WITH(rack->load(0, late_model(12001)), Catch::Contains("12001 frames late, live sound allows 12000"));
  CHECK_THROWS_WITH(rack->prepare({kRate, 64, 3}), Catch::Contains("1 or 2 channels, not 3"));
}

TEST_CASE("models and controls are kept by prepare, and may be set before it") {
  const std::vector<float> knobs{8, 2, -3};
  Rack rack;
  rack.load(1, preset(), knobs);
  CHECK(rack.latency_frames() == 0);
  rack.settings().active_slot = 1;
  rack.settings().normalise = false;
  const Signal in = noise(5000, 3);
  for (const double rate_hz : {48000.0, 44100.0, 96000.0}) {
    rack.prepare({rate_hz, 64, 1});
    dsp::ModelProcessor expected(preset());
    expected.set_controls(knobs);
    expected.prepare({rate_hz, 64, 1});
    CHECK(rack.latency_frames() == expected.latency_frames());
    CHECK(test::same_bits(test::run_all(rack, {in})[0], test::run_all(expected, {in})[0]));
  }
  CHECK(rack.model(1) == preset());
  CHECK(rack.settings().controls[1][1] == 2);
  rack.load(1, preset());
  CHECK(rack.settings().controls[1][0] == 5);
  rack.load(1, preset(), std::vector<float>{7});
  CHECK(rack.settings().controls[1][0] == 7);
  CHECK(rack.settings().controls[1][1] == 5);
}

TEST_CASE("the rate mode takes effect at the next load or prepare, and so does the latency") {
  const auto rack = rack_of(preset(), nullptr, {.rate_hz = 96000});
  const int resampled = rack->latency_frames();
  REQUIRE(resampled > 0);
  rack->set_rate_mode(dsp::RateMode::prefer_steps);
  CHECK(rack->latency_frames() == resampled);
  rack->load(0, preset());
  CHECK(rack->latency_frames() == 0);
  rack->set_rate_mode(dsp::RateMode::model_default);
  rack->prepare({96000, 128, 1});
  CHECK(rack->latency_frames() == resampled);
  rack->set_rate_mode(dsp::RateMode::prefer_steps);
  rack->prepare({96000, 128, 1});
  CHECK(rack->latency_frames() == 0);

  dsp::ModelProcessor alone(preset(), dsp::RateMode::steps);
  alone.prepare({96000, 128, 1});
  const Planes in{test::sine(440, 96000, 9600)};
  CHECK(test::run_all(*rack, in) == test::run_all(alone, in));
}

TEST_CASE("a model that fades out does not get the controls of the new one") {
  const auto model = gain_model(1,
                                R"({"name": "gain", "controls": [{"name": "level", "min": -40, "max": 12, "default": 0,
          "to": "output_gain_db"}]})");
  const auto rack = rack_of(model);
  CHECK(test::run_all(*rack, {Signal(1000, 0.1f)})[0] == Signal(1000, 0.1f));
  rack->load(0, model);
  test::run_all(*rack, {Signal(10, 0.1f)});
  rack->load(0, model, std::vector<float>{-40});  // waits for the fade, 10 and 25 ms
  const Signal out = test::run_all(*rack, {Signal(64, 0.1f)})[0];
  for (const float sample : out) REQUIRE(sample == Approx(0.1f));
  Planes later{Signal(5000, 0.1f)};
  for (size_t begin = 0; begin < 5000; begin += 100) test::run_block(*rack, later, begin, 100);
  for (size_t i = 0; i < 2000; ++i) REQUIRE(later[0][i] == Approx(0.1f));  // and warms up
  CHECK(later[0].back() == Approx(0.001f));
}

dsp::Chain gain_tail(float db) {
  std::vector<dsp::Stage> stages;
  stages.push_back({"gain", std::make_unique<dsp::GainStage>(db)});
  return dsp::Chain(std::move(stages));
}

TEST_CASE("a tail processes the model's output but not the dry sound, and is switched without a click") {
  const auto rack = rack_of(gain_model(1));
  rack->load_tail([] { return gain_tail(20); });
  Planes tone{test::sine(440, kRate, kSecond, 0.05f)};
  for (size_t begin = 0; begin < kSecond; begin += 100) {
    if (begin == 30000) rack->load_tail({});
    test::run_block(*rack, tone, begin, 100);
  }
  const Signal dry = test::sine(440, kRate, kSecond, 0.05f);
  for (size_t i = 3000; i < 30000; ++i) REQUIRE(tone[0][i] == Approx(10 * dry[i]).margin(1e-6));
  for (size_t i = 33000; i < kSecond; ++i) REQUIRE(tone[0][i] == dry[i]);
  CHECK(test::roughness(std::span(tone[0]).subspan(29000, 5000)) <
        test::roughness(std::span(tone[0]).subspan(5000, 5000)) + 0.5e-3);  // -60 dB of the peak

  rack->load_tail([] { return gain_tail(20); });
  rack->settings().mix = 0;
  Planes later{Signal(10000, 0.1f)};
  test::run_block(*rack, later, 0, 10000);
  CHECK(later[0].back() == 0.1f);
}

TEST_CASE("a rack may be reset before it is prepared") {
  Rack rack;
  rack.reset();  // as by hosts that only inspect a plugin
  rack.prepare({kRate, 128, 2});
  CHECK(test::run_all(rack, Planes(2, Signal(64, 0.1f)))[0].back() == 0.1f);
}

TEST_CASE("a new tail is made for every rate, and one with latency is rejected without effect") {
  const auto rack = rack_of(gain_model(1));
  int made = 0;
  rack->load_tail([&made] {
    ++made;
    return gain_tail(6);
  });
  rack->prepare({96000, 128, 1});
  CHECK(made == 2);
  CHECK(test::run_all(*rack, {Signal(1000, 0.1f)})[0].back() == Approx(0.1f * dsp::db_to_gain(6)));
  const auto late = [] {
    std::vector<dsp::Stage> stages;
    stages.push_back({"late", std::make_unique<dsp::ModelProcessor>(late_model(64))});
    return dsp::Chain(std::move(stages));
  };
  CHECK_THROWS_AS(rack->load_tail(late), Error);
  CHECK(test::run_all(*rack, {Signal(1000, 0.1f)})[0].back() == Approx(0.1f * dsp::db_to_gain(6)));
}

TEST_CASE("a tail is switched without a click, and the equaliser comes after it") {
  const auto rack = rack_of(gain_model(1));
  rack->load_tail([] { return gain_tail(20); });
  const Signal dry = test::sine(440, kRate, kSecond, 0.05f);
  Planes tone{dry};
  for (size_t begin = 0; begin < kSecond; begin += 100) {
    if (begin == 20000) rack->settings().tail.on = false;
    test::run_block(*rack, tone, begin, 100);
  }
  for (size_t i = 3000; i < 20000; ++i) REQUIRE(tone[0][i] == Approx(10 * dry[i]).margin(1e-6));
  for (size_t i = 23000; i < kSecond; ++i) REQUIRE(tone[0][i] == dry[i]);
  CHECK(test::roughness(std::span(tone[0]).subspan(19000, 5000)) <
        test::roughness(std::span(tone[0]).subspan(5000, 5000)) + 0.5e-3);  // -60 dB of the peak

  dsp::EqualiserSettings settings;
  settings.bands[1] = {dsp::EqualiserBand::Kind::bell, 440, 12, 1};
  rack->settings().equaliser.set(settings);
  CHECK(test::run_all(*rack, {dry})[0] == dry);  // it is off
  rack->settings().equaliser.on = true;
  const Signal louder = test::run_all(*rack, {dry})[0];
  const float most = *std::max_element(louder.end() - 2000, louder.end());
  CHECK(most == Approx(0.05f * dsp::db_to_gain(12)).epsilon(0.01));
}

std::shared_ptr<const ssm::Model> model_for(float full_scale_dbu) {
  return gain_model(1, R"({"name": "x", "sample_rate": 48000, "channels": 1, "input_full_scale_dbu": )" +
                           std::to_string(full_scale_dbu) + "}");
}

TEST_CASE("each model gets the level that its card states, when that is switched on, and moves there without a click") {
  const auto rack = rack_of(model_for(-7), model_for(3), {.channels = 2});
  rack->settings().input_dbu = 13;
  const Planes tone{test::sine(440, kRate, 9600, 0.01f), test::sine(440, kRate, 9600, 0.02f)};
  CHECK(test::run_all(*rack, tone) == tone);
  rack->settings().calibrated = true;
  const Planes moving = test::run_all(*rack, tone);
  CHECK(test::roughness(moving[0]) < 1.2 * 10 * test::roughness(tone[0]));
  for (size_t i = 2000; i < 9600; ++i) REQUIRE(moving[0][i] == Approx(10 * tone[0][i]).margin(1e-6));
  for (size_t i = 2000; i < 9600; ++i) REQUIRE(moving[1][i] == Approx(10 * tone[1][i]).margin(1e-6));
  rack->settings().active_slot = 1;
  test::run_all(*rack, tone);
  CHECK(test::run_all(*rack, tone)[0][9000] == Approx(dsp::db_to_gain(10) * tone[0][9000]));
  rack->load(1, gain_model(1));  // it does not state its level
  test::run_all(*rack, tone);
  CHECK(test::run_all(*rack, tone)[0][9000] == Approx(tone[0][9000]));
}

TEST_CASE("mute silences everything, also what is bypassed, without a click") {
  const auto rack = rack_of(gain_model(1));
  Planes tone{test::sine(200, kRate, kSecond)};
  for (size_t begin = 0; begin < kSecond; begin += 4800) {
    rack->settings().bypass = begin >= 20000;
    rack->settings().mute = begin / 9600 % 2 == 1;
    test::run_block(*rack, tone, begin, 4800);
    if (rack->settings().mute && begin % 9600 != 0)
      CHECK(dsp::peak(std::span(tone[0]).subspan(begin + 2400, 2400)) == 0);
  }
  CHECK(dsp::peak(tone[0]) == Approx(0.5f).margin(0.01));
  CHECK(test::roughness(tone[0]) < kClick);
}

TEST_CASE("a reset restarts the models and keeps models, settings and latency") {
  const auto rack = rack_of(preset(), late_model(200), {.rate_hz = 44100, .channels = 2, .normalise = true});
  rack->settings().mix = 0.7f;
  rack->settings().gate_db = -40;
  const Planes in{noise(6000, 1), noise(6000, 2)};
  const int latency = rack->latency_frames();
  test::run_all(*rack, Planes(2, Signal(64)));
  rack->reset();
  const Planes first = test::run_all(*rack, in);
  rack->settings().active_slot = 1;
  rack->load(1, gain_model(1));
  rack->load(1, late_model(200));
  test::run_all(*rack, in);
  rack->settings().active_slot = 0;
  rack->reset();
  CHECK(rack->latency_frames() == latency);
  CHECK(test::run_all(*rack, in) == first);
}

TEST_CASE("models come out equally loud") {
  const Signal strings = dsp::plucked_strings(kRate);
  const auto lufs = [&](std::shared_ptr<const ssm::Model> model, bool normalise) {
    const auto rack = rack_of(std::move(model), nullptr, {.normalise = normalise});
    return dsp::loudness_lufs(std::span<const float>(test::run_all(*rack, {strings})[0]).subspan(12000), kRate);
  };
  CHECK(lufs(preset(), true) == Approx(dsp::kTargetLufs).margin(0.2));
  CHECK(lufs(gain_model(2), true) == Approx(dsp::kTargetLufs).margin(0.2));
  CHECK(lufs(gain_model(-0.3f), true) == Approx(dsp::kTargetLufs).margin(0.2));
  CHECK(lufs(gain_model(2), false) - lufs(gain_model(0.3f), false) == Approx(20 * std::log10(2 / 0.3)).margin(0.01));
  CHECK(dsp::normalisation_gain_db(gain_model(0)) == 0);
  CHECK(dsp::normalisation_gain_db(gain_model(1e-2f)) == dsp::kMaxNormalisationDb);
  CHECK(dsp::normalisation_gain_db(gain_model(1e3f)) == -dsp::kMaxNormalisationDb);
  CHECK(dsp::normalisation_gain_db(test::matrix_model(2, {1, 0, 0, 1}, kRate)) ==
        Approx(dsp::normalisation_gain_db(gain_model(1))));
}

TEST_CASE("the gate acts after the model, in time with the sound, and measures the model's input") {
  const int latency = 300;
  const auto rack = rack_of(gain_model(1), late_model(latency));
  // the other slot's latency delays this one
  rack->settings().gate_db = -40;
  Planes sound{test::sine(1000, kRate, 3 * kSecond, 0.001f)};  // -60 dBFS
  const size_t on = kSecond + 480, off = 2 * kSecond;
  for (size_t i = on; i < off; ++i) sound[0][i] *= 100;
  const Signal in = sound[0];
  sound = test::run_all(*rack, std::move(sound));
  const auto peak_between = [&](size_t begin, size_t end) {
    return dsp::peak(std::span<const float>(sound[0]).subspan(begin, end - begin));
  };
  CHECK(peak_between(kSecond / 2, on + latency) == 0);
  const size_t open = on + latency + kSecond / 50;
  for (size_t i = open; i < off + latency; ++i) REQUIRE(sound[0][i] == in[i - latency]);
  const size_t held = off + latency + static_cast<size_t>(dsp::NoiseGate::kHoldMs * 48);
  for (size_t i = off + latency; i < held; ++i) REQUIRE(sound[0][i] == in[i - latency]);
  CHECK(peak_between(held + kSecond / 4, 3 * kSecond) == 0);
  CHECK(rack->meters().gate_gain == 0);

  rack->settings().input_db = 24;  // the key is the model's input
  test::run_all(*rack, {test::sine(1000, kRate, kSecond, 0.001f)});
  CHECK(rack->meters().gate_gain == 1);
}

TEST_CASE("meters show the model's input and what goes out") {
  const auto rack = rack_of(gain_model(0.5f), nullptr, {.channels = 2});
  rack->settings().input_db = 6;
  rack->settings().output_db = -12;
  const float in = dsp::db_to_gain(6), out = in * 0.5f * dsp::db_to_gain(-12);
  test::run_all(*rack, {test::sine(1000, kRate, 4800, 0.5f), test::sine(1000, kRate, 4800, 0.1f)});
  CHECK(rack->meters().input_peak[0] == Approx(0.5f * in));
  CHECK(rack->meters().input_peak[1] == Approx(0.1f * in));
  CHECK(rack->meters().output_peak[0] == Approx(0.5f * out));
  CHECK(rack->meters().output_peak[1].exchange(0) == Approx(0.1f * out));
  CHECK(rack->meters().output_peak[1] == 0);
}

TEST_CASE("non-finite input counts as silence, and huge input is soon forgotten") {
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN(), kInfinity = std::numeric_limits<float>::infinity();
  for (const double rate_hz : {44100.0, 48000.0}) {
    for (const float gain_db : {0.0f, dsp::kMaxGainDb}) {
      const auto rack = rack_of(preset(), nullptr, {.rate_hz = rate_hz, .channels = 2, .normalise = true});
      const auto clean = rack_of(preset(), nullptr, {.rate_hz = rate_hz, .channels = 2, .normalise = true});
      Planes dirty{noise(kSecond, 1), noise(kSecond, 2)}, in = dirty;
      in[0][70] = in[1][71] = in[0][9000] = 0;
      dirty[0][70] = kNan, dirty[1][71] = kInfinity, dirty[0][9000] = -kInfinity;
      CHECK(test::run_all(*rack, dirty) == test::run_all(*clean, in));
      CHECK(rack->input_faults() == 3);
      CHECK(clean->input_faults() == 0);

      rack->settings().input_db = rack->settings().output_db = gain_db;
      for (const float size : {100.0f, 1e9f, 1e38f, std::numeric_limits<float>::max()}) {
        Planes huge{noise(4800, 3), Signal(4800, size)};
        for (float& sample : huge[0]) sample *= std::min(size, 5e37f);
        for (const float mix : {1.0f, 0.5f}) {
          rack->settings().mix = mix;
          for (const Signal& plane : test::run_all(*rack, huge)) REQUIRE(test::largest_difference(plane, plane) == 0);
        }
      }
      CHECK(std::isfinite(rack->meters().input_peak[1].load()));
      CHECK(std::isfinite(rack->meters().output_peak[1].exchange(0)));
    }
    const auto rack = rack_of(preset(), nullptr, {.rate_hz = rate_hz}),
               clean = rack_of(preset(), nullptr, {.rate_hz = rate_hz});
    test::run_all(*rack, {Signal(kSecond / 10, 1e38f)});
    test::run_all(*clean, {Signal(kSecond / 10)});
    CHECK(test::run_all(*rack, {noise(kSecond, 1)}) == test::run_all(*clean, {noise(kSecond, 1)}));
  }
}

TEST_CASE("settings that make no sense do no harm") {
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN(), kInfinity = std::numeric_limits<float>::infinity();
  const auto rack = rack_of(preset(), preset(), {.channels = 2});
  for (const float value : {kNan, kInfinity, -kInfinity, 1e30f, -1e30f}) {
    rack->settings().input_db = rack->settings().output_db = rack->settings().mix = rack->settings().gate_db = value;
    for (auto& control : rack->settings().controls[0]) control = value;
    rack->settings().active_slot = std::isnan(value) ? -7 : 9;
    for (const Signal& plane : test::run_all(*rack, Planes(2, noise(5000, 1))))
      CHECK(test::largest_difference(plane, plane) == 0);
  }
  float* channels[] = {nullptr, nullptr};
  rack->process({channels, 2, 0});
}

TEST_CASE("the active model's layers can be watched") {
  const auto rack = rack_of(preset(), nullptr);
  std::array<ssm::LayerActivity, 99> layers{};
  CHECK(rack->observe(layers) == 0);
  test::run_all(*rack, {noise(kSecond / 4, 1)});
  const size_t count = rack->observe(layers);
  CHECK(count == preset()->layers_with_memory());
  for (size_t i = 0; i < count; ++i) CHECK(layers[i].energy > 0);
  const float loud = layers[0].energy;
  test::run_all(*rack, {Signal(kSecond)});
  CHECK(rack->observe(std::span(layers).first(1)) == 1);
  CHECK(layers[0].energy < loud);
  rack->settings().active_slot = 1;
  test::run_all(*rack, {Signal(kSecond)});
  CHECK(rack->observe(layers) == 0);
}

}  // namespace
