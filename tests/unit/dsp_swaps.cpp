// Models that change while they play: none is lost, none is leaked, the last one is heard.
#include <atomic>
#include <catch2/catch.hpp>
#include <thread>
#include <vector>

#include "dsp/handover.h"
#include "dsp/rack.h"
#include "tests/support/matrix_model.h"
#include "tests/support/planes.h"

namespace {

using namespace coil;
using Models = std::vector<std::shared_ptr<const ssm::Model>>;

constexpr double kRate = 48000;

Models gain_models(size_t count) {
  Models models;
  for (size_t i = 0; i < count; ++i)
    models.push_back(test::matrix_model(1, {0.01f * static_cast<float>(i + 1)}, kRate));
  return models;
}

// In many blocks, because the rack takes waiting models only between two blocks.
float settled_output(dsp::Rack& rack) {
  const std::vector<size_t> blocks(150, 64);
  test::run_all(rack, {test::Signal(9600, 1.0f)}, blocks);
  return test::run_all(rack, {test::Signal(64, 1.0f)})[0].back();
}

// Held by the test, and by the rack's record of loaded models; any further reference would be a SlotModel.
long voices_of(const Models& models, const dsp::Rack& rack) {
  long count = 0;
  for (const auto& model : models) count += model.use_count() - 1;
  for (int slot = 0; slot < dsp::kSlots; ++slot) count -= rack.model(slot) != nullptr;
  return count;
}

// References of one run of the model: its ModelProcessor, its Stream, and the SlotModel.
long holders(const std::shared_ptr<const ssm::Model>& model) {
  dsp::Rack rack;
  rack.prepare({kRate, 64, 1});
  const long before = model.use_count();
  rack.load(0, model);
  return model.use_count() - before - 1;
}

TEST_CASE("a thousand swaps from another thread lose nothing and leak nothing") {
  const Models models = gain_models(8);
  const long each = holders(models[0]);
  dsp::Rack rack;
  rack.settings().normalise = false;
  rack.prepare({kRate, 64, 1});
  rack.load(0, models[0]);
  CHECK(voices_of(models, rack) == each);
  std::atomic<bool> done{false};
  std::thread loader([&] {
    for (size_t i = 0; i < 1000; ++i) {
      rack.load(i % 3 == 0 ? 1 : 0, models[i % models.size()]);
      if (i % 5 == 0) rack.collect();
      if (i % 7 == 0) rack.settings().active_slot = static_cast<int>(i % 2);
    }
    rack.load(0, models[2]);
    rack.load(1, models[4]);
    done = true;
  });
  bool sane = true;
  test::Planes planes{test::Signal(50)};
  do {
    std::ranges::fill(planes[0], 1.0f);
    test::run_block(rack, planes, 0, 50);
    for (const float sample : planes[0])
      sane &= sample > 0.005f && sample < 0.1f;  // never less than the softest model, nor more than the loudest
  } while (!done);
  loader.join();
  CHECK(sane);

  rack.settings().active_slot = 0;
  CHECK(settled_output(rack) == Approx(0.03f));
  rack.settings().active_slot = 1;
  CHECK(settled_output(rack) == Approx(0.05f));
  rack.collect();
  CHECK(voices_of(models, rack) == 2 * each);
  const uint64_t before = rack.model_frames();
  test::run_all(rack, {test::Signal(640, 1.0f)});
  CHECK(rack.model_frames() - before == 640);  // the playing model costs no more than before
}

TEST_CASE(
    "of several loads between blocks, before prepare or during a fade, the last one wins and the others are freed") {
  const Models models = gain_models(6);
  const long each = holders(models[0]);
  dsp::Rack rack;
  rack.settings().normalise = false;
  for (const auto& model : models) rack.load(0, model);
  CHECK(voices_of(models, rack) == 0);
  rack.prepare({kRate, 64, 1});
  CHECK(voices_of(models, rack) == each);
  CHECK(settled_output(rack) == Approx(0.06f));

  for (const auto& model : models) rack.load(0, model);
  rack.load(0, models[1]);
  CHECK(voices_of(models, rack) == 2 * each);  // one plays, one waits
  CHECK(settled_output(rack) == Approx(0.02f));
  rack.collect();
  CHECK(voices_of(models, rack) == each);

  rack.load(0, models[2]);
  test::run_all(rack, {test::Signal(600, 1.0f)});  // during the fade
  rack.load(0, models[3]);
  test::run_all(rack, {test::Signal(10, 1.0f)});
  CHECK(voices_of(models, rack) == 3 * each);
  rack.prepare({44100, 64, 1});
  CHECK(voices_of(models, rack) == each);
  CHECK(settled_output(rack) == Approx(0.04f).epsilon(1e-4));

  rack.load(0, models[4]);
  test::run_all(rack, {test::Signal(600, 1.0f)});
  rack.load(0, models[5]);
  rack.reset();
  CHECK(settled_output(rack) == Approx(0.06f).epsilon(1e-4));
  rack.load(0, nullptr);
  CHECK(settled_output(rack) == Approx(1).epsilon(1e-4));
  rack.collect();
  CHECK(voices_of(models, rack) == 0);
}

TEST_CASE("destroying a rack frees playing, waiting and returned models") {
  const Models models = gain_models(4);
  {
    dsp::Rack rack;
    rack.prepare({kRate, 64, 1});
    for (const auto& model : models) {
      rack.load(0, model);
      test::run_all(rack, {test::Signal(600, 1.0f)});
    }
  }
  for (const auto& model : models) CHECK(model.use_count() == 1);
}

TEST_CASE("preparing while another thread loads leaves the last model in place") {
  const Models models = gain_models(4);
  dsp::Rack rack;
  rack.settings().normalise = false;
  std::thread loader([&] {
    for (size_t i = 0; i < 200; ++i) rack.load(0, models[i % models.size()]);
  });
  for (int i = 0; i < 50; ++i) {
    rack.prepare({i % 2 ? 44100.0 : 48000.0, 64, 1 + i % 2});
    test::run_all(rack, test::Planes(static_cast<size_t>(1 + i % 2), test::Signal(500, 1.0f)));
  }
  loader.join();
  rack.prepare({kRate, 64, 1});
  CHECK(settled_output(rack) == Approx(0.04f));
}

struct Counted {
  explicit Counted(int& live) : live(live) { ++live; }
  ~Counted() { --live; }
  int& live;
  Counted* given_back_before = nullptr;
};

TEST_CASE("a handover frees replaced objects at once, returned ones on request, and all at the end") {
  int live = 0;
  {
    dsp::Handover<Counted> handover;
    for (int i = 0; i < 5; ++i) handover.post(std::make_unique<Counted>(live));
    CHECK(live == 1);
    CHECK(handover.waiting());
    auto taken = handover.take();
    CHECK(!handover.waiting());
    CHECK(!handover.take());
    handover.post(std::make_unique<Counted>(live));
    handover.give_back(std::move(taken));
    handover.give_back(std::make_unique<Counted>(live));
    CHECK(live == 3);
    handover.collect();
    CHECK(live == 1);
    handover.give_back(std::make_unique<Counted>(live));
  }
  CHECK(live == 0);
}

}  // namespace
