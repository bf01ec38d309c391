// The size of network that a capture of another program is converted to: cost estimates, and the choice by short
// trainings.
#include <catch2/catch.hpp>
#include <cmath>
#include <filesystem>
#include <limits>
#include <nlohmann/json.hpp>

#include "capture/model_file.h"
#include "capture/teachers/size.h"
#include "capture/trainer/random.h"
#include "ssm/run/model.h"
#include "tests/support/temp_dir.h"

using namespace coil::capture;

namespace {

const std::filesystem::path kFolder = COIL_CAPTURE_TESTS_DIR "/teachers";
constexpr double kAny = std::numeric_limits<double>::max();

// Bursts of noise through a soft clipper.
std::vector<Take> clipped_noise() {
  Random random{5};
  Take take;
  double low = 0;
  for (size_t t = 0; t < 48000 * 4; ++t) {
    low += 0.2 * (random.normal() - low);
    const double x = low * double(t / 6000 % 4) / 3;
    take.dry.push_back(float(x)), take.wet.push_back(float(std::tanh(2 * x)));
  }
  return {take};
}

TrainingSettings usual_settings() {
  TrainingSettings settings;
  settings.shape = {8, 4, 6};
  settings.frames = kAny;
  return settings;
}

}  // namespace

TEST_CASE("multiply-adds of a size are those of its model") {
  coil::test::TempDir folder;
  for (const Shape& shape :
       {Shape{8, 1, 1}, Shape{8, 1, 4}, Shape{8, 4, 6}, Shape{8, 4, 12}, Shape{8, 4, 6, 0, 0, 64}}) {
    const ParameterMap map(shape);
    const std::filesystem::path path = folder.path() / "model.safetensors";
    write_model(path, map, std::vector<float>(map.size, 0.1f), {}, 48000, {}, {{"name", "size"}});
    CHECK(multiply_adds(shape) == size_t(coil::ssm::Model::load(path)->cost().macs_per_step));
  }
}

TEST_CASE("a capture's cost is estimated from what is played of it") {
  CHECK(read_teacher(kFolder / "lstm.nam").weights == 109);
  CHECK(read_teacher(kFolder / "lstm.nam").recurrent);
  const Teacher container = read_teacher(kFolder / "container.nam"), wavenet = read_teacher(kFolder / "a1_wavenet.nam");
  CHECK_FALSE(wavenet.recurrent);
  CHECK(wavenet.weights > 0);
  CHECK(container.weights == 182);  // of the larger of two networks
  for (const char* name : {"aida_lstm.json", "proteus_knob.json"}) {
    CHECK(read_teacher(kFolder / name).recurrent);
    CHECK(read_teacher(kFolder / name).weights > 20);
  }
  Teacher full;
  full.weights = 12146;
  CHECK(estimated_teacher_ns(full) == 760);
  full.weights = 13802;
  CHECK(estimated_teacher_ns(full) == Approx(508).epsilon(0.01));
  full.weights = 70, full.recurrent = true;
  CHECK(estimated_teacher_ns(full) == Approx(58).epsilon(0.01));
}

TEST_CASE("a cheap capture gets the smallest size that is good enough") {
  const std::vector<Take> takes = clipped_noise();
  const auto good = choose_size(takes, usual_settings(), 58, {}, 1.2e7);
  REQUIRE(good);
  INFO(trials_text(*good));
  REQUIRE(good->trials.size() == 1);
  CHECK(good->trials[0].esr <= 2e-3);
  CHECK(good->settings.shape == Shape{8, 1, 1});
  CHECK(good->settings.slow_trial_frames > 1e300);
  CHECK(good->settings.frames == kAny);

  const auto poor = choose_size(takes, usual_settings(), 58, {}, 2e5);
  REQUIRE(poor);
  CHECK(poor->trials.size() == 2);
  CHECK(poor->trials[1].esr > 2e-3);
  CHECK(poor->settings.shape == Shape{8, 4, 6});
  CHECK(trials_text(*poor).starts_with("8 x 1 x 1 0."));
}

TEST_CASE("an expensive capture gets more layers if they lower the error") {
  const std::vector<Take> takes = clipped_noise();
  const auto choice = choose_size(takes, usual_settings(), 760, {}, 2e5);
  REQUIRE(choice);
  REQUIRE(choice->trials.size() == 2);
  CHECK(choice->trials[1].shape == Shape{8, 4, 12, 0, 0, 64});
  const bool pays = choice->trials[1].esr < 0.85 * choice->trials[0].esr;
  CHECK(choice->settings.shape == Shape{8, 4, pays ? 12u : 6u});
  CHECK(estimated_model_ns(choice->trials[1].shape) <= 0.2 * 760);
  CHECK(estimated_model_ns({8, 4, 6}) == Approx(67).epsilon(0.02));
  CHECK(estimated_model_ns({8, 1, 1}) == Approx(15).epsilon(0.02));
  SECTION("not beyond a fifth of its cost") {
    const auto same = choose_size(takes, usual_settings(), 480, {}, 2e5);
    REQUIRE(same);
    CHECK(same->trials.empty());
    CHECK(same->settings.shape == Shape{8, 4, 6});
  }
  SECTION("not for a short training") {
    TrainingSettings brief = usual_settings();
    brief.frames = 3e6;
    CHECK(choose_size(takes, brief, 760, {}, 2e5)->trials.empty());
  }
  SECTION("unless it is stopped") {
    CHECK_FALSE(choose_size(
        takes, usual_settings(), 760, [] { return true; }, 2e5));
  }
}
