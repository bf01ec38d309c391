// Many streams stepped together are the same as each alone.
#include "ssm/stream_batch.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <limits>
#include <numeric>

#include "ssm/stream.h"
#include "tests/support/runs.h"

namespace {

using namespace coil;

constexpr uint32_t kNetworks = 40;
constexpr double kTolerance = 1e-5;  // the design's promise between executions

// A network, and a signal for each of some streams.
struct Crowd {
  std::shared_ptr<const ssm::Model> model;
  test::Random random;
  size_t streams, frames, width_in, width_out;
  std::vector<std::vector<float>> in;

  Crowd(uint32_t seed, size_t streams, size_t frames, ssm::Target target = ssm::Target::best())
      : model(test::load(test::random_coil_network(seed)).model(target)), random(seed + 900), streams(streams), frames(frames),
        width_in(test::width_in(*model)), width_out(test::width_out(*model)) {
    for (size_t i = 0; i < streams; ++i) in.push_back(test::random_signal(frames * width_in, random));
  }

  // Frame t of the named streams; out[i] gets what stream i gives.
  void step(ssm::StreamBatch& batch, const std::vector<uint32_t>& who, size_t t, std::vector<std::vector<float>>& out) const {
    std::vector<float> rows, results(who.size() * width_out);
    for (const uint32_t i : who) rows.insert(rows.end(), in[i].begin() + ptrdiff_t(t * width_in), in[i].begin() + ptrdiff_t((t + 1) * width_in));
    batch.step(who, rows, results);
    for (size_t k = 0; k < who.size(); ++k)
      out[who[k]].insert(out[who[k]].end(), results.begin() + ptrdiff_t(k * width_out), results.begin() + ptrdiff_t((k + 1) * width_out));
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
        for (size_t k = 0; k < found.size(); ++k) CHECK(test::relative_error(found[k].values, wanted[k].values) <= kTolerance);
      }
    }
}

TEST_CASE("streams that come and go, turn their controls, start anew and hand over their state do not disturb one another") {
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

TEST_CASE("a stream that leaves the finite numbers starts anew alone, inputs that are not finite read as 0 and are counted") {
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

}  // namespace
