// Non-finite or huge values do no lasting harm, in the input, in the state, and at a host's own rate; and they are
// counted.
#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <limits>
#include <span>
#include <string>
#include <vector>

#include "dsp/model_processor.h"
#include "ssm/run/stream.h"
#include "tests/realtime/networks.h"
#include "tests/support/matrix_model.h"
#include "tests/support/runs.h"

namespace {

using namespace coil;

constexpr uint32_t kRandomNetworks = 20;
constexpr size_t kBlock = 64;  // how often a stream checks its state
constexpr float kNan = std::numeric_limits<float>::quiet_NaN(),
                kSignalling = std::numeric_limits<float>::signaling_NaN(),
                kInfinity = std::numeric_limits<float>::infinity();
// As in random_networks.cpp: the design's tolerance between executions.
constexpr double kTolerance = 1e-5;

std::vector<float> play(ssm::Stream& stream, std::span<const float> in) {
  std::vector<float> out(in.size() / test::width_in(stream.model()) * test::width_out(stream.model()));
  stream.process(in, out);
  return out;
}

// Whether two streams with the same input converge, and stay finite on the way. The longest memory, the preset's, has a
// time constant of 21,000 frames, and needs 80 times that to forget 1e30.
bool come_together(ssm::Stream& a, ssm::Stream& b, test::Random& random) {
  for (int blocks = 0, agreed = 0; blocks < 30000; ++blocks) {
    const auto in = test::random_signal(kBlock * test::width_in(a.model()), random);
    const auto one = play(a, in), other = play(b, in);
    if (!ssm::all_finite(one) || !ssm::all_finite(other) || !a.state().is_finite()) return false;
    agreed = test::relative_error(one, other) <= kTolerance ? agreed + 1 : 0;
    if (agreed == 10) return true;
  }
  return false;
}

TEST_CASE("non-finite values read as 0 in every architecture, at any position, and are counted") {
  for (const auto& [name, model] : test::networks(ssm::InputKind::frames, kRandomNetworks)) {
    INFO(name);
    test::Random random(1);
    const size_t width = test::width_in(*model), frames = 2000;
    std::vector<float> clean = test::random_signal(frames * width, random), dirty = clean;
    uint64_t count = 0;
    for (size_t i = 0; i < clean.size(); ++i) {
      if (!random.chance(i / kBlock % 10 == 3 ? 1 : 0.02)) continue;  // whole blocks, and single values
      dirty[i] = random.pick({kNan, -kNan, kSignalling, kInfinity, -kInfinity});
      clean[i] = 0;
      ++count;
    }
    ssm::Stream hurt(model), spared(model);
    std::vector<float> found;
    size_t done = 0;
    for (const size_t n : test::random_blocks(frames, random)) {
      const auto part = play(hurt, std::span(dirty).subspan(done * width, n * width));
      found.insert(found.end(), part.begin(), part.end());
      done += n;
    }
    CHECK(test::same_bits(found, play(spared, clean)));
    CHECK(hurt.state() == spared.state());
    CHECK(hurt.non_finite_inputs() == count);
    CHECK(hurt.restarts() == 0);
  }
}

TEST_CASE("a stream with huge input converges to one with silence instead") {
  int restarted = 0, went_on = 0;
  for (const auto& [name, model] : test::networks(ssm::InputKind::frames, kRandomNetworks)) {
    for (const float loud : {1e30f, -3e38f}) {
      INFO(name << " hears " << loud);
      test::Random random(2);
      ssm::Stream hurt(model), spared(model);
      std::vector<float> in = test::random_signal(10 * kBlock * test::width_in(*model), random), quiet = in;
      for (int i = 0; i < 3; ++i) {
        const size_t place = in.size() - 1 - size_t(random.whole(0, int(in.size() / 10) - 1));
        in[place] = loud, quiet[place] = 0;
      }
      CHECK(ssm::all_finite(play(hurt, in)));
      play(spared, quiet);
      CHECK(come_together(hurt, spared, random));
      CHECK(hurt.non_finite_inputs() == 0);
      CHECK(spared.restarts() == 0);
      ++(hurt.restarts() > 0 ? restarted : went_on);
    }
  }
  CHECK(restarted > 10);
  CHECK(went_on > 10);
}

TEST_CASE(
    "a value in the state that is not finite is gone within 64 frames, unheard: the stream starts anew and says so, or "
    "forgets it") {
  for (const auto& [name, model] : test::networks(ssm::InputKind::frames, kRandomNetworks)) {
    const size_t width = test::width_in(*model);
    test::Random random(3);
    const auto knobs = test::random_controls(*model, random);
    ssm::Stream stream(model), other(model);
    stream.set_controls(knobs);
    play(stream, test::random_signal(101 * width, random));
    const ssm::State warm = stream.state();
    const auto in = test::random_signal(2 * kBlock * width, random);
    const size_t floats = warm.bytes() / sizeof(float);
    for (size_t place = 0; place < floats; place += 1 + floats / 80) {
      const auto& tensors = warm.layout().tensors;
      const std::string& tensor =
          std::find_if(tensors.rbegin(), tensors.rend(), [&](const auto& t) { return t.offset <= place; })->name;
      INFO(name << ", place " << place << " of " << floats << ", in " << tensor);
      stream.state() = other.state() = warm;
      stream.state().data()[place] = random.pick({kNan, kInfinity, -kInfinity});
      const uint64_t before = stream.restarts();
      size_t frames = 0;
      bool finite = true;
      while (stream.restarts() == before && frames < kBlock)
        finite &= ssm::all_finite(play(stream, std::span(in).subspan(frames++ * width, width)));
      CHECK(finite);
      // A restart keeps the controls' settings, so only the controls can repair those.
      if (tensor.ends_with("controls_target") || tensor == "state.slow.controls") stream.set_controls(knobs);
      CHECK(stream.state().is_finite());

      const auto rest = std::span(in).subspan(frames * width);
      if (stream.restarts() > before) {
        CHECK(stream.restarts() == before + 1);
        other.reset();
        CHECK(test::same_bits(play(stream, rest), play(other, rest)));
        CHECK(stream.state() == other.state());
      } else {
        CHECK_FALSE(tensor.ends_with(".ssm"));  // only short memories are overwritten in time
        play(other, std::span(in).first(frames * width));
        if (tensor != "state.film.counters")
          CHECK(come_together(stream, other, random));  // hops may start at other times from now on
      }
    }
  }
}

TEST_CASE("a processor at any rate stays finite for any input, and recovers") {
  auto networks = test::networks(ssm::InputKind::frames, kRandomNetworks);
  std::erase_if(networks,
                [](const auto& n) { return test::width_in(*n.model) != 1 || test::width_out(*n.model) != 1; });
  networks.push_back({"identity", test::matrix_model(1, {1}, 48000)});
  for (const auto& [name, model] : networks) {
    for (const double rate_hz : {44100.0, 48000.0, 96000.0}) {
      INFO(name << " at " << rate_hz << " Hz");
      dsp::ModelProcessor hurt(model), spared(model);
      hurt.prepare({rate_hz, 64, 1});
      spared.prepare({rate_hz, 64, 1});
      test::Random random(4);
      std::vector<float> in = test::random_signal(4096, random), quiet = in;
      uint64_t not_finite = 0, too_loud = 0;
      for (size_t i = 0; i < 1024; ++i) {
        in[i] = random.pick({1e38f, -1e38f, 1.0f, kNan, kInfinity});
        quiet[i] = 0;
        not_finite += !std::isfinite(in[i]);
        too_loud += std::abs(in[i]) == 1e38f;
      }
      for (auto [processor, signal] : {std::pair(&hurt, &in), std::pair(&spared, &quiet)})
        for (size_t begin = 0; begin < signal->size(); begin += kBlock) {
          float* channel = signal->data() + begin;
          processor->process({&channel, 1, int(kBlock)});
        }
      CHECK(ssm::all_finite(in));
      CHECK(hurt.input_faults().non_finite == not_finite);
      CHECK(hurt.input_faults().too_loud == too_loud);
      CHECK(hurt.restarts() == 0);
      if (name == "identity") CHECK(test::same_bits(std::span(in).subspan(2048), std::span(quiet).subspan(2048)));
    }
  }
}

}  // namespace
