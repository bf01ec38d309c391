// The cost of captures: running each quality, and the speed of the trainer in frames per second and core, and as a
// share of the peak of multiply-adds measured in the same run.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "capture/model_file.h"
#include "capture/quality.h"
#include "capture/trainer/initial_parameters.h"
#include "capture/trainer/random.h"
#include "capture/trainer/trainer.h"
#include "dsp/model_processor.h"
#include "ssm/measure/roofline.h"
#include "ssm/run/model.h"
#include "ssm/machine/target.h"
#include "tests/support/temp_dir.h"

using namespace coil::capture;

namespace {

constexpr double kMillionFrames = 20;
constexpr int kRuns = 3;
constexpr int kBlockFrames = 256, kPlayRounds = 40, kBlocksPerRound = 100;

// Multiply-adds per frame: the forward pass runs 1.8 times, since the last frames of a segment are kept; tanh, loss and
// work between frames are not counted.
double multiply_adds(const Shape& s) {
  const double d = double(s.d_model), pairs = double(s.pairs), forward = d * (6 * pairs + 1) + 2 * d * d;
  const double backward = d * (14 * pairs + 2) + 4 * d * d + 2.5 * d;
  const double derivatives = 4 * d * pairs;
  return double(s.layers) * (1.8 * forward + derivatives + backward);
}

Take noise_take() {
  Random random{1};
  Take take;
  for (size_t t = 0; t < 480000; ++t) {
    take.dry.push_back(float(0.2 * random.normal()));
    take.wet.push_back(std::tanh(4 * take.dry.back()));
  }
  return take;
}

double frames_per_second(const Take& take, const Quality& quality, const std::string& target, size_t threads) {
  double best = 0;
  for (int run = 0; run < kRuns; ++run) {
    TrainingSettings settings;
    settings.shape = quality.shape;
    settings.frames = 1e6 * kMillionFrames;
    settings.threads = threads;
    settings.target = target;
    Trainer trainer({take}, settings);
    while (!trainer.done()) trainer.advance();
    best = std::max(best, trainer.state().frames / trainer.state().elapsed_s);
  }
  return best;
}

// Runs in blocks, as in a session at the model's rate.
class Player {
 public:
  Player(const Quality& quality, const std::filesystem::path& file) : name_(quality.name) {
    const ParameterMap map(quality.shape);
    const double rate = quality.sample_rate_hz;
    Random random{1};
    write_model(file, map, initial_parameters(map, random, rate), {}, rate, {}, {{"name", name_}});
    processor_.emplace(coil::ssm::Model::load(file));
    processor_->prepare({quality.sample_rate_hz, kBlockFrames, 1});
    for (int t = 0; t < kBlockFrames; ++t) noise_.push_back(float(0.2 * random.normal()));
  }

  void play() {
    const auto begin = std::chrono::steady_clock::now();
    for (int b = 0; b < kBlocksPerRound; ++b) {
      sound_ = noise_;
      float* channel = sound_.data();
      processor_->process({&channel, 1, kBlockFrames});
    }
    const std::chrono::duration<double, std::nano> took = std::chrono::steady_clock::now() - begin;
    best_ns_ = std::min(best_ns_, took.count() / (kBlocksPerRound * kBlockFrames));
  }

  void say() const { std::printf("%-9s %6.1f ns a frame\n", name_, best_ns_); }

 private:
  const char* name_;
  std::optional<coil::dsp::ModelProcessor> processor_;
  std::vector<float> noise_, sound_;
  double best_ns_ = HUGE_VAL;
};

// In alternation, so that all see the same machine; the minimum of many runs counts.
void bench_playing() {
  const coil::test::TempDir folder;
  std::vector<Player> players;
  for (const Quality& quality : qualities()) players.emplace_back(quality, folder.path() / "model.safetensors");
  for (int round = 0; round < kPlayRounds; ++round)
    for (Player& player : players) player.play();
  for (const Player& player : players) player.say();
}

}  // namespace

int main() {
  bench_playing();
  const Take take = noise_take();
  std::printf("%-9s %-9s %8s %16s %14s %10s\n", "target", "quality", "threads", "Mframes/s a core", "GMAC/s a core",
              "of peak");
  for (const coil::ssm::Target& target : coil::ssm::Target::all()) {
    for (const Quality& quality : qualities()) {
      for (const size_t threads : {1, 2}) {
        double mac_ns = coil::ssm::measure_arithmetic(target).mac_ns;
        const double frames = frames_per_second(take, quality, target.name(), threads) / double(threads);
        mac_ns = std::min(mac_ns, coil::ssm::measure_arithmetic(target).mac_ns);
        const double rate = frames * multiply_adds(quality.shape);
        std::printf("%-9s %-9s %8zu %16.2f %14.1f %9.0f%%\n", target.name(), quality.name, threads, frames / 1e6,
                    rate / 1e9, 100 * rate * mac_ns / 1e9);
        std::fflush(stdout);
      }
    }
  }
}
