// The cost of the built plugin in a host, compared with the bare model: time per frame, to be found, to be loaded.
// Rounds alternate. The output gives the best round of each, and the median of the ratio of adjacent rounds, which a
// changing clock rate does not affect.
#include <algorithm>
#include <catch2/catch.hpp>
#include <cstdio>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "dsp/model_processor.h"
#include "tests/bench/alternating.h"
#include "tests/plugin/hosted_plugin.h"
#include "tests/plugin/sessions.h"

namespace {

using namespace coil;

constexpr double kRate = 48000;
constexpr int kBlock = 64, kBlocks = 75;  // a tenth of a second, so that few rounds are interrupted
constexpr int kRounds = 300;
constexpr int kMostPorts = 4;  // of the LV2, with the side chain

double best_of(int times, const std::function<void()>& work) {
  double best = 1e30;
  for (int i = 0; i < times; ++i) best = std::min(best, bench::milliseconds(work));
  return best;
}

TEST_CASE("the overdrive in a host, 48 kHz, blocks of 64") {
  for (const int channels : {1, 2}) {
    dsp::ModelProcessor bare(ssm::Model::load(test::overdrive_path()));
    bare.prepare({kRate, kBlock, channels});
    const test::Planes sound = test::noise(size_t(channels), size_t(kBlock));
    juce::AudioBuffer<float> audio(std::max(channels, kMostPorts), kBlock);
    audio.clear();
    juce::MidiBuffer midi;
    const auto round_of = [&](std::function<void()> process) {
      return [&, process = std::move(process)] {
        for (int i = 0; i < kBlocks; ++i) {
          for (int c = 0; c < channels; ++c) audio.copyFrom(c, 0, sound[size_t(c)].data(), kBlock);
          process();
        }
      };
    };
    std::vector<bench::Candidate> candidates;
    candidates.push_back({"bare model",
                          round_of([&] {
                            bare.process({audio.getArrayOfWritePointers(), channels, kBlock});
                          }),
                          {}});
    std::vector<std::unique_ptr<test::HostedPlugin>> plugins;
    for (const char* format : {"VST3", "LV2"}) {
      if (channels == 1 && format == std::string("LV2")) continue;  // its ports are fixed
      auto& plugin = *plugins.emplace_back(std::make_unique<test::HostedPlugin>(format, kRate, kBlock, channels));
      plugin.open(test::overdrive_session());
      candidates.push_back({format, round_of([&] { plugin->processBlock(audio, midi); }), {}});
    }
    bench::alternate(candidates, kRounds);
    for (const bench::Candidate& candidate : candidates) {
      std::vector<double> ratios;
      for (size_t i = 0; i < candidate.rounds_ms.size(); ++i)
        ratios.push_back(candidate.rounds_ms[i] / candidates[0].rounds_ms[i]);
      std::printf("%d channel%s, %-10s %6.1f ns a frame, %+5.1f %%\n", channels, channels == 1 ? " " : "s",
                  candidate.name.c_str(), candidate.best_ms() * 1e6 / (kBlock * kBlocks),
                  100 * (bench::median(ratios) - 1));
    }
  }
}

TEST_CASE("found and loaded") {
  for (const char* format : {"VST3", "LV2"}) {
    const double found = best_of(5, [&] { test::scan(format); });
    const double made = best_of(5, [&] { test::HostedPlugin(format, kRate, kBlock); });
    test::HostedPlugin plugin(format, kRate, kBlock);
    plugin.open(test::overdrive_session());
    const juce::MemoryBlock overdrive = plugin.state();
    const double opened =
        best_of(5, [&] { plugin->setStateInformation(overdrive.getData(), int(overdrive.getSize())); });
    std::printf(
        "%s: found in %.0f ms; found, made and prepared in %.0f ms; a session with the overdrive opens in %.0f ms\n",
        format, found, made, opened);
  }
}

}  // namespace
