// Results are byte-identical however records are split into calls, which threads process them, and what else is
// waiting.
#include "sensor/engine.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <functional>
#include <string>

#include "tests/support/random_network.h"

namespace {

using namespace coil;

class Texts final : public sensor::Sink {
 public:
  void write(const sensor::Result& result) override { texts.emplace_back(result.text); }

  std::vector<std::string> texts;
};

struct Case {
  size_t sensors, records;  // records: per sensor
  size_t longest_burst;
};

// A sensor's records: noise with outliers, gaps, missing values, late records, and for some sensors a second value.
std::vector<std::string> records_of(size_t sensor, size_t count, test::Random& random) {
  std::vector<std::string> texts;
  int64_t minute = 0;
  while (texts.size() < count) {
    minute += random.chance(0.02) ? random.whole(2, 100) : 1;
    const int64_t at = random.chance(0.02) ? minute - 3 : minute;
    const double value = double(sensor) + random.normal() * (random.chance(0.02) ? 40 : 1);
    texts.push_back("{\"sensor\":\"s" + std::to_string(sensor) + "\",\"time\":" + std::to_string(1700000000 + 60 * at) +
                    ",\"value\":" + (random.chance(0.03) ? "null" : std::to_string(value)) +
                    (sensor % 3 == 0 ? ",\"other\":" + std::to_string(random.normal()) : "") + "}");
  }
  return texts;
}

// The records of all sensors, in random bursts.
std::vector<sensor::Message> records(const Case& c, uint32_t seed) {
  test::Random random(seed);
  std::vector<std::vector<std::string>> left;
  for (size_t i = 0; i < c.sensors; ++i) left.push_back(records_of(i, c.records, random));
  std::vector<sensor::Message> messages;
  while (!left.empty()) {
    auto& texts = left[size_t(random.whole(0, int(left.size()) - 1))];
    const size_t burst = std::min(texts.size(), size_t(random.whole(1, int(c.longest_burst))));
    for (size_t i = 0; i < burst; ++i) messages.push_back({{}, texts[i]});
    texts.erase(texts.begin(), texts.begin() + ptrdiff_t(burst));
    if (texts.empty()) std::swap(texts, left.back()), left.pop_back();
  }
  return messages;
}

std::vector<std::string> results(const std::shared_ptr<const ssm::Model>& model,
                                 const std::vector<sensor::Message>& messages, size_t threads,
                                 std::vector<size_t> horizons, int reorder, const std::function<size_t()>& next_cut) {
  sensor::EngineOptions options;
  options.schema.keys = {"sensor"};
  options.threads = threads;
  options.horizons = std::move(horizons);
  options.reorder_records = reorder;
  sensor::Engine engine(model, options, [](const sensor::Message&, const std::string& what) { FAIL(what); });
  Texts out;
  for (std::span<const sensor::Message> left = messages; !left.empty();) {
    const size_t count = std::clamp<size_t>(next_cut(), 1, left.size());
    engine.process(left.first(count), out);
    left = left.subspan(count);
  }
  engine.finish(out);
  return out.texts;
}

TEST_CASE("results do not depend on how records are cut into calls, nor on threads") {
  const auto model = ssm::Model::load(COIL_PRESETS_DIR "/watch_small.safetensors");
  for (const Case& c : {Case{1, 400, 400}, Case{5, 200, 40}, Case{40, 60, 3}, Case{150, 20, 20}}) {
    const std::vector<sensor::Message> messages = records(c, uint32_t(c.sensors));
    for (const int reorder : {0, 4}) {
      const std::vector<std::string> one_by_one = results(model, messages, 1, {2, 64}, reorder, [] { return 1; });
      REQUIRE(one_by_one.size() > messages.size() / 2);
      for (uint32_t seed = 0; seed < 3; ++seed) {
        test::Random random(seed);
        INFO(c.sensors << " sensors, reorder " << reorder << ", seed " << seed);
        CHECK(results(model, messages, 1 + seed, {2, 64}, reorder,
                      [&] { return size_t(random.log_uniform(1, 2000)); }) == one_by_one);
      }
      CHECK(results(model, messages, 2, {2, 64}, reorder, [&] { return messages.size(); }) == one_by_one);
    }
  }
}

TEST_CASE("additional forecasts do not change other results") {
  const auto model = ssm::Model::load(COIL_PRESETS_DIR "/watch_small.safetensors");
  const std::vector<sensor::Message> messages = records({3, 150, 30}, 9);
  const auto all = [] { return size_t{4096}; };
  const std::vector<std::string> without = results(model, messages, 1, {}, 0, all),
                                 with = results(model, messages, 1, {7, 1, 33}, 0, all);
  REQUIRE(without.size() == with.size());
  const auto scored = [](const std::string& text) { return text.substr(text.find(",\"score\"")); };
  for (size_t i = 0; i < with.size(); ++i) CHECK(scored(with[i]) == scored(without[i]));
}

TEST_CASE("waiting records of a series read and write its state once") {
  const auto model = ssm::Model::load(COIL_PRESETS_DIR "/watch_small.safetensors");
  sensor::EngineOptions options;
  options.schema.keys = {"sensor"};
  sensor::Engine engine(model, options, [](const sensor::Message&, const std::string& what) { FAIL(what); });
  std::vector<sensor::Message> messages;
  Texts out;
  for (int t = 0; t < 12; ++t) {
    for (int who = 0; who < 5; ++who)
      messages.push_back({{}, "{\"sensor\":" + std::to_string(who) + ",\"value\":" + std::to_string(t * who) + "}"});
  }
  engine.process(messages, out);
  CHECK(engine.counters().records == 60);
  CHECK(engine.counters().stretches == 5);
  CHECK(engine.macs_per_step() < model->cost().macs_per_step);
}

}  // namespace
