// Values that belong together: a relation that breaks is found and named, and nothing else is.
#include "sensor/scoring/relations.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <functional>
#include <numbers>

#include "sensor/engine/group.h"
#include "sensor/state/bytes.h"
#include "tests/support/random_network.h"

namespace {

using namespace coil;
using sensor::Group;
using sensor::Relations;

constexpr int kValues = 6, kRecords = 1500, kFault = 1000;

// Two causes move six values; `fault` changes them from kFault on.
struct Plant {
  explicit Plant(uint32_t seed) : random(seed) {
    for (double& weight : weights) weight = random.uniform(-2, 2);
  }
  std::vector<double> next(const std::function<void(std::vector<double>&, Plant&)>& fault) {
    for (double& cause : causes) cause = 0.95 * cause + 0.3 * random.normal();
    causes[0] += t % 200 == 0 ? random.normal() : 0;  // a set point
    std::vector<double> values(kValues);
    for (int i = 0; i < kValues; ++i)
      values[size_t(i)] =
          10 * i + weights[size_t(i)] * causes[0] + weights[size_t(kValues + i)] * causes[1] + 0.2 * random.normal();
    if (t++ >= kFault) fault(values, *this);
    return values;
  }

  test::Random random;
  double weights[2 * kValues], causes[2] = {0, 0};
  int t = 0;
};

struct Found {
  int before = 0, in_time = 0, named = 0, lasting = 0;  // of all plants
};
Found found(int plants, size_t culprit, const std::function<void(std::vector<double>&, Plant&)>& fault) {
  Found found;
  for (int seed = 0; seed < plants; ++seed) {
    Plant plant{uint32_t(seed)};
    Relations relations(kValues);
    bool early = false, in_time = false, is_named = false;
    int lasts = 0;
    for (int t = 0; t < kRecords; ++t) {
      const Relations::Judgement judgement = relations.observe(plant.next(fault));
      const bool alarm = judgement.event >= sensor::kEvidenceOfAlarm;
      early |= alarm && t < kFault;
      if (alarm && t >= kFault && t < kFault + 50 && !in_time) in_time = true, is_named = judgement.value == culprit;
      lasts += t >= kFault + 50 && judgement.evidence >= sensor::kEvidenceOfAlarm;
    }
    found.before += early, found.in_time += in_time, found.named += is_named;
    found.lasting += lasts > (kRecords - kFault - 50) * 3 / 4;
  }
  return found;
}

TEST_CASE("a relation that breaks is found, named, and stays broken") {
  const Found offset = found(20, 2, [](auto& values, Plant&) { values[2] += 1.2; });
  CHECK(offset.before <= 3);
  CHECK(offset.in_time >= 18);
  CHECK(offset.named >= 18);
  CHECK(offset.lasting >= 17);
  const Found free = found(20, 4, [](auto& values, Plant& plant) { values[4] = 40 + plant.random.normal(); });
  CHECK(free.in_time >= 17);
  const Found nothing = found(20, 0, [](auto&, Plant&) {});
  CHECK(nothing.in_time <= 1);
  CHECK(nothing.lasting == 0);
}

TEST_CASE("what moves all values as usual breaks no relation") {
  const Found together = found(20, 0, [](auto&, Plant& plant) { plant.causes[1] = 0.9 * plant.causes[1] + 0.3; });
  CHECK(together.in_time <= 3);
}

TEST_CASE("the expected value follows from the others") {
  Plant plant{7};
  Relations relations(kValues);
  double off = 0, moves = 0;
  for (int t = 0; t < kRecords; ++t) {
    auto values = plant.next([](auto& v, Plant&) { v[3] += 5; });
    const double usual = t >= kFault ? values[3] - 5 : values[3];
    const auto judgement = relations.observe(values);
    if (t < kFault + 20) continue;
    REQUIRE(judgement.value == 3);
    REQUIRE(judgement.others[0] != 3);
    off += std::fabs(judgement.expected - usual);
    moves += std::fabs(usual - 30);
  }
  CHECK(off < 0.8 * moves);
}

TEST_CASE("missing and constant values raise no alarm, and hide none") {
  for (const int kind : {0, 1}) {
    int early = 0, in_time = 0;
    for (uint32_t seed = 0; seed < 20; ++seed) {
      Plant plant{seed};
      Relations relations(kValues);
      bool is_early = false, is_found = false;
      for (int t = 0; t < kRecords; ++t) {
        auto values = plant.next([](auto& v, Plant&) { v[2] += 1.5; });
        if (kind == 0 && plant.random.chance(0.1)) values[size_t(plant.random.whole(0, kValues - 1))] = NAN;
        if (kind == 1) values[5] = 3;
        const auto judgement = relations.observe(values);
        REQUIRE(std::isfinite(judgement.evidence));
        const bool alarm = judgement.event >= sensor::kEvidenceOfAlarm;
        is_early |= alarm && t < kFault;
        is_found |= alarm && t >= kFault && t < kFault + 60;
        REQUIRE((kind == 0 || judgement.value != 5));
      }
      early += is_early, in_time += is_found;
    }
    INFO(kind);
    CHECK(early <= 3);
    CHECK(in_time >= 17);
  }
}

// Values of sensors of a group, which come one after another.
std::vector<Group::Verdict> verdicts(uint32_t seed, int cut, std::string* first_cause = nullptr) {
  Plant plant{seed};
  auto group = std::make_unique<Group>();
  std::vector<Group::Verdict> verdicts;
  for (int t = 0; t < kRecords; ++t) {
    const auto values = plant.next([](auto& v, Plant&) { v[2] += 1.5; });
    for (int i = 0; i < kValues; ++i) {
      if (i == 4 && t > 600 && t < 700) continue;  // it is missing
      const std::string key = "s" + std::to_string(i);
      for (int again = 0; again < (i == 0 ? 3 : 1); ++again) {
        group->see(key, "v", values[size_t(i)]);
        verdicts.push_back(group->judge(key));
      }
      const auto& verdict = verdicts.back();
      if (first_cause && first_cause->empty() && t >= kFault && verdict.event >= sensor::kEvidenceOfAlarm)
        *first_cause = verdict.relation.key + " of " + key;
    }
    if (t != cut) continue;
    sensor::Bytes bytes;
    sensor::ByteWriter writer(bytes);
    group->write(writer);
    sensor::ByteReader reader(bytes);
    group = std::make_unique<Group>();
    group->read(reader);
    CHECK(reader.at_end());
  }
  return verdicts;
}

TEST_CASE("a group's rounds end with the slowest sensor, and its verdict comes with the sensor that is the cause") {
  int in_time = 0;
  for (uint32_t seed = 0; seed < 10; ++seed) {
    std::string cause;
    const auto all = verdicts(seed, -1, &cause);
    in_time += cause == "s2 of s2";
  }
  CHECK(in_time >= 9);
}

TEST_CASE("a group restored from its bytes continues as the original") {
  const auto whole = verdicts(3, -1);
  for (const int cut : {0, 3, 99, 650, 1010}) {
    const auto parts = verdicts(3, cut);
    REQUIRE(parts.size() == whole.size());
    for (size_t i = 0; i < whole.size(); ++i) {
      REQUIRE(parts[i].evidence == whole[i].evidence);
      REQUIRE(parts[i].event == whole[i].event);
    }
  }
}

}  // namespace
