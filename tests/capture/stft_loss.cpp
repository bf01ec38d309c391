// The multi-resolution STFT loss: its value and gradient beside PyTorch's and central differences, and what it changes
// in a training.
#include <catch2/catch.hpp>
#include <cmath>
#include <vector>

#include "capture/trainer/random.h"
#include "capture/trainer/stft_loss.h"
#include "ssm/model/safetensors.h"
#include "tests/support/worst.h"

using namespace coil::capture;
using coil::test::take_worst;

namespace {

std::vector<double> noise(size_t frames, uint64_t seed) {
  Random random{seed};
  std::vector<double> sound(frames);
  for (double& value : sound) value = random.normal();
  return sound;
}

double loss_of(const std::vector<double>& output, const std::vector<double>& target,
               const std::vector<double>& counts) {
  std::vector<double> gradient(output.size());
  return StftLoss<double>(output.size()).evaluate(output, target, counts, gradient);
}

}  // namespace

TEST_CASE("the STFT loss and its gradient are PyTorch's") {
  const auto file = coil::ssm::Safetensors::open(COIL_CAPTURE_TESTS_DIR "/torch_stft.safetensors");
  const auto read = [&](const char* name) { return file.tensors().at(name).to_doubles(); };
  const std::vector<double> output = read("output"), target = read("target"), wanted = read("gradient");
  const std::vector<double> counts(output.size(), 1);
  std::vector<double> gradient(output.size());
  CHECK(StftLoss<double>(output.size()).evaluate(output, target, counts, gradient) ==
        Approx(read("loss")[0]).epsilon(1e-10));
  double worst = 0, largest = 0;
  for (size_t t = 0; t < wanted.size(); ++t)
    take_worst(worst, std::abs(gradient[t] - wanted[t])), take_worst(largest, std::abs(wanted[t]));
  CHECK(worst < 1e-9 * largest);

  std::vector<float> in_float(gradient.size());
  const std::vector<float> x(output.begin(), output.end()), y(target.begin(), target.end()), all(output.size(), 1);
  CHECK(StftLoss<float>(x.size()).evaluate(x, y, all, in_float) == Approx(read("loss")[0]).epsilon(1e-4));
  worst = 0;
  for (size_t t = 0; t < wanted.size(); ++t) take_worst(worst, std::abs(double(in_float[t]) - wanted[t]));
  CHECK(worst < 1e-3 * largest);
}

TEST_CASE("the STFT loss' gradient is that of central differences, also with frames that do not count") {
  constexpr size_t kFrames = 1536;  // like the segments of three threads
  std::vector<double> output = noise(kFrames, 1), counts(kFrames, 1);
  const std::vector<double> target = noise(kFrames, 2);
  std::fill_n(counts.begin() + 200, 100, 0.0);
  std::vector<double> gradient(kFrames);
  StftLoss<double>(kFrames).evaluate(output, target, counts, gradient);
  constexpr double kStep = 1e-6;
  double worst = 0, largest = 0;
  for (size_t t = 0; t < kFrames; t += 7) {
    const double value = output[t];
    output[t] = value + kStep;
    const double more = loss_of(output, target, counts);
    output[t] = value - kStep;
    const double slope = (more - loss_of(output, target, counts)) / (2 * kStep);
    output[t] = value;
    take_worst(worst, std::abs(slope - gradient[t])), take_worst(largest, std::abs(slope));
  }
  CHECK(worst < 1e-5 * largest);
}

TEST_CASE("the STFT loss is 0 for equal signals, and for segments without sound or frames that count") {
  constexpr size_t kFrames = 2048;
  const std::vector<double> sound = noise(kFrames, 3), silence(kFrames), all(kFrames, 1), none(kFrames);
  CHECK(loss_of(sound, sound, all) == 0);
  CHECK(loss_of(sound, silence, all) == 0);
  CHECK(loss_of(sound, noise(kFrames, 4), none) == 0);
  CHECK(loss_of(sound, noise(kFrames, 4), all) > 0.1);
}
