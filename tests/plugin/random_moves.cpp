// A thousand random moves of a player while the sound goes on: no click, no forbidden call, no growth of memory.
#include <catch2/catch.hpp>
#include <cmath>
#include <deque>
#include <functional>
#include <random>

#ifdef __GLIBC__
#include <malloc.h>
#endif

#include "plugin/stage_values.h"
#include "tests/plugin/processor_calls.h"
#include "tests/plugin/sessions.h"
#include "tests/realtime/forbidden_calls.h"

namespace {

using namespace coil;
using plugin::Processor;
using test::finish, test::open, test::set;

constexpr double kRate = 48000, kToneHz = 110, kPi = 3.14159265358979;
constexpr int kAnnounced = 512, kMostFrames = 8192;
constexpr double kLoudestClick = 1e-3;  // -60 dB of full scale
// Sanitizers run some ten times slower.
constexpr int kRounds = 2, kMoves = COIL_COUNTS_HEAP ? 500 : 60;

juce::File preset(const char* name) { return juce::File((test::overdrive_path().parent_path() / name).string()); }

// What a low tone cannot contain: the signal after a steep high-pass filter, a cascade of first differences. A jump
// gives its own height.
class Clicks {
 public:
  double of(float sample) {
    double rest = double(sample);
    for (double& before : before_) {
      const double difference = (rest - before) / 2;
      before = rest;
      rest = difference;
    }
    constexpr double kOfJump = 35.0 / 256;  // of order 8
    return std::abs(rest) / kOfJump;
  }

 private:
  std::array<double, 8> before_{};
};

// A player with a seed, whose moves stay at levels at which no stage clips.
class Player {
 public:
  Player(Processor& processor, unsigned seed) : processor_(processor), random_(seed) {}

  // Its name, for messages.
  std::string move() {
    const auto& [name, act] = moves_[size_t(below(int(moves_.size())))];
    act();
    return name;
  }
  int below(int count) { return std::uniform_int_distribution<int>(0, count - 1)(random_); }

 private:
  float among(std::initializer_list<float> values) { return values.begin()[below(int(values.size()))]; }
  bool coin() { return below(2) == 0; }
  void put(juce::RangedAudioParameter& parameter, float value) { set(parameter, parameter.convertTo0to1(value)); }
  int stage() {
    const auto all = processor_.stages();
    return all[size_t(below(int(all.size())))].number;
  }
  juce::File model() { return preset(coin() ? "green_overdrive.safetensors" : "clean_preamp.safetensors"); }
  juce::File cone() { return preset(coin() ? "cabinets/british_4x12_edge.wav" : "cabinets/american_1x12_centre.wav"); }

  void add() {
    const int place = below(int(processor_.stages().size()) + 1);
    const int kind = below(5);
    if (kind == 0) return processor_.add_stage(model(), place);
    if (kind == 1) return processor_.add_stage(cone(), place);
    dsp::RigStage stage;
    stage.name = "added";
    if (kind == 2) stage.kind = dsp::RigGain{among({-2, 2})};
    if (kind == 3) stage.kind = dsp::RigGate{-90};
    if (kind == 4) stage.kind = dsp::EqualiserSettings{};
    processor_.add_stage(stage, place);
  }

  void turn_value() {
    const int number = stage();
    const auto further = processor_.further_stage_at(number);
    if (!further) return;
    const auto values = plugin::values_of(*further);
    if (values.empty()) return;
    const auto& value = values[size_t(below(int(values.size())))];
    const bool is_level = value.unit == "dB" || value.unit == "dBFS";
    dsp::RigStage settings = further->rig;
    value.set(settings, is_level ? std::clamp(double(among({-3, 0, 3})), value.min, value.max)
                                 : value.min + (value.max - value.min) * double(among({0.25f, 0.5f, 0.75f})));
    if (value.unit == "dBFS") value.set(settings, -90);
    processor_.edit_stage(number, settings, coin());
  }

  void turn_power() {
    const int number = stage();
    auto& p = processor_.parameters();
    put(number >= 0                   ? *p.further[size_t(number)].on
        : number == dsp::kModelsStage ? *p.model_on
        : number == dsp::kTailStage   ? *p.cabinet_on
                                      : *p.equaliser_on,
        coin() ? 1.0f : 0.0f);
  }

  Processor& processor_;
  std::mt19937 random_;
  const std::vector<std::pair<std::string, std::function<void()>>> moves_{
      {"load a model", [this] { processor_.load_file(below(2), model()); }},
      {"other slot", [this] { processor_.set_active_slot(below(2)); }},
      {"copy the slot", [this] { processor_.copy_to_other_slot(); }},
      {"next model",
       [this] { processor_.audition(model()), coin() ? processor_.keep_audition() : processor_.cancel_audition(); }},
      {"add a stage", [this] { add(); }},
      {"add a stage", [this] { add(); }},
      {"remove a stage", [this] { processor_.remove_stage(stage()); }},
      {"move a stage", [this] { processor_.move_stage(stage(), below(8)); }},
      {"value of a stage", [this] { turn_value(); }},
      {"power", [this] { turn_power(); }},
      {"mix of a stage",
       [this] {
         put(*processor_.parameters().further[size_t(below(8))].mix, among({0, 50, 100}));
       }},
      {"mix",
       [this] {
         put(*processor_.parameters().mix, among({40, 70, 100}));
       }},
      {"gain",
       [this] {
         put(*processor_.parameters().input_gain, among({-6, -3, 0}));
       }},
      {"knob",
       [this] {
         set(*processor_.parameters().controls[size_t(below(2))], among({0.2f, 0.4f, 0.6f}));
       }},
      {"bypass", [this] { put(*processor_.parameters().bypass, coin() ? 1.0f : 0.0f); }},
      {"equaliser",
       [this] {
         put(*processor_.parameters().bands[size_t(below(4))].gain, among({-6, 0, 3}));
       }},
      {"store", [this] { processor_.store_snapshot(1 + below(4)); }},
      {"recall", [this] { processor_.recall_snapshot(1 + below(4)); }},
      {"microphone", [this] { processor_.load_response(below(2), cone()); }},
      {"blend",
       [this] {
         processor_.set_microphone(below(2), {among({-6, 0}), among({-1, 0, 1}), among({0, 1}), coin()});
       }},
      {"no microphone", [this] { processor_.clear_response(below(2)); }},
      {"undo", [this] { processor_.undo(); }},
      {"redo", [this] { processor_.redo(); }},
  };
};

size_t heap_bytes() {
#if defined(__GLIBC__) && COIL_COUNTS_HEAP
  return mallinfo2().uordblks;
#else
  return 0;
#endif
}

TEST_CASE("a thousand random moves in blocks of 0 to 8192 frames: no click, no forbidden call, no growth") {
  const plugin::Session beginning = test::overdrive_session();
  Processor processor;
  processor.prepareToPlay(kRate, kAnnounced);
  open(processor, beginning);
  Player player(processor, 7);
  juce::AudioBuffer<float> whole(2, kMostFrames);
  juce::MidiBuffer midi;
  std::array<Clicks, 2> clicks;
  std::deque<std::string> latest;
  double loudest_click = 0, peak = 0;
  int64_t frame = 0;
  bool finite = true;
  const auto play = [&](int frames) {
    juce::AudioBuffer<float> audio(whole.getArrayOfWritePointers(), 2, frames);
    for (int i = 0; i < frames; ++i) {
      const auto sample = float(0.1 * std::sin(2 * kPi * kToneHz / kRate * double(frame + i)));
      for (int c = 0; c < 2; ++c) audio.setSample(c, i, sample);
    }
    const std::string calls = test::forbidden_calls([&] { processor.processBlock(audio, midi); });
    if (!calls.empty()) FAIL_CHECK("forbidden calls: " << calls);
    double click = 0;
    for (int c = 0; c < 2; ++c)
      for (int i = 0; i < frames; ++i) {
        const float sample = audio.getSample(c, i);
        finite &= std::isfinite(sample);
        peak = std::max(peak, std::abs(double(sample)));
        const double here = clicks[size_t(c)].of(sample);
        if (frame + i > 100) click = std::max(click, here);
      }
    frame += frames;
    loudest_click = std::max(loudest_click, click);
    if (click > kLoudestClick) {
      std::string moves;
      for (const std::string& each : latest) moves += each + "; ";
      FAIL_CHECK("a click of " << 20 * std::log10(click) << " dB after: " << moves);
    }
  };
  std::array<size_t, kRounds> heap{};
  for (int round = 0; round < kRounds; ++round) {
    for (int i = 0; i < kMoves; ++i) {
      latest.push_back(player.move());
      if (latest.size() > 6) latest.pop_front();
      if (player.below(3) == 0) finish();
      if (player.below(4) == 0) test::run_messages(1);
      play(player.below(player.below(2) == 0 ? kAnnounced : kMostFrames + 1));
    }
    // Back to the beginning, with as much history in each round.
    finish();
    open(processor, beginning);
    finish();
    for (int i = 0; i < 40; ++i) play(kAnnounced);
    test::run_messages(120);  // until the background has freed what was given back
    heap[size_t(round)] = heap_bytes();
  }
  CHECK(finite);
  CHECK(peak < 4);
  CHECK(heap[1] < heap[0] + (size_t{1} << 20));
  WARN("loudest click " << 20 * std::log10(loudest_click) << " dB, peak " << peak << ", heap " << heap[0] << " and "
                        << heap[1] << " bytes");
}

}  // namespace
