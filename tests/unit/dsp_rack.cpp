// Rack: latency, blocks, routing, mix, bypass, gate, slots, loudness, and inputs that no one should send.
#include "dsp/rack.h"

#include <catch2/catch.hpp>
#include <limits>
#include <string>

#include "dsp/decibels.h"
#include "dsp/loudness.h"
#include "dsp/model_processor.h"
#include "dsp/tame.h"
#include "ssm/error.h"
#include "tests/support/matrix_model.h"
#include "tests/support/planes.h"
#include "tests/support/runs.h"

namespace {

using namespace coil;
using dsp::ChannelMode;
using dsp::Rack;
using test::Planes;
using test::Signal;

constexpr double kRate = 48000;
constexpr size_t kSecond = 48000;

std::shared_ptr<const ssm::Model> preset() {
  static const auto model = ssm::Model::load(COIL_PRESETS_DIR "/green_overdrive.safetensors");
  return model;
}

// y = gain x, made for 48 kHz.
std::shared_ptr<const ssm::Model> gain_model(float gain, const std::string& card = "") { return test::matrix_model(1, {gain}, kRate, card); }

// Says that it is late by so many frames; it is not.
std::shared_ptr<const ssm::Model> late_model(int frames, float gain = 1) {
  return gain_model(gain, R"({"name": "late", "sample_rate": 48000, "channels": 1, "latency_frames": )" + std::to_string(frames) + "}");
}

struct Options {
  double rate_hz = kRate;
  int channels = 1;
  bool normalise = false;
};

std::unique_ptr<Rack> rack_of(std::shared_ptr<const ssm::Model> first, std::shared_ptr<const ssm::Model> second = nullptr, Options options = {}) {
  auto rack = std::make_unique<Rack>();
  rack->settings().normalise = options.normalise;
  rack->prepare({options.rate_hz, 128, options.channels});
  rack->load(0, std::move(first));
  rack->load(1, std::move(second));
  return rack;
}

Signal late(const Signal& signal, int frames) {
  Signal out(signal.size());
  std::copy(signal.begin(), signal.end() - frames, out.begin() + frames);
  return out;
}


size_t impulse_at(const Signal& signal) {
  const auto larger = [](float a, float b) { return std::fabs(a) < std::fabs(b); };
  return static_cast<size_t>(std::ranges::max_element(signal, larger) - signal.begin());
}

TEST_CASE("wet, dry and bypassed, an impulse comes out exactly at the stated latency, at every host rate") {
  for (const double rate_hz : {22050.0, 44100.0, 48000.0, 96000.0, 192000.0}) {
    for (const bool late_other_slot : {false, true}) {
      const auto rack = rack_of(gain_model(1), late_other_slot ? late_model(100) : nullptr, {.rate_hz = rate_hz});
      const int latency = rack->latency_frames();
      INFO(rate_hz << " Hz, latency " << latency);
      CHECK((latency == 0) == (rate_hz == kRate && !late_other_slot));
      const size_t at = 5000;
      Signal impulse(20000);
      impulse[at] = 0.5f;
      for (const auto& [mix, bypass] : {std::pair{1.0f, false}, {0.0f, false}, {1.0f, true}}) {
        rack->settings().mix = mix;
        rack->settings().bypass = bypass;
        rack->reset();
        const Signal out = test::run_all(*rack, {impulse})[0];
        CHECK(impulse_at(out) == at + static_cast<size_t>(latency));
        if (mix == 0 || bypass || rate_hz == kRate) CHECK(test::same_bits(out, late(impulse, latency)));
      }
    }
  }
}

}  // namespace
