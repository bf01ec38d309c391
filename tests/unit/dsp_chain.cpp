// The stages of a rig: convolution against its definition, cabinets, equaliser, chains, and the .coil file.
#include <catch2/catch.hpp>
#include <cmath>
#include <map>
#include <numbers>

#include "base/error.h"
#include "dsp/cabinet.h"
#include "dsp/chain.h"
#include "dsp/convolver.h"
#include "dsp/decibels.h"
#include "dsp/doubler.h"
#include "dsp/equaliser.h"
#include "dsp/level_stages.h"
#include "dsp/rig.h"
#include "dsp/rig_chain.h"
#include "tests/support/late.h"
#include "tests/support/matrix_model.h"
#include "tests/support/planes.h"
#include "tests/support/random_network.h"
#include "tests/support/runs.h"

namespace {

using namespace coil;
using test::Planes;
using test::Signal;

std::vector<double> convolved(const Signal& h, const Signal& x) {
  std::vector<double> y(x.size());
  for (size_t t = 0; t < x.size(); ++t)
    for (size_t k = 0; k < std::min(h.size(), t + 1); ++k) y[t] += static_cast<double>(h[k]) * x[t - k];
  return y;
}

std::shared_ptr<const dsp::ImpulseResponse> response(std::vector<Signal> channels, double rate_hz) {
  return std::make_shared<const dsp::ImpulseResponse>(dsp::ImpulseResponse{std::move(channels), rate_hz});
}

TEST_CASE("a convolver computes the convolution without delay, in any blocks") {
  test::Random random(1);
  const Signal x = test::random_signal(9000, random);
  for (const size_t taps : {0, 1, 63, 64, 65, 129, 2047, 2048, 2049, 3000, 5000}) {
    CAPTURE(taps);
    const Signal h = test::random_signal(taps, random);
    const std::vector<double> right = convolved(h, x);
    double scale = 0;
    for (const double y : right) scale = std::max(scale, std::fabs(y));
    dsp::Convolver convolver(h);
    Signal whole = x;
    convolver.process(whole);
    for (size_t t = 0; t < x.size(); ++t) REQUIRE(std::fabs(whole[t] - right[t]) <= 2e-6 * std::max(1.0, scale));

    convolver.reset();
    Signal pieces = x;
    size_t begin = 0;
    for (const size_t frames : test::random_blocks(x.size(), random)) {
      convolver.process(std::span(pieces).subspan(begin, frames));
      begin += frames;
    }
    CHECK(test::same_bits(pieces, whole));
  }
}

TEST_CASE("a cabinet blends its microphones: level, pan, delay, polarity") {
  const Signal first = {0.5f, 0.25f}, second = {0.0f, 1.0f, -0.5f};
  dsp::CabinetSettings settings;
  settings.normalise = false;
  settings.microphones = {{response({first}, 48000), 0, 0, 0, false},
                          {response({second}, 48000), -6.0206f, 1, 1000.0f * 2 / 48000, true}};
  const dsp::Cabinet cabinet(settings);
  const auto mono = cabinet.taps(48000, 1);
  REQUIRE(mono.size() == 1);
  REQUIRE(mono[0].size() == 5);
  const float right[] = {0.5f, 0.25f, 0, -0.5f, 0.25f};
  for (size_t i = 0; i < 5; ++i) CHECK(mono[0][i] == Approx(right[i]).margin(1e-6));
  const auto stereo = cabinet.taps(48000, 2);
  CHECK(stereo[0][3] == Approx(0).margin(1e-6));  // panned right, where constant power gives +3 dB
  CHECK(stereo[1][3] == Approx(-0.5 * std::numbers::sqrt2).margin(1e-5));
  CHECK(stereo[0][0] == Approx(0.5));

  settings.normalise = true;
  double power = 0;
  for (const auto& row : dsp::Cabinet(settings).taps(48000, 2))
    for (const float tap : row) power += static_cast<double>(tap) * tap;
  CHECK(power == Approx(2));
}

TEST_CASE("a cabinet sounds the same at every rate") {
  // A resonance at 1 kHz that has decayed long before the end.
  const auto ring = [](double rate_hz) {
    Signal taps(static_cast<size_t>(0.05 * rate_hz));
    for (size_t i = 0; i < taps.size(); ++i) {
      const double t = static_cast<double>(i) / rate_hz;
      taps[i] = static_cast<float>(std::exp(-t / 0.004) * std::sin(2 * std::numbers::pi * 1000 * t) * 100 / rate_hz);
    }
    return taps;
  };
  dsp::CabinetSettings settings{{{response({ring(48000)}, 48000)}}, false};
  const dsp::Cabinet cabinet(settings);
  for (const double rate_hz : {44100.0, 96000.0}) {
    const auto taps = cabinet.taps(rate_hz, 1);
    for (const double hz : {300.0, 1000.0, 5000.0}) {
      const auto gain = [hz](const Signal& h, double rate) {
        std::complex<double> sum = 0;
        for (size_t i = 0; i < h.size(); ++i)
          sum += std::polar(static_cast<double>(h[i]), -2 * std::numbers::pi * hz * static_cast<double>(i) / rate);
        return std::abs(sum);
      };
      // The part of a band-limited response before its first sample is missing.
      CHECK(gain(taps[0], rate_hz) == Approx(gain(ring(48000), 48000)).margin(1e-5).epsilon(0.002));
    }
  }
}

TEST_CASE("a response of more than five seconds is faded out there, and a broken one is refused") {
  dsp::CabinetSettings settings{{{response({Signal(48000 * 6, 0.001f)}, 48000)}}, false};
  const auto taps = dsp::Cabinet(settings).taps(48000, 1);
  CHECK(taps[0].size() == 48000 * 5);
  CHECK(std::fabs(taps[0].back()) < 1e-6f);
  for (const auto& channels : {std::vector<Signal>{}, {Signal{}}, {Signal{0, 0}}, {Signal{NAN}}, {{1}, {1}, {1}}})
    CHECK_THROWS_AS(dsp::Cabinet({{{response(channels, 48000)}}}), Error);
  CHECK_THROWS_AS(dsp::Cabinet({{{response({Signal{1}}, 0)}}}), Error);
  CHECK_THROWS_AS(dsp::Cabinet({}), Error);
}

// The gain of a processor at a frequency, in dB, measured with a sine after it has settled.
double measured_db(dsp::AudioProcessor& processor, double hz, double rate_hz) {
  processor.prepare({rate_hz, 512, 1});
  const size_t frames = static_cast<size_t>(rate_hz);
  const Planes out = test::run_all(processor, {test::sine(hz, rate_hz, frames, 0.1f)});
  double re = 0, im = 0;
  for (size_t i = frames / 2; i < frames; ++i) {
    const double phase = 2 * std::numbers::pi * hz * static_cast<double>(i) / rate_hz;
    re += out[0][i] * std::sin(phase);
    im += out[0][i] * std::cos(phase);
  }
  return 20 * std::log10(std::hypot(re, im) * 4 / static_cast<double>(frames) / 0.1);
}

TEST_CASE("an equaliser does what its response says") {
  dsp::EqualiserSettings settings;
  settings.bands[0].gain_db = 9;
  settings.bands[1] = {dsp::EqualiserBand::Kind::bell, 500, -12, 2};
  settings.bands[2] = {dsp::EqualiserBand::Kind::bell, 3000, 6, 0.7f};
  settings.bands[3].gain_db = -8;
  settings.low_cut_hz = 60;
  settings.high_cut_hz = 9000;
  dsp::Equaliser equaliser(settings);
  for (const double rate_hz : {44100.0, 96000.0})
    for (const double hz : {30.0, 60.0, 200.0, 500.0, 1000.0, 3000.0, 8000.0, 15000.0})
      CHECK(measured_db(equaliser, hz, rate_hz) == Approx(dsp::response_db(settings, hz, rate_hz)).margin(0.05));

  // Reference points that need no formula.
  dsp::EqualiserSettings one;
  one.bands[1] = {dsp::EqualiserBand::Kind::bell, 1000, 7, 3};
  CHECK(dsp::response_db(one, 1000, 48000) == Approx(7).margin(1e-3));
  one.bands[1].gain_db = 0;
  one.bands[0].gain_db = 5;
  CHECK(dsp::response_db(one, 1, 48000) == Approx(5).margin(1e-2));
  one.low_cut_hz = 80;
  CHECK(dsp::response_db(one, 80, 48000) - dsp::response_db(one, 20000, 48000) <
        -3.0 + 5);  // -3 dB, plus the shelf's 5 dB
  CHECK(dsp::response_db({}, 1000, 48000) == 0);
}

TEST_CASE("a flat equaliser changes no bit, and a moving one does not click") {
  test::Random random(2);
  const Planes sound = {test::random_signal(3000, random), test::random_signal(3000, random)};
  dsp::Equaliser flat;
  flat.prepare({48000, 512, 2});
  CHECK(test::run_all(flat, sound) == sound);

  dsp::Equaliser moved;
  moved.prepare({48000, 512, 1});
  Planes tone = {test::sine(220, 48000, 48000)};
  dsp::EqualiserSettings settings;
  for (size_t begin = 0; begin < 48000; begin += 480) {
    for (dsp::EqualiserBand& band : settings.bands) band.gain_db = static_cast<float>(24 - 48 * (begin / 480 % 2));
    settings.low_cut_hz = begin / 480 % 3 ? 400 : 0;
    if (begin % 4800 == 0) moved.set(settings);
    test::run_block(moved, tone, begin, 480);
  }
  double loudest = 0;
  for (const float sample : tone[0]) loudest = std::max(loudest, std::fabs(static_cast<double>(sample)));
  REQUIRE(std::isfinite(loudest));
  // A click at -60 dB of the maximum is larger than the second difference of a sine of that amplitude.
  const double bend = loudest * std::pow(2 * std::numbers::pi * 220 / 48000, 2);
  CHECK(test::roughness(tone[0]) < 4 * bend + loudest * 1e-3);
}

TEST_CASE("a chain adds up its latencies, and what is bypassed or mixed stays aligned") {
  std::vector<dsp::Stage> stages;
  stages.push_back({"a", std::make_unique<test::Late>(100), 1, false});
  stages.push_back({"b", std::make_unique<test::Late>(7), 0.5f, false});
  stages.push_back({"c", std::make_unique<dsp::GainStage>(20.0f), 1, true});
  dsp::Chain chain(std::move(stages));
  chain.prepare({48000, 64, 2});
  CHECK(chain.latency_frames() == 107);
  test::Random random(3);
  const Planes in = {test::random_signal(4000, random), test::random_signal(4000, random)};
  const Planes out = test::run_all(chain, in, test::random_blocks(4000, random));
  for (size_t c = 0; c < 2; ++c)
    for (size_t i = 107; i < 4000; ++i) REQUIRE(out[c][i] == Approx(in[c][i - 107]).margin(1e-6));

  chain.set_bypassed(2, false);
  Planes louder = in;
  test::run_block(chain, louder, 0, 4000);
  CHECK(louder[0][3999] == Approx(10 * in[0][3999 - 107]).margin(1e-5));
}

TEST_CASE("bypassing, mixing and restoring a stage does not click at any speed") {
  for (const size_t apart : {300, 4800}) {
    std::vector<dsp::Stage> stages;
    stages.push_back({"invert", std::make_unique<dsp::GainStage>(0.0f), 1, false});
    Signal minus(1, -1.0f);
    stages.push_back({"cabinet", std::make_unique<dsp::Cabinet>(dsp::CabinetSettings{{{response({minus}, 48000)}}})});
    dsp::Chain chain(std::move(stages));
    chain.prepare({48000, 64, 1});
    Planes tone = {test::sine(200, 48000, 48000)};
    for (size_t begin = 0; begin < 48000; begin += apart) {
      const size_t change = begin / apart;
      chain.set_bypassed(1, change % 2 == 1);
      chain.set_mix(1, change % 3 == 0 ? 1.0f : 0.2f);
      test::run_block(chain, tone, begin, apart);
    }
    const double own = test::roughness(test::sine(200, 48000, 4800));
    CHECK(test::roughness(tone[0]) < 2 * own + 0.5e-3);  // -60 dB of the peak
  }
}

TEST_CASE("a doubler adds a voice that is late, drifts, and stands where spread says") {
  const auto play = [](const dsp::DoublerSettings& settings, Planes planes) {
    dsp::Doubler doubler(settings);
    doubler.prepare({48000, 64, static_cast<int>(planes.size())});
    test::Random random(1);
    return test::run_all(doubler, std::move(planes), test::random_blocks(planes[0].size(), random));
  };
  test::Random random(5);
  const Planes in = {test::random_signal(9600, random), test::random_signal(9600, random)};
  const dsp::DoublerSettings still{10, 0, -6, 1};  // 480 frames
  const float level = dsp::db_to_gain(-6);
  Planes out = play(still, in);
  CHECK(out[0] == in[0]);
  for (size_t i = 0; i < 9600; ++i) REQUIRE(out[1][i] == Approx(i < 480 ? 0 : level * in[1][i - 480]).margin(1e-6));
  out = play({10, 0, -6, 0}, in);
  for (size_t i = 480; i < 9600; ++i)
    for (size_t c = 0; c < 2; ++c) REQUIRE(out[c][i] == Approx(in[c][i] + level / 2 * in[1][i - 480]).margin(1e-6));
  out = play(still, {in[0]});
  for (size_t i = 480; i < 9600; ++i) REQUIRE(out[0][i] == Approx(in[0][i] + level / 2 * in[0][i - 480]).margin(1e-6));

  // A drifting voice of a tone is that tone with a phase that moves as far as the settings say.
  const double hz = 1000, drift = 0.002;
  const Signal tone = test::sine(hz, 48000, 3 * 48000);
  const Signal voice = play({20, 2, 0, 1}, {tone, tone})[1];
  for (size_t i = 1200; i < tone.size(); i += 7) {
    const double seconds = static_cast<double>(i) / 48000;
    const double late = 0.02 + drift * std::sin(2 * std::numbers::pi * dsp::Doubler::kDriftHz * seconds);
    REQUIRE(voice[i] == Approx(0.5 * std::sin(2 * std::numbers::pi * hz * (seconds - late))).margin(1e-3));
  }
}

TEST_CASE("a rig's file survives writing and reading, and errors name the fault") {
  const std::string text = R"({"rig": 1, "name": "Lead", "category": "Guitar", "tags": ["bright"], "input_db": 3,
      "output_db": -2.5, "input_dbu": 12.5, "mix": 0.75, "embedded": {"models": {"00": "AQID"}, "responses": {"11":
      {"sample_rate_hz": 48000, "channels": ["AACAPw=="]}}}, "stages": [
      {"type": "gain", "db": 3}, {"type": "gate", "threshold_db": -50, "bypassed": true},
      {"type": "model", "file": "green_overdrive", "controls": {"drive": 7}, "rate_scaling": "steps", "mix": 0.5,
       "normalise": true, "gate_db": -40, "channels": "sum", "hash": "00"},
      {"type": "cabinet", "name": "4x12", "microphones": [{"file": "a.wav"}, {"file": "b.wav", "level_db": -3,
       "pan": 0.5, "delay_ms": 1.5, "inverted": true}]},
      {"type": "equaliser", "bands": [{"gain_db": 3}, {"kind": "bell", "hz": 800, "gain_db": -4, "q": 2}],
       "low_cut_hz": 80}, {"type": "doubler", "delay_ms": 12, "spread": 0.5}]})";
  const dsp::Rig rig = dsp::read_rig(text, "lead.coil");
  REQUIRE(rig.stages.size() == 6);
  CHECK(std::get<dsp::DoublerSettings>(rig.stages[5].kind) == dsp::DoublerSettings{12, 1, 0, 0.5f});
  CHECK(rig.warnings.empty());
  CHECK(rig.stages[3].name == "4x12");
  CHECK(std::get<dsp::RigModel>(rig.stages[2].kind).controls.at("drive") == 7);
  CHECK(std::get<dsp::RigCabinet>(rig.stages[3].kind).microphones[1].inverted);
  CHECK(rig.models.at("00")->size() == 3);
  CHECK(rig.responses.at("11")->channels == std::vector<Signal>{{1.0f}});
  const std::string written = dsp::write_rig(rig);
  CHECK(dsp::write_rig(dsp::read_rig(written, "again")) == written);

  const auto refused = [](const std::string& stage) -> std::string {
    try {
      dsp::read_rig(R"({"rig": 1, "stages": [)" + stage + "]}", "x.coil");
    } catch (const Error& error) {
      return error.what();
    }
    return {};
  };
  CHECK(refused(R"({"type": "reverb"})").find("x.coil.stages[0].type must be one of gain") == 0);
  CHECK(refused(R"({"type": "gate", "threshold_db": 3})").find("threshold_db must be a number from -100 to 0") !=
        std::string::npos);
  CHECK(refused(R"({"type": "model"})").find("file is missing") != std::string::npos);
  CHECK(refused(R"({"type": "cabinet", "microphones": []})").find("a list of 1 to 2") != std::string::npos);
  CHECK_THROWS_WITH(dsp::read_rig(R"({"rig": 1, "stages": [], "embedded": {"models": {"00": "A"}}})", "x"),
                    "x.embedded.models.00 must be base64");
  CHECK_THROWS_WITH(dsp::read_rig(R"({"rig": 1, "stages": [], "embedded": {"responses": {"1": {"sample_rate_hz": 48000,
                    "channels": ["AAA="]}}}})",
                                  "x"),
                    "x.embedded.responses.1.channels must be base64 of 32-bit floats");
  CHECK_THROWS_AS(dsp::read_rig(R"({"rig": 2, "stages": []})", "x"), Error);
  const dsp::Rig misspelt = dsp::read_rig(R"({"rig": 1, "stages": [{"type": "gain", "dB": 3}]})", "x");
  REQUIRE(misspelt.warnings.size() == 1);
  CHECK(misspelt.warnings[0].find("dB") != std::string::npos);
}

TEST_CASE("a rig that knows its input's volts gives each model its level, as far as levels are known") {
  const auto model = [](const char* levels) {
    return test::matrix_model(1, {1}, 48000,
                              R"({"name": "x", "sample_rate": 48000, "channels": 1)" + std::string(levels) + "}");
  };
  std::map<std::string, std::shared_ptr<const ssm::Model>> models{
      {"pedal", model(R"(, "input_full_scale_dbu": -7, "output_full_scale_dbu": -1)")},
      {"amp", model(R"(, "input_full_scale_dbu": 5)")},
      {"unknown", model("")}};
  const dsp::RigFiles files{[&](const dsp::RigModel& stage) { return models.at(stage.file); }, {}};
  const auto gain_db = [&](const std::string& fields, std::initializer_list<const char*> names) {
    std::string stages;
    for (const char* name : names)
      stages += (stages.empty() ? "" : ",") + std::string(R"({"type": "model", "file": ")") + name + "\"}";
    dsp::Chain chain =
        dsp::make_chain(dsp::read_rig(R"({"rig": 1, )" + fields + R"("stages": [)" + stages + "]}", "x"), files);
    chain.prepare({48000, 64, 1});
    Planes block{Signal(100, 0.001f)};
    test::run_block(chain, block, 0, 100);
    return dsp::gain_to_db(block[0].back() / 0.001f);
  };
  CHECK(gain_db("", {"pedal"}) == Approx(0).margin(1e-4));
  CHECK(gain_db(R"("input_dbu": 13, )", {"pedal"}) == Approx(20));
  CHECK(gain_db(R"("input_dbu": 13, )", {"pedal", "amp"}) == Approx(20 - 6));
  CHECK(gain_db(R"("input_dbu": 13, )", {"unknown"}) == Approx(0).margin(1e-4));
  CHECK(gain_db(R"("input_dbu": 13, )", {"amp", "pedal"}) == Approx(8));  // nobody knows the level between them
  CHECK_THROWS_AS(dsp::read_rig(R"({"rig": 1, "input_dbu": 99, "stages": []})", "x"), Error);
}

TEST_CASE("a chain over a recording is aligned and as long, at the output's rate") {
  std::vector<dsp::Stage> stages;
  stages.push_back({"late", std::make_unique<test::Late>(333), 1, false});
  auto whole = dsp::chain_over_recording(dsp::Chain(std::move(stages)), 48000, 2);
  test::Random random(4);
  const Signal in = test::random_signal(2 * 5000, random);
  Signal out;
  whole->process(std::span(in).first(2 * 1234), out);
  whole->process(std::span(in).subspan(2 * 1234), out);
  whole->finish(out);
  REQUIRE(out.size() == in.size());
  CHECK(test::same_bits(out, in));

  auto halved = dsp::chain_over_recording(dsp::Chain({}), 48000, 1, 24000);
  const Signal tone = test::sine(440, 48000, 48000);
  Signal half;
  halved->process(tone, half);
  halved->finish(half);
  REQUIRE(half.size() == 24000);
  const Signal right = test::sine(440, 24000, 24000);
  CHECK(test::largest_difference(std::span(half).subspan(1000, 20000), std::span(right).subspan(1000, 20000)) < 1e-4);
}

}  // namespace
