// How fast the trainer goes: frames a second and core, and the share of the peak of multiply-adds that was measured in
// the same run.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <string>
#include <vector>

#include "capture/quality.h"
#include "capture/trainer/random.h"
#include "capture/trainer/trainer.h"
#include "ssm/floor.h"
#include "ssm/target.h"

using namespace coil::capture;

namespace {

constexpr double kMillionFrames = 20;
constexpr int kRuns = 3;

// Multiply-adds of a frame: the forward pass runs twice; tanh, loss and what is between the frames do not count.
double multiply_adds(const Shape& s) {
  const double d = double(s.d_model), pairs = double(s.pairs), forward = d * (6 * pairs + 1) + 2 * d * d;
  const double backward = d * (14 * pairs + 2) + 4 * d * d + 2.5 * d;
  return double(s.layers) * (2 * forward + backward);
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

}  // namespace

int main() {
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
