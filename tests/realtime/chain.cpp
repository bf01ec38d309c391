// A chain of all stages stays real-time safe while its settings change.
#include <catch2/catch.hpp>
#include <limits>
#include <memory>
#include <vector>

#include "dsp/chain.h"
#include "dsp/equaliser.h"
#include "dsp/model_processor.h"
#include "tests/realtime/chains.h"
#include "tests/realtime/forbidden_calls.h"
#include "tests/realtime/networks.h"
#include "tests/realtime/system_calls.h"
#include "tests/support/runs.h"

namespace {

using namespace coil;

// One of each stage, and typical blocks of a host.
class Host {
 public:
  Host() : chain_(stages()) {
    test::Random random(1);
    sound_ = test::random_signal(4000, random);
    sound_[10] = std::numeric_limits<float>::quiet_NaN();
    frames_.resize(sound_.size());
    chain_.prepare({48000, 64, 2});
  }

  void play() noexcept {
    for (const int frames : {64, 0, 1, 3, 1000, 64, 2000}) {
      std::copy(sound_.begin(), sound_.end(), frames_.begin());
      float* const channels[] = {frames_.data(), frames_.data() + 2000};
      chain_.process({channels, 2, frames});
      chain_.set_bypassed(static_cast<size_t>(moves_ % 5), moves_ % 2 == 0);
      chain_.set_mix(static_cast<size_t>(moves_ % 3), 0.5f);
      dsp::EqualiserSettings settings;
      settings.bands[static_cast<size_t>(moves_ % 4)].gain_db = static_cast<float>(moves_ % 20) - 10;
      settings.low_cut_hz = moves_ % 3 ? 0.0f : 100.0f;
      static_cast<dsp::Equaliser&>(chain_.processor(2)).set(settings);
      ++moves_;
    }
  }

  void reset() noexcept { chain_.reset(); }

 private:
  static std::vector<dsp::Stage> stages() {
    const auto model = ssm::Model::load(ssm::Checkpoint::open(COIL_PRESETS_DIR "/green_overdrive.safetensors"));
    std::vector<dsp::Stage> stages = test::stages_without_latency(9000);
    stages.push_back({"model", std::make_unique<dsp::ModelProcessor>(model)});
    return stages;
  }

  dsp::Chain chain_;
  std::vector<float> sound_, frames_;  // both channels, one after another
  int moves_ = 0;
};

TEST_CASE("a chain uses no heap, locks, exceptions or system calls") {
  Host host;
  // Also in the first round: nothing is deferred to the first block.
  CHECK(test::forbidden_calls([&] { host.play(); }) == "");
  CHECK(test::forbidden_calls([&] { host.play(), host.reset(), host.play(); }) == "");

  test::Watch watch = test::Watch::filter;
  if (!test::system_calls(watch, [] {})) watch = test::Watch::tracer;
  const auto calls = test::system_calls(watch, [&] { host.play(), host.reset(), host.play(); });
  if (!calls) {
    WARN("skipped: neither a seccomp filter nor ptrace is allowed here");
    return;
  }
  CHECK(*calls == "");
}

}  // namespace
