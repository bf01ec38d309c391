// Many streams that are stepped together give the results of separate streams.
#include "ssm/run/stream_batch.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <limits>
#include <numeric>

#include "ssm/run/stream.h"
#include "tests/support/runs.h"

namespace {

using namespace coil;

constexpr uint32_t kNetworks = 40;
constexpr double kTolerance = 1e-5;  // the design's tolerance between executions

// A network, and signals for some streams.
struct Crowd {
  std::shared_ptr<const ssm::Model> model;
  test::Random random;
  size_t streams, frames, width_in, width_out;
  std::vector<std::vector<float>> in;

  Crowd(uint32_t seed, size_t streams, size_t frames, ssm::Target target = ssm::Target::best())
      : model(test::load(test::random_coil_network(seed)).model(target)),
        random(seed + 900),
        streams(streams),
        frames(frames),
        width_in(test::width_in(*model)),
        width_out(test::width_out(*model)) {
    for (size_t i = 0; i < streams; ++i) in.push_back(test::random_signal(frames * width_in, random));
  }

  // Runs frame t of the named streams; out[i] gets the output of stream i.
  void step(ssm::StreamBatch& batch, const std::vector<uint32_t>& who, size_t t,
            std::vector<std::vector<float>>& out) const {
    std::vector<float> rows, results(who.size() * width_out);
    for (const uint32_t i : who)
      rows.insert(rows.end(), in[i].begin() + ptrdiff_t(t * width_in), in[i].begin() + ptrdiff_t((t + 1) * width_in));
    batch.step(who, rows, results);
    for (size_t k = 0; k < who.size(); ++k)
      out[who[k]].insert(out[who[k]].end(), results.begin() + ptrdiff_t(k * width_out),
                         results.begin() + ptrdiff_t((k + 1) * width_out));
  }
};

TEST_CASE("streams stepped together give what each gives alone, on every target, more of them than fit a block") {
  for (const ssm::Target& target : ssm::Target::all())
    for (uint32_t seed = 0; seed < kNetworks; ++seed) {
      Crowd crowd(seed, seed % 8 == 0 ? 150 : seed % 7 + 1, seed % 8 == 0 ? 20 : 150, target);
      INFO("network " << seed << " target " << target.name());
      ssm::StreamBatch batch(crowd.model, crowd.streams);
      REQUIRE(batch.size() == crowd.streams);
      std::vector<uint32_t> all(crowd.streams);
      std::iota(all.begin(), all.end(), 0u);
      std::vector<std::vector<float>> out(crowd.streams);
      for (size_t t = 0; t < crowd.frames; ++t) crowd.step(batch, all, t, out);
      for (size_t i = 0; i < crowd.streams; ++i) {
        ssm::Stream alone(crowd.model);
        std::vector<float> expected(crowd.frames * crowd.width_out);
        alone.process(crowd.in[i], expected);
        CHECK(test::relative_error(out[i], expected) <= kTolerance);
        ssm::State state = crowd.model->initial_state();
        batch.copy_state(i, state);
        const auto found = state.tensors(), wanted = alone.state().tensors();
        for (size_t k = 0; k < found.size(); ++k)
          CHECK(test::relative_error(found[k].values, wanted[k].values) <= kTolerance);
      }
    }
}

TEST_CASE("streams that start, stop, change controls, restart and copy states do not affect each other") {
  for (uint32_t seed = 0; seed < kNetworks; ++seed) {
    Crowd crowd(seed, 9, 200);
    INFO("network " << seed);
    ssm::StreamBatch batch(crowd.model, crowd.streams);
    std::vector<ssm::Stream> alone;
    for (size_t i = 0; i < crowd.streams; ++i) alone.emplace_back(crowd.model);
    std::vector<std::vector<float>> out(crowd.streams), expected(crowd.streams);
    for (size_t t = 0; t < crowd.frames; ++t) {
      std::vector<uint32_t> who;
      for (uint32_t i = 0; i < crowd.streams; ++i)
        if (crowd.random.chance(0.6)) who.push_back(crowd.streams - 1 - i);
      const uint32_t one = uint32_t(crowd.random.whole(0, int(crowd.streams) - 1));
      if (crowd.random.chance(0.1)) {
        const auto controls = test::random_controls(*crowd.model, crowd.random);
        batch.set_controls(one, controls);
        alone[one].set_controls(controls);
      }
      if (crowd.random.chance(0.02)) batch.reset(one), alone[one].reset();
      if (crowd.random.chance(0.05)) {
        ssm::State state = crowd.model->initial_state();
        batch.copy_state(one, state);
        const uint32_t other = uint32_t(crowd.random.whole(0, int(crowd.streams) - 1));
        batch.set_state(other, state);
        alone[other].state().copy_from(alone[one].state());
      }
      crowd.step(batch, who, t, out);
      for (const uint32_t i : who) {
        std::vector<float> row(crowd.width_out);
        alone[i].step({crowd.in[i].data() + t * crowd.width_in, crowd.width_in}, row);
        expected[i].insert(expected[i].end(), row.begin(), row.end());
      }
    }
    for (size_t i = 0; i < crowd.streams; ++i) CHECK(test::relative_error(out[i], expected[i]) <= kTolerance);
  }
}

TEST_CASE("a stream that becomes non-finite restarts alone, and non-finite inputs read as 0 and are counted") {
  for (uint32_t seed = 0; seed < kNetworks; ++seed) {
    Crowd crowd(seed, 5, 130);
    INFO("network " << seed);
    ssm::StreamBatch batch(crowd.model, crowd.streams);
    std::vector<uint32_t> all(crowd.streams);
    std::iota(all.begin(), all.end(), 0u);
    crowd.in[1][3 * crowd.width_in] = std::numeric_limits<float>::quiet_NaN();
    crowd.in[1][4 * crowd.width_in] = -std::numeric_limits<float>::infinity();
    std::vector<std::vector<float>> out(crowd.streams);
    for (size_t t = 0; t < crowd.frames; ++t) {
      if (t == 30 && crowd.model->state_layout()->size > 0) {
        ssm::State broken = crowd.model->initial_state();
        batch.copy_state(2, broken);
        const auto& tensor = broken.layout().tensors.front();
        broken.data()[tensor.offset + tensor.position.front()] = std::numeric_limits<float>::infinity();
        batch.set_state(2, broken);
      }
      crowd.step(batch, all, t, out);
    }
    CHECK(batch.non_finite_inputs() == 2);
    for (size_t i = 0; i < crowd.streams; ++i) {
      for (const float value : out[i]) CHECK(std::isfinite(value));
      ssm::State state = crowd.model->initial_state();
      batch.copy_state(i, state);
      CHECK(state.is_finite());
      if (i == 2) continue;
      ssm::Stream alone(crowd.model);
      std::vector<float> expected(crowd.frames * crowd.width_out);
      alone.process(crowd.in[i], expected);
      CHECK(test::relative_error(out[i], expected) <= kTolerance);
    }
  }
}

// True if only the signal changes: then every split gives the same bits.
bool is_plain(const ssm::Model& model) { return model.card().controls.empty() && !model.config().slow_path; }

// Advances streams by random numbers of frames in random order until all have ended; out[i] gets the output of stream
// i.
void process_in_cuts(const Crowd& crowd, test::Random& random, ssm::StreamBatch& batch,
                     std::vector<std::vector<float>>& out) {
  std::vector<size_t> done(crowd.streams, 0);
  for (size_t left = crowd.streams * crowd.frames; left > 0;) {
    std::vector<ssm::StreamBatch::Advance> advances;
    std::vector<float> rows;
    for (uint32_t i = 0; i < crowd.streams; ++i) {
      if (done[i] == crowd.frames || random.chance(0.3)) continue;
      const size_t most = crowd.frames - done[i],
                   frames = random.chance(0.1) ? most : std::min<size_t>(most, size_t(random.whole(1, 7)));
      advances.push_back({i, uint32_t(frames)});
      rows.insert(rows.end(), crowd.in[i].begin() + ptrdiff_t(done[i] * crowd.width_in),
                  crowd.in[i].begin() + ptrdiff_t((done[i] + frames) * crowd.width_in));
      done[i] += frames, left -= frames;
    }
    std::vector<float> results(rows.size() / crowd.width_in * batch.width_out());
    batch.process(advances, rows, results);
    auto from = results.begin();
    for (const auto& advance : advances) {
      const auto to = from + ptrdiff_t(advance.frames * batch.width_out());
      out[advance.stream].insert(out[advance.stream].end(), from, to);
      from = to;
    }
  }
}

TEST_CASE("a stream's output and state do not depend on how its frames are split into calls") {
  size_t plain = 0;
  for (const ssm::Target& target : ssm::Target::all())
    for (uint32_t seed = 0; seed < kNetworks; ++seed) {
      const Crowd crowd(seed, 9, 150, target);
      INFO("network " << seed << " target " << target.name());
      test::Random random(seed + 70);
      ssm::StreamBatch cut(crowd.model, crowd.streams), stepped(crowd.model, crowd.streams);
      std::vector<std::vector<float>> out(crowd.streams), expected(crowd.streams);
      process_in_cuts(crowd, random, cut, out);
      std::vector<uint32_t> all(crowd.streams);
      std::iota(all.begin(), all.end(), 0u);
      for (size_t t = 0; t < crowd.frames; ++t) crowd.step(stepped, all, t, expected);
      CHECK(stepped.stretches() == crowd.streams * crowd.frames);
      plain += is_plain(*crowd.model);
      ssm::State state = crowd.model->initial_state(), wanted = state;
      for (size_t i = 0; i < crowd.streams; ++i) {
        cut.copy_state(i, state);
        stepped.copy_state(i, wanted);
        if (is_plain(*crowd.model)) {
          CHECK(cut.stretches() < stepped.stretches() / 2);
          CHECK(test::same_bits(out[i], expected[i]));
          CHECK(test::same_bits({state.data(), state.bytes() / sizeof(float)},
                                {wanted.data(), wanted.bytes() / sizeof(float)}));
        } else {
          CHECK(test::relative_error(out[i], expected[i]) <= kTolerance);
        }
      }
    }
  CHECK(plain > kNetworks / 4);
}

TEST_CASE("selected outputs, in any order, are bit-identical to the full ones") {
  for (const ssm::Target& target : ssm::Target::all())
    for (const ssm::WeightFormat format : {ssm::WeightFormat::f32, ssm::WeightFormat::bf16, ssm::WeightFormat::int8})
      for (uint32_t seed = 0; seed < kNetworks; ++seed) {
        const Crowd crowd(seed, 5, 40, target.with(format));
        INFO("network " << seed << " target " << target.with(format).label());
        test::Random random(seed + 80);
        std::vector<uint32_t> wanted(crowd.width_out);
        std::iota(wanted.begin(), wanted.end(), 0u);
        std::shuffle(wanted.begin(), wanted.end(), std::mt19937(seed));
        wanted.resize(size_t(random.whole(1, int(crowd.width_out))));
        ssm::StreamBatch whole(crowd.model, crowd.streams), part(crowd.model, crowd.streams, wanted);
        REQUIRE(part.width_out() == wanted.size());
        CHECK(part.macs_per_frame() <= whole.macs_per_frame());
        CHECK(whole.macs_per_frame() == crowd.model->cost().macs_per_step);
        std::vector<std::vector<float>> out(crowd.streams), expected(crowd.streams);
        test::Random same = random;
        process_in_cuts(crowd, random, part, out);
        process_in_cuts(crowd, same, whole, expected);
        for (size_t i = 0; i < crowd.streams; ++i) {
          std::vector<float> chosen;
          for (size_t t = 0; t < crowd.frames; ++t)
            for (const uint32_t output : wanted) chosen.push_back(expected[i][t * crowd.width_out + output]);
          CHECK(test::same_bits(out[i], chosen));
        }
      }
}

TEST_CASE("streams that are added are like those from the beginning, which do not notice") {
  for (uint32_t seed = 0; seed < kNetworks; ++seed) {
    const Crowd crowd(seed, 70, 30);
    INFO("network " << seed);
    ssm::StreamBatch grown(crowd.model, 1), made(crowd.model, crowd.streams);
    std::vector<std::vector<float>> out(crowd.streams), expected(crowd.streams);
    for (size_t t = 0; t < crowd.frames; ++t) {
      std::vector<uint32_t> who(std::min(crowd.streams, 1 + 3 * t));
      if (who.size() > grown.size()) grown.add(who.size() - grown.size());
      std::iota(who.begin(), who.end(), 0u);
      crowd.step(grown, who, t, out);
      crowd.step(made, who, t, expected);
    }
    REQUIRE(grown.size() == crowd.streams);
    for (size_t i = 0; i < crowd.streams; ++i) CHECK(test::same_bits(out[i], expected[i]));
  }
}

}  // namespace
