// The rack's list of stages: order, latency, levels, and changes while it plays.
#include <atomic>
#include <catch2/catch.hpp>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/error.h"
#include "dsp/cabinet.h"
#include "dsp/decibels.h"
#include "dsp/doubler.h"
#include "dsp/equaliser.h"
#include "dsp/level_stages.h"
#include "dsp/model_stage.h"
#include "dsp/rack.h"
#include "dsp/sample_faults.h"
#include "tests/support/late.h"
#include "tests/support/matrix_model.h"
#include "tests/support/planes.h"
#include "tests/support/random_network.h"
#include "tests/support/runs.h"

namespace {

using namespace coil;
using dsp::kEqualiserStage;
using dsp::kModelsStage;
using dsp::kTailStage;
using dsp::Rack;
using dsp::RackStage;
using test::Planes;
using test::Signal;

constexpr double kRate = 48000;

template <class Stage, class... Arguments>
RackStage stage(int number, uint64_t version, Arguments... arguments) {
  return {number, "stage", [=] { return std::make_unique<Stage>(arguments...); }, version};
}

RackStage own(int number) { return {number, {}, {}, 0}; }

std::shared_ptr<const ssm::Model> model(float gain, const std::string& card = "") {
  static std::map<std::pair<float, std::string>, std::shared_ptr<const ssm::Model>> made;
  auto& found = made[{gain, card}];
  if (!found) found = test::matrix_model(1, {gain}, kRate, card);
  return found;
}

std::unique_ptr<dsp::ModelStage> model_stage(const std::shared_ptr<const ssm::Model>& model) {
  return std::make_unique<dsp::ModelStage>(model, std::span<const float>(), dsp::ModelStageSettings());
}

std::unique_ptr<Rack> rack_with(std::vector<RackStage> stages, int channels = 1) {
  auto rack = std::make_unique<Rack>();
  rack->settings().normalise = false;
  rack->prepare({kRate, 64, channels});
  rack->set_stages(std::move(stages));
  return rack;
}

Signal noise(size_t frames, uint32_t seed) {
  test::Random random(seed);
  return test::random_signal(frames, random);
}

// The sound after `frames`, when all changes have been made.
Planes settled(Rack& rack, const Planes& planes, size_t frames = 9600) {
  const std::vector<size_t> blocks(frames / 64, 64);
  test::run_all(rack, Planes(planes.size(), Signal(blocks.size() * 64)), blocks);
  return test::run_all(rack, planes);
}

// Clips: so that the order of stages is heard.
class Clipper final : public dsp::AudioProcessor {
 public:
  void prepare(const dsp::ProcessSpec&) override {}
  void reset() noexcept override {}
  void process(dsp::AudioBlock block) noexcept override {
    for (int c = 0; c < block.channel_count; ++c)
      for (float& sample : block.channel(c)) sample = std::clamp(sample, -0.5f, 0.5f);
  }
  int latency_frames() const noexcept override { return 0; }
};

TEST_CASE("stages play in the order of the list, before and after the models") {
  const auto rack = rack_with({stage<dsp::GainStage>(3, 1, 20.0f), stage<Clipper>(0, 1), own(kModelsStage)});
  rack->load(0, model(0.1f));
  const Planes in{Signal(64, 0.2f)};
  CHECK(settled(*rack, in)[0].back() == Approx(0.05f));
  rack->set_stages({stage<Clipper>(0, 1), own(kModelsStage), stage<dsp::GainStage>(3, 1, 20.0f)});
  CHECK(settled(*rack, in)[0].back() == Approx(0.2f));
  rack->set_stages({stage<Clipper>(0, 2), stage<dsp::GainStage>(3, 1, 20.0f), own(kModelsStage)});
  CHECK(settled(*rack, in)[0].back() == Approx(0.2f));
  rack->settings().further[3].on = false;
  CHECK(settled(*rack, in)[0].back() == Approx(0.02f));
  rack->settings().further[3].on = true;
  rack->settings().further[3].mix = 0.5f;
  CHECK(settled(*rack, in)[0].back() == Approx(0.5 * (0.02 + 0.2)));
  rack->set_stages({own(kModelsStage)});
  CHECK(settled(*rack, in)[0].back() == Approx(0.02f));
}

TEST_CASE("the list keeps the tail and the equaliser, wherever they stand") {
  const auto rack = rack_with({own(kEqualiserStage), own(kTailStage), own(kModelsStage), stage<Clipper>(0, 1)});
  rack->load_tail([] {
    std::vector<dsp::Stage> stages;
    stages.push_back({"gain", std::make_unique<dsp::GainStage>(20.0f)});
    return dsp::Chain(std::move(stages));
  });
  CHECK(settled(*rack, {Signal(64, 0.02f)})[0].back() == Approx(0.2f));
  CHECK(settled(*rack, {Signal(64, 0.2f)})[0].back() == Approx(0.5f));
  rack->set_stages({stage<Clipper>(0, 1), own(kModelsStage), own(kTailStage)});
  CHECK(settled(*rack, {Signal(64, 0.2f)})[0].back() == Approx(2.0f));
  rack->set_stages({own(kModelsStage)});
  CHECK(settled(*rack, {Signal(64, 0.2f)})[0].back() == Approx(0.2f));
  rack->set_stages({own(kTailStage), own(kModelsStage)});
  CHECK(settled(*rack, {Signal(64, 0.2f)})[0].back() == Approx(2.0f));
}

TEST_CASE("latencies of the stages add up exactly, and what is mixed, bypassed or dry stays aligned") {
  const auto rack = rack_with({stage<test::Late>(0, 1, 100), own(kModelsStage), stage<test::Late>(1, 1, 7)}, 2);
  rack->load(0, test::matrix_model(1, {1}, kRate));
  CHECK(rack->latency_frames() == 107);
  const Planes in{noise(3000, 1), noise(3000, 2)};
  const auto check = [&](int latency) {
    const Planes out = settled(*rack, in);
    for (size_t c = 0; c < 2; ++c)
      for (size_t i = static_cast<size_t>(latency); i < 3000; ++i)
        REQUIRE(out[c][i] == Approx(in[c][i - static_cast<size_t>(latency)]).margin(1e-6));
  };
  check(107);
  rack->settings().further[0].mix = 0.3f;
  check(107);
  rack->settings().further[1].on = false;
  check(107);
  rack->settings().mix = 0.5f;
  check(107);
  rack->set_stages({own(kModelsStage), stage<test::Late>(1, 1, 7), stage<test::Late>(0, 1, 100)});
  CHECK(rack->latency_frames() == 107);
  check(107);
  rack->set_stages({own(kModelsStage), stage<test::Late>(0, 1, 100), stage<test::Late>(2, 1, 11)});
  CHECK(rack->latency_frames() == 111);
  check(111);
  rack->settings().bypass = true;
  check(111);
}

// Counts how many exist.
class Counted final : public dsp::AudioProcessor {
 public:
  explicit Counted(std::atomic<int>& made, std::atomic<int>& live) : live_(live) { ++made, ++live_; }
  ~Counted() override { --live_; }
  void prepare(const dsp::ProcessSpec&) override {}
  void reset() noexcept override {}
  void process(dsp::AudioBlock) noexcept override {}
  int latency_frames() const noexcept override { return 0; }

 private:
  std::atomic<int>& live_;
};

TEST_CASE("stages that keep their place continue, others are made anew, and removed ones are freed") {
  std::atomic<int> made = 0, live = 0;
  const auto counted = [&](int number, uint64_t version = 1) -> RackStage {
    return {number, "counted", [&] { return std::make_unique<Counted>(made, live); }, version};
  };
  const auto changes = [&](Rack& rack, std::vector<RackStage> stages) {
    made = 0;
    rack.set_stages(std::move(stages));
    settled(rack, {Signal(64)});
    rack.collect();
    return made.load();
  };
  {
    const auto rack = rack_with({own(kModelsStage)});
    CHECK(changes(*rack, {counted(0), counted(1), own(kModelsStage), counted(2), counted(3)}) == 4);
    CHECK(changes(*rack, {counted(0), counted(1), own(kModelsStage), counted(2), counted(3)}) == 0);
    CHECK(changes(*rack, {counted(0), own(kModelsStage), counted(2), counted(3), counted(4)}) == 1);
    CHECK(changes(*rack, {counted(0), own(kModelsStage), counted(4), counted(2), counted(3)}) == 1);
    CHECK(changes(*rack, {own(kModelsStage), counted(0), counted(4), counted(2), counted(3)}) == 1);
    CHECK(changes(*rack, {own(kModelsStage), counted(0), counted(4), counted(2, 2), counted(3)}) == 1);
    CHECK(live == 4);
    rack->prepare({44100, 64, 2});
    CHECK(live == 4);
    CHECK(changes(*rack, {own(kModelsStage)}) == 0);
    CHECK(live == 0);
    changes(*rack, {counted(5), own(kModelsStage)});
    rack->set_stages({counted(6), own(kModelsStage)});  // never heard
    rack->set_stages({counted(7), own(kModelsStage)});
    CHECK(live == 2);
  }
  CHECK(live == 0);
}

TEST_CASE("a list that cannot play is refused, and nothing changes") {
  const auto rack = rack_with({own(kModelsStage), stage<dsp::GainStage>(0, 1, 20.0f)});
  const auto wide = test::matrix_model(2, {0, 1, 1, 0}, kRate);
  const auto refused = [&](std::vector<RackStage> stages, const char* why) {
    CHECK_THROWS_WITH(rack->set_stages(std::move(stages)), Catch::Contains(why));
    CHECK(settled(*rack, {Signal(64, 0.02f)})[0].back() == Approx(0.2f));
    CHECK(rack->latency_frames() == 0);
    CHECK(rack->stages().size() == 2);
  };
  refused({stage<dsp::GainStage>(0, 1, 1.0f)}, "needs its stage of models");
  refused({own(kModelsStage), own(kModelsStage)}, "occurs twice");
  refused({own(kModelsStage), stage<dsp::GainStage>(dsp::kFurtherStages, 1, 1.0f)}, "no stage of the number 8");
  refused({own(kModelsStage), own(2)}, "cannot be made");
  refused({own(kModelsStage), {1, "wide", [&] { return model_stage(wide); }, 1}}, "takes 2 channels, the audio has 1");
  refused({own(kModelsStage), stage<test::Late>(1, 1, 30000), stage<test::Late>(2, 1, 6001)},
          "36001 frames late, live sound allows 36000");
}

TEST_CASE("a stage that does not support a new spec passes the sound, says why, and comes back") {
  const auto wide = test::matrix_model(2, {0, 1, 1, 0}, kRate);
  const auto rack = rack_with({own(kModelsStage), {1, "wide", [&] { return model_stage(wide); }, 1}}, 2);
  const Planes swapped{Signal(64, -2.0f), Signal(64, 1.0f)};
  CHECK(settled(*rack, {Signal(64, 1.0f), Signal(64, -2.0f)}) == swapped);
  rack->prepare({kRate, 64, 1});
  CHECK_THAT(rack->stage_problem(1), Catch::Contains("takes 2 channels, the audio has 1"));
  CHECK(settled(*rack, {Signal(64, 1.0f)})[0] == Signal(64, 1.0f));
  rack->prepare({kRate, 64, 2});
  CHECK(rack->stage_problem(1).empty());
  CHECK(settled(*rack, {Signal(64, 1.0f), Signal(64, -2.0f)}) == swapped);
}

TEST_CASE("a further model gets the level that its card states, as far as levels are known") {
  const auto card = [](const char* levels) {
    return R"({"name": "x", "sample_rate": 48000, "channels": 1, )" + std::string(levels) + "}";
  };
  const auto pedal = model(1, card(R"("input_full_scale_dbu": -7, "output_full_scale_dbu": -1)"));
  const auto amplifier = model(1, card(R"("input_full_scale_dbu": 5)"));
  const auto rack = rack_with({{0, "pedal", [&] { return model_stage(pedal); }, 1}, own(kModelsStage)});
  rack->load(0, amplifier);
  rack->settings().input_dbu = 13;
  const auto gain_db = [&] { return dsp::gain_to_db(settled(*rack, {Signal(64, 0.001f)})[0].back() / 0.001f); };
  CHECK(gain_db() == Approx(0).margin(1e-4));
  rack->settings().calibrated = true;
  CHECK(gain_db() == Approx(20 - 6));
  rack->settings().further[0].on = false;
  CHECK(gain_db() == Approx(8));
  rack->settings().further[0].on = true;
  rack->set_stages({own(kModelsStage), {0, "pedal", [&] { return model_stage(pedal); }, 1}});
  CHECK(gain_db() == Approx(8));  // nobody knows the level between them
  rack->load(0, nullptr);
  CHECK(gain_db() == Approx(20));
}

// Stages of all kinds, whose gain for a low tone is about 1.
RackStage some_stage(int number, uint64_t version, test::Random& random) {
  const auto of = [&](auto make) { return RackStage{number, "stage", std::move(make), version}; };
  switch (random.whole(0, 6)) {
    case 0:
      return stage<dsp::GainStage>(number, version, random.pick({-2.0f, 2.0f}));
    case 1:
      return stage<dsp::GateStage>(number, version, -60.0f);
    case 2:
      return of([gain = random.pick({-1.0f, 0.8f, 1.25f})] { return model_stage(model(gain)); });
    case 3: {
      dsp::EqualiserSettings settings;
      settings.bands[0].gain_db = random.pick({-3.0f, 3.0f});
      settings.bands[2].gain_db = 9;
      return stage<dsp::Equaliser>(number, version, settings);
    }
    case 4: {
      Signal taps(400);
      for (size_t i = 0; i < taps.size(); ++i)
        taps[i] = 0.02f * std::exp(-static_cast<float>(i) / 80) * (random.chance(0.1) ? -1.0f : 1.0f);
      const auto response = std::make_shared<const dsp::ImpulseResponse>(dsp::ImpulseResponse{{taps}, kRate});
      return of([response] { return std::make_unique<dsp::Cabinet>(dsp::CabinetSettings{{{response}}, false}); });
    }
    case 5:
      return stage<dsp::Doubler>(number, version, dsp::DoublerSettings{10, 1, -6, random.pick({0.0f, 0.5f})});
    default:
      return stage<test::Late>(number, version, random.pick({1, 64, 333}));
  }
}

// One random change of the list: adds, removes, replaces or moves a stage.
void edit(std::vector<RackStage>& list, uint64_t version, test::Random& random) {
  const auto at = [&] { return list.begin() + random.whole(0, static_cast<int>(list.size()) - 1); };
  const int number = random.whole(0, dsp::kFurtherStages - 1);
  const auto found = std::ranges::find(list, number, &RackStage::number);
  switch (found == list.end() ? 0 : random.whole(1, 3)) {
    case 0:
      list.insert(list.begin() + random.whole(0, static_cast<int>(list.size())), some_stage(number, version, random));
      break;
    case 1:
      list.erase(found);
      break;
    case 2:
      *found = some_stage(number, version, random);
      break;
    default:
      std::iter_swap(at(), at());
  }
}

TEST_CASE("a thousand random changes of list, power, mix and slot make no click") {
  test::Random random(7);
  std::vector<RackStage> list{own(kModelsStage), own(kTailStage), own(kEqualiserStage)};
  const auto rack = rack_with(list, 2);
  rack->load(0, model(0.8f));
  rack->load(1, model(-0.8f));
  rack->load_tail([] {
    std::vector<dsp::Stage> stages;
    stages.push_back({"gain", std::make_unique<dsp::GainStage>(1.0f)});
    return dsp::Chain(std::move(stages));
  });
  const double own_bend = std::pow(2 * std::numbers::pi * 200 / kRate, 2);  // of a tone of amplitude 1
  Planes recent{Signal(), Signal()};
  size_t at = 0;
  for (uint64_t change = 1; change <= 1000; ++change) {
    edit(list, change, random);
    rack->set_stages(list);
    for (auto& settings : rack->settings().further) {
      if (random.chance(0.1)) settings.on = random.chance(0.7);
      if (random.chance(0.1)) settings.mix = random.pick({0.0f, 0.5f, 1.0f});
    }
    if (random.chance(0.1)) rack->settings().active_slot = random.whole(0, 1);
    if (random.chance(0.1)) rack->settings().tail.on = random.chance(0.5);
    if (random.chance(0.1)) rack->settings().bypass = random.chance(0.3);
    if (random.chance(0.1)) rack->collect();
    const size_t frames = static_cast<size_t>(random.pick({33, 700, 2000, 4096}));
    Planes sound{Signal(frames), Signal(frames)};
    for (size_t i = 0; i < frames; ++i, ++at) {
      const double phase = 2 * std::numbers::pi * 200 * static_cast<double>(at % 240) / kRate;
      sound[0][i] = 0.5f * static_cast<float>(std::sin(phase));
      sound[1][i] = -0.3f * static_cast<float>(std::sin(phase));
    }
    std::vector<size_t> blocks(frames / 64, 64);
    blocks.push_back(frames % 64);
    sound = test::run_all(*rack, std::move(sound), blocks);
    if (change == 1) continue;  // the sound itself begins
    for (size_t c = 0; c < 2; ++c) {
      recent[c].insert(recent[c].end(), sound[c].begin(), sound[c].end());
      // A click: a bend larger than the tone's own, or than twice that where a fade changes its sign, by -60 dB of the
      // peak.
      const double peak = std::max(0.5f, dsp::peak(recent[c]));
      INFO("change " << change << ", channel " << c);
      REQUIRE(test::roughness(recent[c]) < peak * (2 * own_bend + 1e-3));
      recent[c].erase(recent[c].begin(), recent[c].end() - 2);
    }
  }
  int latency = 0;
  for (const RackStage& each : list)
    latency += each.make ? [&] {
    const auto made = each.make();
    made->prepare({kRate, 64, 2});
    return made->latency_frames();
  }() : 0;
  CHECK(rack->latency_frames() == latency);
}

TEST_CASE("lists from another thread: none is lost, the last one plays") {
  std::atomic<int> made = 0, live = 0;
  const auto rack = rack_with({own(kModelsStage)});
  std::atomic<bool> done = false;
  std::thread editor([&] {
    test::Random random(3);
    for (int i = 0; i < 500; ++i) {
      std::vector<RackStage> list{own(kModelsStage)};
      for (int number = 0; number < 4; ++number)
        if (random.chance(0.6))
          list.insert(list.begin() + random.whole(0, static_cast<int>(list.size())),
                      {number, "counted", [&] { return std::make_unique<Counted>(made, live); },
                       static_cast<uint64_t>(random.whole(0, 2))});
      rack->set_stages(std::move(list));
      if (i % 5 == 0) rack->collect();
    }
    rack->set_stages({own(kModelsStage), stage<dsp::GainStage>(5, 1, 20.0f)});
    done = true;
  });
  bool sane = true;
  Planes planes{Signal(50)};
  do {
    std::ranges::fill(planes[0], 0.1f);
    test::run_block(*rack, planes, 0, 50);
    for (const float sample : planes[0]) sane &= sample > 0.0999f && sample < 1.0001f;
  } while (!done);
  editor.join();
  CHECK(sane);
  CHECK(settled(*rack, {Signal(64, 0.1f)})[0].back() == Approx(1));
  rack->collect();
  CHECK(live == 0);
}

}  // namespace
