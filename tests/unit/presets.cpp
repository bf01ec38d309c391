// Every shipped preset loads, has a complete card, and gives the output of the reference.
#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <filesystem>

#include "sensor/scoring/normaliser.h"
#include "ssm/verify/reference.h"
#include "ssm/run/stream.h"
#include "tests/support/random_network.h"
#include "tests/support/worst.h"

#ifdef __x86_64__
#include <xmmintrin.h>
#endif

namespace {

using namespace coil;

std::vector<std::filesystem::path> shipped() {
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(COIL_PRESETS_DIR))
    if (entry.path().extension() == ".safetensors") files.push_back(entry.path());
  return files;
}

constexpr double kNudge = 0x1p-24;  // the rounding of a sample near full scale
constexpr double kSteps = 200;  // accumulated roundings: of tens of modes and six layers, for values that cancel later

bool is_forecaster(const ssm::Model& model) { return model.card().task == "forecast"; }

// Typical input of such a model, as frames: sound, or a noisy season with a step and missing values, after the
// normaliser.
std::vector<float> signal_for(const ssm::Model& model, size_t frames, test::Random& random) {
  const size_t width = size_t(model.config().d_input);
  if (!is_forecaster(model)) return test::random_signal(frames * width, random);
  REQUIRE(width == sensor::kFrameWidth);
  const std::vector<float> noise = test::random_signal(frames, random);
  sensor::Normaliser normaliser;
  std::vector<float> signal;
  for (size_t t = 0; t < frames; ++t) {
    const double value = 100 + 10 * std::sin(0.26 * double(t)) + 3 * double(noise[t]) + (t > frames / 2 ? 40 : 0);
    const sensor::Frame frame = t % 97 == 96 ? normaliser.miss() : normaliser.observe(value);
    signal.insert(signal.end(), frame.begin(), frame.end());
  }
  return signal;
}

}  // namespace

TEST_CASE("presets are shipped, each with a card to read beside it") {
  REQUIRE_FALSE(shipped().empty());
  for (const auto& path : shipped()) {
    INFO(path.string());
    CHECK(std::filesystem::exists(std::filesystem::path(path).replace_extension(".md")));
    const auto model = ssm::Model::load(path);
    const ssm::Card& card = model->card();
    CHECK_FALSE(card.name.empty());
    CHECK_FALSE(card.task.empty());
    CHECK_FALSE(card.licence.empty());
    if (is_forecaster(*model))
      CHECK(card.json.find("quantiles") != std::string::npos);
    else
      CHECK(card.sample_rate_hz > 0);
    for (const char* key : {"training", "metrics"}) CHECK(card.json.find(key) != std::string::npos);
  }
}

TEST_CASE(
    "presets run as the reference does, at both ends of every control, at the upper one with steps rescaled to twice "
    "the rate, where that can be") {
  for (const auto& path : shipped()) {
    INFO(path.string());
    const ssm::Checkpoint checkpoint = ssm::Checkpoint::open(path);
    const auto own = ssm::Model::load(checkpoint);
    const double double_hz = 2 * own->config().sample_rate_hz;
    for (const bool high : {false, true}) {
      const bool rescaled = high && ssm::steps_obstacle(own->config(), double_hz).empty();
      const auto model = rescaled ? own->at_rate(double_hz) : own;
      std::vector<float> controls;
      for (const ssm::Control& control : model->card().controls)
        controls.push_back(float(high ? control.max : control.min));
      ssm::Stream stream(model);
      stream.state() = model->initial_state();  // the reference starts from zeros, not from the settled state
      stream.set_controls(controls);
      ssm::Reference reference(checkpoint, model->config().sample_rate_hz),
          nudged(checkpoint, model->config().sample_rate_hz);
      for (ssm::Reference* each : {&reference, &nudged})
        each->set_controls(std::vector<double>(controls.begin(), controls.end()));

      test::Random random(7);
      const size_t width = size_t(model->config().d_input), frames = 4000;
      const std::vector<float> in = signal_for(*model, frames, random);
      std::vector<float> out(frames * size_t(model->config().d_output));
      stream.process(in, out);
      double error = 0, peak = 1, sensitivity = 0;
      for (size_t t = 0; t < frames; ++t) {
        std::vector<double> frame(in.begin() + long(t * width), in.begin() + long((t + 1) * width));
        const std::vector<double> expected = reference.step(frame);
        for (double& value : frame) value += kNudge * (t % 2 ? 1 : -1);
        const std::vector<double> moved = nudged.step(frame);
        for (size_t c = 0; c < expected.size(); ++c) {
          test::take_worst(error, std::abs(expected[c] - double(out[t * expected.size() + c])));
          peak = std::max(peak, std::abs(expected[c]));
          sensitivity = std::max(sensitivity, std::abs(expected[c] - moved[c]));
        }
      }
      // the tolerance of golden files, plus the effect of the input's last bit in a high-gain device
      CHECK(error <= 1e-5 * peak + kSteps * sensitivity);
    }
  }
}

TEST_CASE(
    "a preset for sound begins at rest: in silence its output stays within -120 dBFS of where it ends up, at both ends "
    "of every control") {
  for (const auto& path : shipped()) {
    INFO(path.string());
    const auto model = ssm::Model::load(path);
    if (is_forecaster(*model)) continue;
    std::vector<const ssm::Control*> controls;
    for (const ssm::Control& control : model->card().controls)
      if (control.to == ssm::Control::To::network) controls.push_back(&control);
    for (size_t corner = 0; corner < size_t{1} << controls.size(); ++corner) {
      std::vector<float> values;
      for (const ssm::Control& control : model->card().controls) {
        const auto place = size_t(std::find(controls.begin(), controls.end(), &control) - controls.begin());
        values.push_back(float(place == controls.size() ? control.default_value
                               : corner >> place & 1    ? control.max
                                                        : control.min));
      }
      ssm::Stream stream(model, values);
      const size_t frames = size_t(5 * model->card().sample_rate_hz);
      const std::vector<float> silence(frames * size_t(model->config().d_input));
      std::vector<float> out(frames * size_t(model->config().d_output));
      stream.process(silence, out);
      float drift = 0;
      for (const float value : out) drift = std::max(drift, std::abs(value - out.back()));
      INFO("corner " << corner);
      CHECK(drift < 1e-6f);
    }
  }
}

#ifdef __x86_64__
TEST_CASE(
    "while a signal goes through a preset, the processor meets no denormals: some take a hundred times as long for "
    "them") {
  for (const auto& path : shipped()) {
    INFO(path.string());
    ssm::Stream stream(ssm::Model::load(path));
    test::Random random(8);
    constexpr size_t kFrames = 4000;
    const std::vector<float> signal = signal_for(stream.model(), kFrames, random);
    std::vector<float> out(kFrames * size_t(stream.model().config().d_output));
    constexpr unsigned kDenormalOperand = 2, kUnderflow = 16;
    const unsigned before = _mm_getcsr();
    _mm_setcsr(before & ~(kDenormalOperand | kUnderflow));
    stream.process(signal, out);
    const unsigned met = _mm_getcsr() & (kDenormalOperand | kUnderflow);
    _mm_setcsr(before);
    CHECK(met == 0);
  }
}
#endif
