// How a learning goes: a simulated device is played in real time, and each better model is reported.
//
//   learning_bench SECONDS [THREADS [LOW]]     LOW: 1 lets its threads give way, as the plugin does
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <thread>
#include <vector>

#include "plugin/learn/learning.h"
#include "tests/plugin/simulated_device.h"

namespace {

using namespace coil;
using plugin::LearnInput, plugin::Learning, plugin::LearnStatus;
using Clock = std::chrono::steady_clock;

constexpr double kRate = 48000, kDeviceSeconds = 75;
constexpr size_t kBlock = 128;

// Calls the input as a host does, at a sound card's pace.
void play(LearnInput& input, const test::Device& device, const std::atomic<bool>& done) {
  std::vector<float> left(kBlock), right(kBlock);
  float* channels[] = {left.data(), right.data()};
  auto next = Clock::now();
  for (size_t at = 0; !done; at = (at + kBlock) % (device.dry.size() - kBlock)) {
    const float *dry = &device.dry[at], *wet = &device.wet[at];
    input.listen({{dry, dry}, {wet, wet}}, kBlock);
    input.play({channels, 2, int(kBlock)});
    next += std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(kBlock / kRate));
    std::this_thread::sleep_until(next);
  }
}

// Prints each new point of the curve.
void watch(const Learning& learning, double seconds) {
  size_t shown = 0;
  for (LearnStatus status = learning.status(); status.elapsed_s < seconds; status = learning.status()) {
    for (; shown < status.curve.size(); ++shown) {
      const capture::CurvePoint& point = status.curve[shown];
      std::printf("%6.1f s  %7.1f million frames  ESR %.2g  %s\n", point.seconds, point.frames / 1e6,
                  point.held_out_esr, status.has_model ? "heard" : "not heard yet");
      std::fflush(stdout);
    }
    if (status.stage == LearnStatus::Stage::done || status.stage == LearnStatus::Stage::failed) break;
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
}

}  // namespace

int main(int count, char** arguments) {
  const double seconds = count > 1 ? std::atof(arguments[1]) : 120;
  plugin::LearnSettings settings;
  settings.threads = count > 2 ? size_t(std::atoi(arguments[2])) : 1;
  settings.gives_way = count > 3 && std::atoi(arguments[3]) == 1;
  const test::Device device(size_t(kDeviceSeconds * kRate));
  LearnInput input;
  std::atomic<bool> done{false};
  std::thread audio([&] { play(input, device, done); });
  const auto learning = Learning::begin(input, kRate, {}, settings, [](const Learning::Bytes&) {});
  watch(*learning, seconds);
  const LearnStatus status = learning->status();
  std::printf("the dry signal itself: ESR %.2g; lost frames: %llu\n", status.esr_of_nothing,
              static_cast<unsigned long long>(status.lost_frames));
  learning->leave();
  done = true;
  audio.join();
}
