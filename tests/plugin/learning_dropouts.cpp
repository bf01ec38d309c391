// Missed deadlines of an audio thread with and without a learning, with all cores busy. Only measured, not tested:
// `plugin_tests "[.dropouts]"`.
#include <atomic>
#include <catch2/catch.hpp>
#include <chrono>
#include <thread>
#include <vector>

#include "plugin/processor.h"
#include "tests/plugin/processor_calls.h"
#include "tests/plugin/sessions.h"
#include "tests/plugin/simulated_device.h"

namespace {

using namespace coil;
using Clock = std::chrono::steady_clock;

constexpr double kRate = 48000, kSeconds = 4;
constexpr double kPatienceS = 20;  // per model: on a busy machine, the learning may get no processor time for this long
constexpr int kBlock = 128, kRounds = 4;

struct Deadlines {
  int blocks = 0, missed = 0;
  double worst_ms = 0;  // after the deadline
};

// In real time: a block is late if it is complete only after the next one should start.
void play(plugin::Processor& processor, const test::Device& device, Deadlines& result) {
  juce::AudioBuffer<float> audio(2, kBlock);
  juce::MidiBuffer midi;
  const auto block_time = std::chrono::duration<double>(kBlock / kRate);
  auto next = Clock::now();
  size_t at = 0;
  for (int i = 0; i < int(kSeconds * kRate / kBlock); ++i, at = (at + kBlock) % (device.dry.size() - kBlock)) {
    std::this_thread::sleep_until(next);
    audio.copyFrom(0, 0, &device.dry[at], kBlock);
    audio.copyFrom(1, 0, &device.wet[at], kBlock);
    processor.processBlock(audio, midi);
    next += std::chrono::duration_cast<Clock::duration>(block_time);
    const double late_ms = std::chrono::duration<double, std::milli>(Clock::now() - next).count();
    ++result.blocks;
    if (late_ms > 0) ++result.missed, result.worst_ms = std::max(result.worst_ms, late_ms), next = Clock::now();
  }
}

TEST_CASE("missed deadlines with and without a learning", "[.dropouts]") {
  const int busy_threads = GENERATE(0, 2);
  const test::Device device(9 * size_t(kRate));
  std::atomic<bool> done{false};
  std::vector<std::thread> busy;
  for (int i = 0; i < busy_threads; ++i)
    busy.emplace_back([&] {
      for (volatile double x = 1; !done;) x = x * 1.0000001;
    });
  plugin::Processor processor;
  juce::AudioProcessor::BusesLayout layout;
  layout.inputBuses = {juce::AudioChannelSet::mono(), juce::AudioChannelSet::mono()};
  layout.outputBuses = {juce::AudioChannelSet::mono()};
  REQUIRE(processor.setBusesLayout(layout));
  processor.prepareToPlay(kRate, kBlock);
  test::load(processor, 0, juce::File(test::overdrive_path().string()));
  Deadlines without, with;
  int rounds_with_model = 0;
  for (int round = 0; round < kRounds; ++round) {
    play(processor, device, without);
    processor.learn_settings().million_frames = 100000;
    processor.start_learning(plugin::Processor::LearnFrom::playing);
    Deadlines ignored;
    for (double waited_s = 0; waited_s < kPatienceS && !processor.learn_status().has_model; waited_s += kSeconds)
      play(processor, device, ignored);
    rounds_with_model += processor.learn_status().has_model ? 1 : 0;
    play(processor, device, with);
    processor.discard_learned();
  }
  done = true;
  for (std::thread& thread : busy) thread.join();
  WARN(busy_threads << " busy threads: without a learning " << without.missed << " of " << without.blocks
                    << " blocks missed, worst by " << without.worst_ms << " ms; with one " << with.missed << " of "
                    << with.blocks << ", worst by " << with.worst_ms << " ms; it had a model in " << rounds_with_model
                    << " of " << kRounds << " rounds");
}

}  // namespace
