// Front ends bring a signal back in time; one adapter gives the same bits live and over a recording.
#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <limits>
#include <memory>
#include <numbers>
#include <vector>

#include "dsp/front_end.h"
#include "dsp/model_adapter.h"
#include "tests/support/matrix_model.h"
#include "tests/support/random_network.h"
#include "tests/support/runs.h"

namespace {

namespace dsp = coil::dsp;
using Signal = std::vector<float>;

Signal sine(double rate_hz, size_t frames) {
  Signal signal(frames);
  for (size_t i = 0; i < frames; ++i)
    signal[i] = static_cast<float>(std::sin(2 * std::numbers::pi * 997 * static_cast<double>(i) / rate_hz));
  return signal;
}

// Passes the signal through the front end in blocks of these sizes. The model behind it returns its frames unchanged,
// `late` frames later.
Signal there_and_back(dsp::FrontEnd& front_end, const Signal& in, size_t block, size_t late = 0) {
  Signal out, kept(late, 0.0f);
  for (size_t begin = 0; begin < in.size(); begin += block) {
    Signal piece(in.begin() + static_cast<std::ptrdiff_t>(begin),
                 in.begin() + static_cast<std::ptrdiff_t>(std::min(in.size(), begin + block)));
    float* channel = piece.data();
    const dsp::AudioBlock frames = front_end.to_model({&channel, 1, static_cast<int>(piece.size())});
    CHECK(frames.frames <= front_end.max_model_frames());
    kept.insert(kept.end(), frames.channels[0], frames.channels[0] + frames.frames);
    std::copy_n(kept.begin(), frames.frames, frames.channels[0]);
    kept.erase(kept.begin(), kept.begin() + frames.frames);
    const dsp::AudioBlock back = front_end.from_model(frames);
    out.insert(out.end(), back.channels[0], back.channels[0] + back.frames);
  }
  return out;
}

double worst_difference(const Signal& out, const Signal& expected, size_t begin, size_t delay) {
  double worst = 0;
  for (size_t i = begin; i < std::min(out.size(), expected.size() + delay) - begin; ++i)
    worst = std::max<double>(worst, std::fabs(out[i] - expected[i - delay]));
  return worst;
}

TEST_CASE("a front end brings a signal back as late as it says, and the same after a reset") {
  constexpr double kModelHz = 48000;
  for (const double host_hz : {8000.0, 44100.0, 48000.0, 96000.0}) {
    INFO(host_hz << " Hz");
    const Signal in = sine(host_hz, 9000);
    std::vector<std::unique_ptr<dsp::FrontEnd>> front_ends;
    front_ends.push_back(std::make_unique<dsp::LiveResampling>(host_hz, kModelHz, 64, 1));
    front_ends.push_back(std::make_unique<dsp::RecordingFrontEnd>(host_hz, kModelHz, host_hz, 1, 0));
    if (host_hz == kModelHz) front_ends.push_back(std::make_unique<dsp::NoFrontEnd>());
    for (const auto& front_end : front_ends) {
      const Signal out = there_and_back(*front_end, in, 50);
      REQUIRE(out.size() > 6000);
      CHECK(worst_difference(out, in, 2000, static_cast<size_t>(front_end->latency_frames())) < 3e-5);
      front_end->reset();
      CHECK(coil::test::same_bits(there_and_back(*front_end, in, 50), out));
    }
    CHECK(there_and_back(*front_ends[0], in, 50).size() == in.size());  // live: the same number of frames out as in
    CHECK(front_ends[0]->latency_frames() < 0.012 * host_hz + front_ends[0]->period_frames());
    CHECK(front_ends[1]->latency_frames() == 0);
  }
}

TEST_CASE("a recording's front end leaves out the model's latency and has the output's rate") {
  for (const double output_hz : {48000.0, 44100.0, 16000.0}) {
    constexpr int kLate = 333;
    dsp::RecordingFrontEnd front_end(44100, 48000, output_hz, 1, kLate);
    const Signal out = there_and_back(front_end, sine(44100, 12000), 700, kLate);
    const Signal expected = sine(output_hz, 20000);
    INFO(output_hz << " Hz");
    REQUIRE(out.size() > 3000);
    CHECK(worst_difference(out, expected, 1000, 0) < 3e-6);
  }
}

TEST_CASE("an adapter gives the same bits live, where its latency is heard, and over a recording, where it is not") {
  const auto model = coil::test::matrix_model(2, {0.5f, 0.25f, -1, 0.125f}, 48000,
                                              R"({"name": "late", "sample_rate": 48000, "latency_frames": 100})");
  constexpr int kFrames = 1000;
  coil::test::Random random(3);
  Signal left = coil::test::random_signal(kFrames, random), right = coil::test::random_signal(kFrames, random);
  left[10] = std::numeric_limits<float>::quiet_NaN();
  right[20] = 1e20f;
  const dsp::AdapterSpec spec{.sample_rate_hz = 48000, .channels = 2};
  dsp::ModelAdapter live = dsp::ModelAdapter::live(model, spec, 64);
  dsp::ModelAdapter recording =
      dsp::ModelAdapter::recording(model, spec, 48000, std::make_shared<coil::ssm::BlockExecutor>(), 300);
  CHECK(live.latency_frames() == 100);

  Signal left_again = left, right_again = right;
  float* channels[] = {left.data(), right.data()};
  float* again[] = {left_again.data(), right_again.data()};
  const dsp::AudioBlock heard = live.process({channels, 2, kFrames}), made = recording.process({again, 2, kFrames});
  REQUIRE(heard.frames == kFrames);
  REQUIRE(made.frames == kFrames - 100);
  for (int c = 0; c < 2; ++c) CHECK(coil::test::same_bits(made.channel(c), heard.channel(c).subspan(100)));
  for (const dsp::ModelAdapter* each : {&live, &recording}) {
    CHECK(each->input_faults().non_finite == 1);
    CHECK(each->input_faults().too_loud == 1);
  }
  CHECK(heard.channels[0][10] == 0.25f * heard.channels[1][10] / 0.125f);  // the left channel's sample counts as 0
}

}  // namespace
