// A sensor that returns after a gap or whose clock is set: no event if its value is as expected, an event if it is not.
#include <catch2/catch.hpp>
#include <cmath>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <numbers>

#include "sensor/engine.h"
#include "tests/support/random_network.h"

namespace {

using namespace coil;

constexpr int kSensors = 10, kRecords = 500, kAfter = 6;
constexpr int64_t kStep_s = 900, kHour_s = 3600, kYear_s = 365 * 86400;
constexpr double kAbsent = HUGE_VAL;  // a missing record

struct Point {
  int64_t time_s;
  double value;  // NaN: null
};
using Points = std::vector<Point>;

// A daily cycle and some noise: kRecords, the gap, and kAfter more.
Points cycle(uint32_t seed, int gap, double period) {
  test::Random random(seed);
  const double phase = random.uniform(0, 6.28), amplitude = random.uniform(4, 7);
  double drift = 0;
  Points points;
  for (int i = 0; i < kRecords + gap + kAfter; ++i) {
    drift = 0.9 * drift + 0.1 * random.normal();
    points.push_back(
        {1700000000 + i * kStep_s, 20 + amplitude * std::sin(phase + 2 * std::numbers::pi * i / period) + drift});
  }
  return points;
}

// Whole numbers around a rate with a daily cycle: kRecords, the gap, and kAfter more.
Points counts(uint32_t seed, int gap, double) {
  test::Random random(seed);
  const double phase = random.uniform(0, 6.28);
  Points points;
  for (int i = 0; i < kRecords + gap + kAfter; ++i) {
    const double rate = std::exp(2.5 + std::sin(phase + 2 * std::numbers::pi * i / 96));
    points.push_back({1700000000 + i * kStep_s, std::max(0.0, std::round(rate + std::sqrt(rate) * random.normal()))});
  }
  return points;
}

class Statuses final : public sensor::Sink {
 public:
  struct Record {
    sensor::Status status;
    bool has_score;
  };
  bool wants_text() const override { return false; }
  void write(const sensor::Result& result) override {
    by_sensor[sensor::readable_key(result.key())].push_back({result.status, result.has_score});
  }

  std::map<std::string, std::vector<Record>> by_sensor;
};

struct Seen {
  int alarms = 0, unscored = 0;
};

// The results for the last records of each sensor; `change` gets the points and the index of the first one that
// returns.
Seen seen(int gap, double period, const std::function<void(Points&, size_t)>& change, bool with_times = true,
          const std::function<Points(uint32_t, int, double)>& make = cycle) {
  static const auto model = ssm::Model::load(COIL_PRESETS_DIR "/watch_small.safetensors");
  sensor::EngineOptions options;
  options.schema.keys = {"s"};
  sensor::Engine engine(model, options, [](const sensor::Message&, const std::string& what) { FAIL(what); });
  std::vector<sensor::Message> messages;
  Statuses results;
  for (int s = 0; s < kSensors; ++s) {
    Points points = make(uint32_t(s), gap, period);
    change(points, size_t(kRecords + gap));
    for (const Point& point : points) {
      if (point.value == kAbsent) continue;
      nlohmann::json record = {{"s", s},
                               {"v", std::isnan(point.value) ? nlohmann::json() : nlohmann::json(point.value)}};
      if (with_times) record["time"] = point.time_s;
      messages.push_back({{}, record.dump()});
    }
  }
  engine.process(messages, results);
  Seen seen;
  for (const auto& [s, records] : results.by_sensor) {
    const auto first = records.end() - kAfter;
    seen.alarms +=
        std::any_of(first, records.end(), [](const auto& record) { return record.status == sensor::Status::kAnomaly; });
    seen.unscored += int(std::count_if(first, records.end(), [](const auto& record) { return !record.has_score; }));
  }
  return seen;
}

void fill(Points& points, size_t end, int count, double value) {
  for (size_t i = end - size_t(count); i < end; ++i) points[i].value = value;
}
void raise(Points& points, size_t first, double by) {
  for (size_t i = first; i < points.size(); ++i) points[i].value += by;
}
void move_clock(Points& points, size_t first, size_t count, int64_t by_s) {
  for (size_t i = first; i < std::min(points.size(), first + count); ++i) points[i].time_s += by_s;
}

TEST_CASE("a return after a gap is no event, a return to another level is one") {
  for (const int gap : {1, 4, 8, 24, 48, 64, 65, 96, 150, 300}) {
    for (const double period : {96.0, 60.0, 24.0}) {
      for (const double what : {kAbsent, double(NAN)}) {
        const auto change = [&](double by) {
          return [=](Points& points, size_t first) { fill(points, first, gap, what), raise(points, first, by); };
        };
        INFO("gap " << gap << ", period " << period << (what == kAbsent ? ", absent" : ", null"));
        CHECK(seen(gap, period, change(0)).alarms <= 1);
        CHECK(seen(gap, period, change(15)).alarms >= 9);
      }
    }
  }
}

// After a longer gap without records, the clock may have been set as well, so that more values are possible.
TEST_CASE("counts that are higher after a gap are an event, even if each alone may be chance") {
  struct Case {
    int gap;
    double what;
    int found;
  };
  for (const Case& one : {Case{8, kAbsent, 5}, Case{8, NAN, 7}, Case{48, NAN, 7}, Case{48, kAbsent, 3}}) {
    const auto change = [&](double by) {
      return [=](Points& points, size_t first) { fill(points, first, one.gap, one.what), raise(points, first, by); };
    };
    INFO("gap " << one.gap << (one.what == kAbsent ? ", absent" : ", null"));
    CHECK(seen(one.gap, 96, change(0), true, counts).alarms <= 1);
    CHECK(seen(one.gap, 96, change(15), true, counts).alarms >= one.found);
  }
}

TEST_CASE("missing values count as elapsed time, also without times") {
  for (const int gap : {8, 48}) {
    const auto change = [&](double by) {
      return [=](Points& points, size_t first) { fill(points, first, gap, double(NAN)), raise(points, first, by); };
    };
    CHECK(seen(gap, 96, change(0), false).alarms <= 1);
    CHECK(seen(gap, 96, change(15), false).alarms >= 9);
  }
}

TEST_CASE("a clock change, permanent or short, neither raises nor hides alarms") {
  for (const int64_t by_s : {-kHour_s, -24 * kHour_s, -kYear_s, 7 * kHour_s, 10 * kYear_s}) {
    for (const size_t count : {1, 3, 100}) {
      if (by_s == 7 * kHour_s && count > 1) continue;  // looks like a gap after which the sensor is where it was
      const auto change = [&](double by) {
        return [=](Points& points, size_t first) { move_clock(points, first, count, by_s), raise(points, first, by); };
      };
      INFO("by " << by_s << " s, for " << count);
      const Seen usual = seen(0, 96, change(0)), higher = seen(0, 96, change(15));
      CHECK(usual.alarms <= 1);
      CHECK(usual.unscored == 0);
      CHECK(higher.alarms >= 9);
    }
  }
}

}  // namespace
