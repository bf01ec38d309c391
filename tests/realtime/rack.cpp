// Rack::process stays real-time safe while another thread loads models and changes every setting.
#include <algorithm>
#include <atomic>
#include <catch2/catch.hpp>
#include <limits>
#include <thread>
#include <vector>

#include "dsp/model_stage.h"
#include "dsp/rack.h"
#include "tests/realtime/chains.h"
#include "tests/realtime/forbidden_calls.h"
#include "tests/realtime/networks.h"
#include "tests/realtime/system_calls.h"
#include "tests/support/runs.h"

namespace {

using namespace coil;

constexpr int kBlocks[] = {64, 0, 1, 3, 1000, 64, 2000};

// A prepared rack, two channels of sound with non-finite values, and typical blocks of a host.
class Host {
 public:
  explicit Host(double rate_hz) {
    test::Random random(1);
    sound_ = test::random_signal(4000, random);
    sound_[10] = std::numeric_limits<float>::quiet_NaN();
    sound_[2020] = 1e38f;
    frames_.resize(sound_.size());
    rack.prepare({rate_hz, 64, 2});
  }

  void play(int rounds) noexcept {
    for (int i = 0; i < rounds; ++i) {
      for (const int frames : kBlocks) {
        std::copy(sound_.begin(), sound_.end(), frames_.begin());
        float* const channels[] = {frames_.data(), frames_.data() + 2000};
        rack.process({channels, 2, frames});
      }
    }
  }

  // The i-th possible action of a user.
  void change(int i, const std::vector<test::Network>& networks) {
    dsp::RackSettings& settings = rack.settings();
    settings.active_slot = i / 3 % 2;
    settings.bypass = i % 7 == 0;
    settings.mute = i % 9 == 0;
    settings.calibrated = i % 2 == 0;
    settings.input_dbu = static_cast<float>(i % 20);
    settings.mix = static_cast<float>(i % 5) / 4;
    settings.gate_db = i % 2 ? -100.0f : -20.0f;
    settings.channels = static_cast<dsp::ChannelMode>(i % 4);
    settings.normalise = i % 4 < 2;
    settings.input_db = static_cast<float>(i % 13) - 6;
    for (auto& control : settings.controls[static_cast<size_t>(i % 2)]) control = static_cast<float>(i % 10);
    const auto& model = networks[static_cast<size_t>(i) % networks.size()].model;
    rack.load(i % 2, i % 11 == 0 ? nullptr : model);
    settings.tail.on = i % 3 != 0;
    settings.equaliser.on = i % 2 == 0;
    settings.equaliser.bands[static_cast<size_t>(i % 4)].gain_db = static_cast<float>(i % 24) - 12;
    rack.load_tail([i] {
      return dsp::Chain(i % 3 == 0 ? std::vector<dsp::Stage>() : test::stages_without_latency(i % 2 ? 5000 : 10));
    });
    rack.set_stages(stages(i, model));
    settings.further[static_cast<size_t>(i % 4)].on = i % 3 != 0;
    settings.further[static_cast<size_t>(i % 4)].mix = static_cast<float>(i % 3) / 2;
    if (i % 3 == 0) rack.collect();
  }

  // The i-th list: the usual three stages and up to six of all kinds, in another order each time.
  static std::vector<dsp::RackStage> stages(int i, const std::shared_ptr<const ssm::Model>& model) {
    std::vector<dsp::RackStage> list{{dsp::kModelsStage, {}, {}, 0}, {dsp::kTailStage, {}, {}, 0}};
    for (int number = 0; number < 6; ++number) {
      if ((i + number) % 3 == 0) continue;
      const auto version = static_cast<uint64_t>(i / 4);
      list.insert(list.begin() + (i + 2 * number) % static_cast<int>(list.size()),
                  {number, "stage", [number, model] { return stage(number, model); }, version});
    }
    return list;
  }

  static std::unique_ptr<dsp::AudioProcessor> stage(int kind, const std::shared_ptr<const ssm::Model>& model) {
    if (kind == 5) return std::make_unique<dsp::ModelStage>(model, std::span<const float>(), dsp::ModelStageSettings());
    return std::move(test::stages_without_latency(3000)[static_cast<size_t>(kind)].processor);
  }

  dsp::Rack rack;

 private:
  std::vector<float> sound_, frames_;  // both channels, one after another
};

std::vector<test::Network> playable() {
  auto networks = test::networks(ssm::InputKind::frames, 60);
  std::erase_if(networks, [](const test::Network& network) {
    const size_t width = test::width_in(*network.model);
    return width != test::width_out(*network.model) || width > 2 ||
           network.model->card().controls.size() > dsp::kMaxRackControls;
  });
  return networks;
}

TEST_CASE("a rack uses no heap, locks or exceptions while another thread swaps its models") {
  const auto networks = playable();
  REQUIRE(networks.size() > 3);
  for (const double rate_hz : {44100.0, 48000.0}) {
    Host host(rate_hz);
    std::atomic<bool> done{false};
    std::thread loader([&] {
      for (int i = 0; i < 60; ++i) host.change(i, networks);
      done = true;
    });
    std::string calls;
    while (!done) {
      if (calls.empty()) calls = test::forbidden_calls([&] { host.play(3); });
    }
    loader.join();
    CHECK(calls == "");
    CHECK(test::forbidden_calls([&] { host.rack.reset(); }) == "");
  }
}

TEST_CASE("each kind of stage uses no heap, locks or exceptions when it is added, moved, mixed, replaced and removed") {
  const auto networks = playable();
  const dsp::RackStage models{dsp::kModelsStage, {}, {}, 0};
  for (int kind = 0; kind < 6; ++kind) {
    for (const double rate_hz : {44100.0, 48000.0}) {
      Host host(rate_hz);
      const auto stage = [&](uint64_t version) -> dsp::RackStage {
        return {0, "stage", [&] { return Host::stage(kind, networks[1].model); }, version};
      };
      const auto plays = [&](std::vector<dsp::RackStage> list) {
        INFO("kind " << kind << ", " << rate_hz << " Hz");
        host.rack.set_stages(std::move(list));
        CHECK(test::forbidden_calls([&] { host.play(1); }) == "");
        host.rack.settings().further[0].on = !host.rack.settings().further[0].on;
        host.rack.settings().further[0].mix = 0.5f;
        CHECK(test::forbidden_calls([&] { host.play(1); }) == "");
      };
      plays({stage(1), models});
      plays({models, stage(1)});
      plays({models, stage(2)});
      plays({models});
    }
  }
}

TEST_CASE("a rack makes no system call while it takes, fades and gives back models") {
  test::Watch watch = test::Watch::filter;
  if (!test::system_calls(watch, [] {})) watch = test::Watch::tracer;
  if (!test::system_calls(watch, [] {})) {
    WARN("skipped: neither a seccomp filter nor ptrace is allowed here");
    return;
  }
  const auto networks = playable();
  Host host(44100);
  for (int i = 0; i < 12; ++i) {
    host.change(2 * i, networks);
    host.change(2 * i + 1, networks);
    // The watched child process plays a copy of the rack, with waiting models in both slots.
    const auto work = [&] {
      host.play(3);
      host.rack.settings().active_slot = 1 - host.rack.settings().active_slot;
      host.play(3);
      host.rack.reset();
    };
    CHECK(test::system_calls(watch, work).value() == "");
    host.play(1);
  }
}

}  // namespace
