// Whole trainings on devices of a few lines of code: they learn, are reproducible, resume exactly, and the model file
// gives the trained output.
#include <catch2/catch.hpp>
#include <cmath>
#include <numbers>
#include <span>
#include <nlohmann/json.hpp>
#include <vector>

#include "base/error.h"
#include "capture/model_file.h"
#include "capture/recordings/prepare.h"
#include "capture/recordings/spectrum.h"
#include "capture/trainer/held_out.h"
#include "capture/trainer/pure_tones.h"
#include "capture/trainer/random.h"
#include "capture/trainer/soap.h"
#include "capture/trainer/stft_loss.h"
#include "capture/trainer/trainer.h"
#include "ssm/run/stream.h"
#include "tests/support/temp_dir.h"

using namespace coil::capture;

namespace {

// Decaying bursts of tones through a high-pass, a soft clipper and a low-pass.
Take device_take(uint64_t seed, size_t frames, double drive) {
  Random random{seed};
  Take take;
  double phase = 0, step = 0, level = 0, low = 0, smooth = 0;
  for (size_t t = 0; t < frames; ++t) {
    if (t % 4000 == 0) step = 0.01 + 0.2 * random.uniform(), level = 0.1 + 0.4 * random.uniform();
    phase += step, level *= 0.9997;
    const double x = t < 100 ? 0 : level * (std::sin(phase) + 0.3 * random.normal());
    low += 0.01 * (x - low);
    smooth += 0.4 * (std::tanh(drive * (x - low)) - smooth);
    take.dry.push_back(float(x)), take.wet.push_back(float(0.5 * smooth));
  }
  return take;
}

// Decaying bursts through a gain that falls within 10 ms of loud sound and recovers within 200 ms.
Take compressor_take(uint64_t seed, size_t frames) {
  Take take = device_take(seed, frames, 1);
  double envelope = 0;
  for (size_t t = 0; t < frames; ++t) {
    const double x = 2 * double(take.dry[t]), gain = 1 / (1 + 20 * envelope), level = std::abs(x) * gain;
    envelope += (level > envelope ? 1 / 480.0 : 1 / 9600.0) * (level - envelope);
    take.wet[t] = float(x * gain);
  }
  return take;
}

// A soft clipper whose output becomes a little quieter after loud sound.
Take ducked_take(uint64_t seed, size_t frames) {
  Take take = device_take(seed, frames, 4);
  double envelope = 0;
  for (size_t t = 0; t < frames; ++t) {
    const double gain = 1 / (1 + 0.5 * envelope), level = std::abs(2 * double(take.dry[t])) * gain;
    envelope += (level > envelope ? 1 / 480.0 : 1 / 9600.0) * (level - envelope);
    take.wet[t] *= float(gain);
  }
  return take;
}

// A soft clipper, and a response with a hundred resonances that decay within 10 ms.
Take loudspeaker_take(uint64_t seed, size_t frames) {
  constexpr size_t kTaps = 480;
  Random random{11};
  std::vector<double> response;
  for (size_t t = 0; t < kTaps; ++t) response.push_back(0.2 * random.normal() * std::exp(-6.0 * double(t) / kTaps));
  Take take = device_take(seed, frames, 4);
  const std::vector<float> clipped = take.wet;
  for (size_t t = 0; t < frames; ++t) {
    double sum = 0;
    for (size_t k = 0; k < std::min(kTaps, t + 1); ++k) sum += response[k] * double(clipped[t - k]);
    take.wet[t] = float(sum);
  }
  return take;
}

TrainingSettings small_settings(double million_frames, size_t threads = 1) {
  TrainingSettings settings;
  settings.shape = {8, 3, 4, 0};
  settings.threads = threads;
  settings.frames = 1e6 * million_frames;
  return settings;
}

void train(Trainer& trainer) {
  while (!trainer.done()) trainer.advance();
}

// The output of the trained network, through its file.
std::vector<float> played(const Trainer& trainer, const std::vector<float>& dry) {
  const coil::test::TempDir folder;
  write_model(folder.path() / "device.safetensors", trainer.map(), trainer.best(), trainer.scales(), 48000, {},
              {{"name", "device"}});
  std::vector<float> out(dry.size());
  coil::ssm::Stream(coil::ssm::Model::load(folder.path() / "device.safetensors")).process(dry, out);
  return out;
}

double esr(const std::vector<float>& found, const std::vector<float>& wanted) {
  double error = 0, energy = 0;
  for (size_t t = 0; t < found.size(); ++t) {
    error += std::pow(double(found[t]) - double(wanted[t]), 2), energy += std::pow(double(wanted[t]), 2);
  }
  return error / energy;
}

}  // namespace

TEST_CASE("a model learns a device and is accurate on unseen sound") {
  Trainer trainer({device_take(1, 200000, 4)}, small_settings(6));
  train(trainer);
  CHECK(trainer.state().best_esr < 0.05);
  CHECK(trainer.esr({device_take(2, 50000, 4)})[0] < 0.1);
  CHECK(trainer.esr({device_take(2, 50000, 40)})[0] > 0.15);  // another device
}

TEST_CASE("A device with slow memory gets a slow path, a loudspeaker a filter") {
  TrainingSettings settings = small_settings(200);
  settings.slow_trial_frames = 4e6;
  const auto after_trial = [&](const Take& take) {
    Trainer trainer({take}, settings);
    while (!trainer.state().shapes_tried) trainer.advance();
    return trainer;
  };
  const Take compressor = compressor_take(1, 400000);
  const Trainer plain = after_trial(device_take(1, 400000, 4)), slow = after_trial(compressor),
                filtered = after_trial(loudspeaker_take(1, 400000));
  // Without the part that the device needs, a network leaves at least 1 / kWorth times the error: that is the bound by
  // which the trainer chooses. Two seeds gave 0.47 and 0.32 for the slow path, 0.55 and 0.49 for the filter.
  CHECK(slow.state().esr_with_slow < kWorth * slow.state().esr_without);
  CHECK(slow.state().esr_with_filter > kWorth * slow.state().esr_without);  // which remembers only what is linear
  CHECK(slow.map().shape.slow_features > 0);
  CHECK(slow.map().shape.filter_modes == 0);
  CHECK(filtered.state().esr_with_filter < kWorth * filtered.state().esr_without);
  CHECK(filtered.map().shape.slow_features == 0);
  CHECK(filtered.map().shape.filter_modes > 0);
  CHECK(plain.map().shape.slow_features == 0);

  for (const Trainer* chosen : {&slow, &filtered}) {
    Trainer again({chosen == &slow ? compressor : loudspeaker_take(1, 400000)}, settings);  // has not been trained yet
    again.resume(chosen->save());
    CHECK(again.map().shape == chosen->map().shape);
    CHECK(again.best() == chosen->best());
  }

  settings.frames = 2e6;
  Trainer hasty({compressor_take(1, 100000)}, settings);
  train(hasty);
  CHECK(!hasty.state().shapes_tried);
}

TEST_CASE("A slow path whose worth shows late is tried again, if the training is long enough for it") {
  // At first the networks learn little but the clipper. With seed 2, the slow path then has 0.97 times the error of a
  // network without, and 0.02 times later.
  TrainingSettings settings = small_settings(600);
  settings.shape = {8, 1, 2, 0};
  settings.slow_trial_frames = 3e6;
  const Take device = ducked_take(1, 400000);
  const auto until_tried = [&] {
    Trainer trainer({device}, settings);
    while (!trainer.state().tried_again && !trainer.state().shapes_tried) trainer.advance();
    return trainer;
  };
  // Which seed leaves it open depends on the processor's rounding.
  std::string open;
  for (const uint64_t seed : {2, 1, 3, 4, 5}) {
    settings.seed = seed;
    const Trainer trainer = until_tried();
    if (!trainer.state().tried_again) continue;
    CHECK_FALSE(trainer.state().shapes_tried);
    CHECK(trainer.state().esr_with_slow > kWorth * trainer.state().esr_without);
    CHECK(trainer.state().esr_with_slow < kUnclear * trainer.state().esr_without);
    CHECK(trainer.map().shape.slow_features == 0);
    open = trainer.save();
    break;
  }
  REQUIRE(!open.empty());
  Trainer resumed({device}, settings);
  resumed.resume(open);
  while (!resumed.state().shapes_tried) resumed.advance();
  CHECK(resumed.state().frames >= kLateTrial * settings.slow_trial_frames);
  CHECK(resumed.state().esr_with_slow < kWorth * resumed.state().esr_without);
  CHECK(resumed.map().shape.slow_features > 0);

  settings.frames = 180e6;  // too short for the later trial
  const Trainer once = until_tried();
  CHECK(once.state().shapes_tried);
  CHECK_FALSE(once.state().tried_again);
  CHECK(once.state().frames < 2 * settings.slow_trial_frames);
}

TEST_CASE("the same seed and threads give the same network, another seed gives another") {
  for (const size_t threads : {1, 2}) {
    Trainer one({device_take(1, 100000, 4)}, small_settings(1, threads)),
        two({device_take(1, 100000, 4)}, small_settings(1, threads));
    train(one), train(two);
    CHECK(one.best() == two.best());
    TrainingSettings other = small_settings(1, threads);
    other.seed = 2;
    Trainer three({device_take(1, 100000, 4)}, other);
    train(three);
    CHECK(one.best() != three.best());
  }
}

TEST_CASE("two threads train every shape, stop and continue") {
  for (const size_t features : {0, 8}) {
    for (const size_t modes : {0, 16}) {
      TrainingSettings settings = small_settings(1, 2);
      settings.shape.slow_features = features, settings.shape.filter_modes = modes;
      const auto trained = [&](int steps_before_stop) {
        Trainer trainer({device_take(1, 60000, 4)}, settings);
        trainer.advance([&] { return steps_before_stop-- == 0; });
        trainer.grow({device_take(1, 100000, 4)}, 1e6, 0, 1e9);
        train(trainer);
        return trainer.best();
      };
      CHECK(trained(3) == trained(3));
      CHECK(trained(3) != trained(4));
    }
  }
}

TEST_CASE("a saved training continues exactly") {
  const std::vector<Take> takes = {device_take(1, 100000, 4)};
  Trainer whole(takes, small_settings(8)), first(takes, small_settings(8));
  train(whole);
  first.advance();
  int steps = 0;
  first.advance([&] { return ++steps > 3; });  // stopped between two looks
  const std::string saved = first.save();
  Trainer second(takes, small_settings(8));
  second.resume(saved);
  CHECK(second.state().steps == first.state().steps);
  train(second);
  CHECK(second.state().steps == whole.state().steps);
  CHECK(second.best() == whole.best());

  SECTION("not with other recordings, nor from damaged bytes") {
    Trainer other({device_take(3, 100000, 4)}, small_settings(8));
    CHECK_THROWS_WITH(other.resume(saved), Catch::Contains("other recordings"));
    std::string damaged = saved;
    damaged[damaged.size() / 2] ^= 1;
    CHECK_THROWS_WITH(second.resume(damaged), Catch::Contains("damaged"));
    CHECK_THROWS_WITH(second.resume(saved.substr(0, saved.size() / 2)), Catch::Contains("damaged"));
    CHECK_THROWS_WITH(second.resume("x"), Catch::Contains("cut off"));
  }
}

TEST_CASE("the model file gives the output of the trained network") {
  Trainer trainer({device_take(1, 100000, 4)}, small_settings(1.5));
  train(trainer);
  const coil::test::TempDir folder;
  write_model(folder.path() / "device.safetensors", trainer.map(), trainer.best(), trainer.scales(), 48000, {},
              {{"name", "device"}});
  const auto model = coil::ssm::Model::load(folder.path() / "device.safetensors");
  CHECK(model->card().sample_rate_hz == 48000);

  const Take test = device_take(2, 40000, 4);
  std::vector<float> out(test.dry.size());
  coil::ssm::Stream(model).process(test.dry, out);
  CHECK(esr(out, test.wet) == Approx(trainer.esr({test})[0]).margin(1e-6));

  coil::ssm::Stream at_rest(model);
  std::vector<float> silence(1000, 0.0f);
  at_rest.process(silence, silence);
  for (const float value : silence) REQUIRE(value == 0.0f);
}

TEST_CASE("a training with a slow path continues exactly, and its file gives the trained output") {
  const std::vector<Take> takes = {compressor_take(1, 200000)};
  TrainingSettings settings = small_settings(4);
  settings.shape.slow_features = 8;
  Trainer whole(takes, settings), first(takes, settings), second(takes, settings);
  train(whole);
  first.advance();
  second.resume(first.save());
  train(second);
  CHECK(second.best() == whole.best());

  const Take test = compressor_take(2, 40000);
  CHECK(esr(played(whole, test.dry), test.wet) == Approx(whole.esr({test})[0]).margin(1e-6));
}

TEST_CASE("a training with a filter continues exactly, and its file gives the trained output") {
  TrainingSettings settings = small_settings(3);
  settings.shape.filter_modes = 32;
  SECTION("without knobs or with a slow path") {
    const std::vector<Take> takes = {loudspeaker_take(1, 200000)};
    for (const size_t features : {0, 8}) {
      settings.shape.slow_features = features;
      Trainer whole(takes, settings), first(takes, settings), second(takes, settings);
      train(whole);
      first.advance();
      second.resume(first.save());
      train(second);
      CHECK(second.best() == whole.best());

      const Take test = loudspeaker_take(2, 40000);
      CHECK(esr(played(whole, test.dry), test.wet) == Approx(whole.esr({test})[0]).margin(1e-6));
      for (const float value : played(whole, std::vector<float>(1000))) REQUIRE(value == 0.0f);
    }
  }
  SECTION("with a knob") {
    settings.shape.knobs = 1;
    std::vector<Take> takes = {loudspeaker_take(1, 100000), loudspeaker_take(1, 100000)};
    takes[0].knobs = {0}, takes[1].knobs = {1};
    for (float& value : takes[0].wet) value *= 0.5f;
    Trainer trainer(takes, settings);
    train(trainer);
    const coil::test::TempDir folder;
    write_model(folder.path() / "device.safetensors", trainer.map(), trainer.best(), trainer.scales(), 48000,
                {{"gain", 0, 10}}, {{"name", "device"}});
    const auto model = coil::ssm::Model::load(folder.path() / "device.safetensors");
    for (const double position : {0.0, 0.3, 1.0}) {
      Take test = loudspeaker_take(2, 40000);
      test.knobs = {position};
      const std::vector<float> knobs = {float(10 * position)};
      coil::ssm::Stream stream(model, knobs);
      std::vector<float> out(test.dry.size());
      stream.process(test.dry, out);
      CHECK(esr(out, test.wet) == Approx(trainer.esr({test})[0]).margin(1e-6));
    }
  }
}

TEST_CASE("a model of a late, inverted recording is neither late nor inverted") {
  const Take take = device_take(1, 150000, 4);
  constexpr size_t kLate = 700;
  Recording dry{take.dry, 1, 48000, "dry"}, wet{std::vector<float>(kLate), 1, 48000, "wet"};
  for (const float value : take.wet) wet.samples.push_back(-value);
  PreparedPair pair = prepare_pair(dry, wet, 48000);
  REQUIRE(pair.usable);
  Trainer trainer({{pair.dry, pair.wet, {}}}, small_settings(4));
  train(trainer);

  std::vector<float> noise;
  Random random{5};
  for (size_t t = 0; t < 48000; ++t) noise.push_back(float(0.1 * random.normal()));
  const ExcessDelay delay = excess_delay(linear_response(noise, played(trainer, noise)), 50);
  CHECK_FALSE(delay.inverted);
  CHECK(std::abs(delay.frames) < 0.5);
  CHECK(delay.fit > 0.8);
}

TEST_CASE("the noise of a recording is not learned") {
  const Take clean = device_take(1, 200000, 4);
  double power = 0;
  for (const float value : clean.wet) power += std::pow(double(value), 2) / double(clean.wet.size());
  Random random{9};
  for (const double hum_share : {0.0, 1.0}) {
    Take noisy = clean;
    const double level = std::sqrt(power * 0.1);  // louder than in any device, so that a short training shows the
                                                  // difference
    for (size_t t = 0; t < noisy.wet.size(); ++t) {
      const double hum = std::sqrt(2.0) * std::sin(2 * std::numbers::pi * 50 * double(t) / 48000);
      noisy.wet[t] += float(level * (std::sqrt(hum_share) * hum + std::sqrt(1 - hum_share) * random.normal()));
    }
    Trainer trainer({noisy}, small_settings(4));
    train(trainer);
    const std::vector<float> out = played(trainer, clean.dry);
    INFO("hum's share " << hum_share);
    CHECK(esr(out, clean.wet) < 0.75 * esr(out, noisy.wet));
  }
}

TEST_CASE("a larger aliasing weight reduces the aliasing of a loud tone") {
  // Low tones through a hard clipper: the recording itself aliases little, the network does at higher tones.
  Take take;
  double phase = 0;
  for (size_t t = 0; t < 150000; ++t) {
    const double since = double(t % 12000) / 12000;
    phase += 0.01 + 0.04 * since;
    take.dry.push_back(float(0.6 * std::exp(-2 * since) * std::sin(phase)));
    take.wet.push_back(std::clamp(10 * take.dry.back(), -0.5f, 0.5f));
  }
  constexpr size_t kFrames = 4096, kPeriods = 427;  // 5 kHz
  std::vector<float> sine;
  for (size_t t = 0; t < 6 * kFrames; ++t)
    sine.push_back(float(0.4 * std::sin(2 * std::numbers::pi * double(t * kPeriods % kFrames) / kFrames)));
  const auto folded_share = [&](double weight) {
    TrainingSettings settings = small_settings(20);
    settings.aliasing_weight = weight;
    Trainer trainer({take}, settings);
    train(trainer);
    std::vector<float> out = played(trainer, sine);
    ToneSplitter splitter(kFrames);
    const ToneEnergy energy = splitter.leave_off_harmonics(std::span(out).last(kFrames), kPeriods);
    return energy.off_harmonics / energy.all;
  };
  CHECK(folded_share(10) < 0.6 * folded_share(0));
}

TEST_CASE("a weight of the STFT loss brings the spectra closer to the device's") {
  constexpr size_t kFrames = 4096;
  const Take take = device_take(1, 100000, 4);
  const auto difference = [&](double weight) {
    TrainingSettings settings = small_settings(8);
    settings.stft_weight = weight;
    Trainer trainer({take}, settings);
    train(trainer);
    const std::vector<float> out = played(trainer, take.dry), all(kFrames, 1);
    std::vector<float> gradient(kFrames), wet = take.wet;
    for (float& value : wet) value /= float(trainer.scales().output);
    double sum = 0;
    for (size_t t = 0; t + kFrames <= out.size(); t += kFrames) {
      std::vector<float> piece(out.begin() + std::ptrdiff_t(t), out.begin() + std::ptrdiff_t(t + kFrames));
      for (float& value : piece) value /= float(trainer.scales().output);
      sum += StftLoss<float>(kFrames).evaluate(piece, std::span(wet).subspan(t, kFrames), all, gradient);
    }
    return sum;
  };
  const double with = difference(4), without = difference(0);
  CHECK(with < 0.97 * without);
}

TEST_CASE("unusable takes are rejected") {
  Take uneven = device_take(1, 1000, 4), silent = uneven;
  uneven.wet.pop_back();
  CHECK_THROWS_WITH(Trainer({uneven}, small_settings(1)), Catch::Contains("equally long"));
  std::fill(silent.wet.begin(), silent.wet.end(), 0.0f);
  CHECK_THROWS_WITH(Trainer({silent}, small_settings(1)), Catch::Contains("wet recordings are silent"));
  CHECK_THROWS_WITH(Trainer({}, small_settings(1)), Catch::Contains("no take"));
  TrainingSettings unknown = small_settings(1);
  unknown.shape.d_model = 5;
  CHECK_THROWS_WITH(Trainer({device_take(1, 1000, 4)}, unknown), Catch::Contains("d_model 5"));
}

TEST_CASE("Held-out parts lie within the take, apart from each other, and are few") {
  const Take take = device_take(1, 1000000, 4);
  const std::vector<Span> spans = held_out_spans(take, 48000);
  REQUIRE(spans.size() == 2);
  size_t held_out = 0, before = 0;
  for (const Span& span : spans) {
    CHECK(before <= span.begin);
    CHECK(span.end <= take.wet.size());
    held_out += span.end - span.begin, before = span.end;
  }
  CHECK(held_out == 48000);
}

TEST_CASE("SOAP reaches the minimum of a badly conditioned quadratic") {
  // f(W) = |A W B|^2 / 2 with A, B far from a multiple of the identity: gradient A'A W B B'
  constexpr size_t n = 6;
  std::vector<double> w(n * n, 1.0), gradient(n * n), direction(n * n);
  Soap soap(n, n);
  const auto stiffness = [](size_t i) { return std::pow(10.0, -double(i) / 2); };
  for (size_t step = 1; step <= 600; ++step) {
    for (size_t i = 0; i < n; ++i)
      for (size_t j = 0; j < n; ++j) gradient[i * n + j] = stiffness(i) * stiffness(j) * w[i * n + j];
    soap.direction(gradient.data(), 0.9, 0.98, step, direction.data());
    for (size_t i = 0; i < n * n; ++i) w[i] -= 0.01 * direction[i];
  }
  for (const double value : w) CHECK(std::abs(value) < 0.05);
}

TEST_CASE("a training continues with takes that have grown, and keeps its network and the held-out parts") {
  const Take whole = device_take(5, 400000, 3);
  const auto beginning = [&](size_t frames) {
    return Take{{whole.dry.begin(), whole.dry.begin() + std::ptrdiff_t(frames)},
                {whole.wet.begin(), whole.wet.begin() + std::ptrdiff_t(frames)},
                {}};
  };
  TrainingSettings settings = small_settings(8);
  Trainer trainer({beginning(150000)}, settings);
  trainer.advance();
  const std::vector<Span> held_out = trainer.held_out()[0];
  const std::vector<float> best = trainer.best();
  const double frames = trainer.state().frames, before = trainer.esr({whole})[0];
  CHECK_THROWS_AS(trainer.grow({beginning(149999)}, 12e6, 0, 5e6), coil::Error);
  CHECK_THROWS_AS(trainer.grow({}, 12e6, 0, 5e6), coil::Error);
  CHECK(trainer.held_out()[0].size() == held_out.size());

  trainer.grow({whole, device_take(6, 100000, 3)}, 12e6, 0, 5e6);
  CHECK(trainer.best() == best);
  CHECK(trainer.state().frames == frames);
  REQUIRE(trainer.held_out().size() == 2);
  REQUIRE(trainer.held_out()[0].size() > held_out.size());
  for (size_t i = 0; i < held_out.size(); ++i) {
    CHECK(trainer.held_out()[0][i].begin == held_out[i].begin);
    CHECK(trainer.held_out()[0][i].end == held_out[i].end);
  }
  for (size_t i = held_out.size(); i < trainer.held_out()[0].size(); ++i)
    CHECK(trainer.held_out()[0][i].begin >= 150000);
  trainer.advance();
  CHECK(trainer.state().best_esr < 4 * before);  // it did not restart
  while (!trainer.done()) trainer.advance();
  CHECK(trainer.state().frames >= 12e6);
  CHECK(trainer.esr({whole})[0] < 0.5 * before);
}
