// What the built plugin costs in a host beside the bare model: time per frame, to be found, to be loaded. Alternating rounds, the best of each.
#include <algorithm>
#include <catch2/catch.hpp>
#include <chrono>
#include <cstdio>
#include <functional>

#include "dsp/model_processor.h"
#include "tests/plugin/hosted_plugin.h"
#include "tests/plugin/sessions.h"

namespace {

using namespace coil;

constexpr double kRate = 48000;
constexpr int kBlock = 64, kBlocks = 750;  // a second a round
constexpr int kRounds = 15;

double milliseconds(const std::function<void()>& work) {
  const auto begin = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin).count();
}

double best_of(int times, const std::function<void()>& work) {
  double best = 1e30;
  for (int i = 0; i < times; ++i) best = std::min(best, milliseconds(work));
  return best;
}

TEST_CASE("the overdrive in a host, 48 kHz, blocks of 64") {
  for (const int channels : {1, 2}) {
    dsp::ModelProcessor bare(ssm::Model::load(test::overdrive_path()));
    bare.prepare({kRate, kBlock, channels});
    const test::Planes sound = test::noise(size_t(channels), size_t(kBlock));
    test::HostedPlugin vst3("VST3", kRate, kBlock, channels), lv2("LV2", kRate, kBlock, channels);
    juce::AudioBuffer<float> audio(channels, kBlock);
    juce::MidiBuffer midi;
    const auto fill = [&] {
      for (int c = 0; c < channels; ++c) audio.copyFrom(c, 0, sound[size_t(c)].data(), kBlock);
    };
    for (auto* plugin : {&vst3, &lv2}) plugin->open(test::overdrive_session());
    double best[3] = {1e30, 1e30, 1e30};
    for (int round = 0; round < kRounds; ++round) {
      const auto play = [&](double& into, const auto& process) {
        into = std::min(into, milliseconds([&] {
                          for (int i = 0; i < kBlocks; ++i) fill(), process();
                        }));
      };
      play(best[0], [&] { bare.process({audio.getArrayOfWritePointers(), channels, kBlock}); });
      play(best[1], [&] { vst3->processBlock(audio, midi); });
      play(best[2], [&] { lv2->processBlock(audio, midi); });
    }
    const char* names[] = {"bare model", "VST3", "LV2"};
    for (int i = 0; i < 3; ++i)
      std::printf("%d channel%s, %-10s %6.1f ns a frame, %+5.1f %%\n", channels, channels == 1 ? " " : "s", names[i],
                  best[i] * 1e6 / (kBlock * kBlocks), 100 * (best[i] / best[0] - 1));
  }
}

TEST_CASE("found and loaded") {
  for (const char* format : {"VST3", "LV2"}) {
    const double found = best_of(5, [&] { test::scan(format); });
    const double made = best_of(5, [&] { test::HostedPlugin(format, kRate, kBlock); });
    test::HostedPlugin plugin(format, kRate, kBlock);
    const double opened = best_of(5, [&] { plugin.open(test::overdrive_session()); });
    std::printf("%s: found in %.0f ms; found, made and prepared in %.0f ms; a session with the overdrive opens in %.0f ms\n", format, found, made, opened);
  }
}

}  // namespace
