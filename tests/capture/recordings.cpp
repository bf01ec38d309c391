// Makes each fault of recordings on purpose, and checks that it is found and corrected or named.
#include <catch2/catch.hpp>
#include <cmath>
#include <functional>
#include <numbers>
#include <random>

#include "capture/recordings/checks.h"
#include "capture/recordings/interpolation.h"
#include "capture/recordings/prepare.h"
#include "capture/recordings/spectrum.h"
#include "capture/recordings/test_signal.h"
#include "dsp/resampler.h"

namespace coil::capture {
namespace {

constexpr double kRate = 48000;

std::vector<float> test_signal() {
  static const std::vector<float> signal = make_test_signal(kRate);
  return signal;
}

// Only the phrases of the test signal, like an unplanned guitar take.
std::vector<float> take() {
  const std::vector<float> signal = test_signal();
  std::vector<float> take(signal.begin() + static_cast<long>(13.6 * kRate),
                          signal.begin() + static_cast<long>(19 * kRate));
  take.insert(take.end(), signal.begin() + static_cast<long>(26 * kRate),
              signal.begin() + static_cast<long>(29 * kRate));  // quiet
  take.insert(take.end(), signal.begin() + static_cast<long>(48.5 * kRate),
              signal.begin() + static_cast<long>(53 * kRate));  // silent
  return take;
}

// A drive pedal: high-pass, clipping, low-pass.
std::vector<float> through_device(const std::vector<float>& dry, double drive = 8, double bright = 0.4) {
  std::vector<float> wet(dry.size());
  double low = 0, smooth = 0;
  for (size_t i = 0; i < dry.size(); ++i) {
    low += 0.02 * (dry[i] - low);
    smooth += bright * (std::tanh(drive * (dry[i] - low)) - smooth);
    wet[i] = static_cast<float>(0.6 * smooth);
  }
  return wet;
}

std::vector<float> with_noise(std::vector<float> sound, double rms) {
  std::mt19937 random(7);
  std::normal_distribution<float> noise(0, static_cast<float>(rms));
  for (float& x : sound) x += noise(random);
  return sound;
}

std::vector<float> later(const std::vector<float>& sound, double frames, double drift_ppm = 0) {
  const double step = 1 / (1 + drift_ppm * 1e-6);
  return read_between(sound, -frames * step, step, sound.size() + static_cast<size_t>(std::max(0.0, frames)) + 4800);
}

PreparedPair prepare(const std::vector<float>& dry, const std::vector<float>& wet, double wet_rate = kRate) {
  return prepare_pair({dry, 1, kRate, "dry.wav"}, {wet, 1, wet_rate, "wet.wav"}, kRate);
}

const Finding* find(const PreparedPair& pair, FindingKind kind) {
  for (const Finding& finding : pair.findings) {
    if (finding.kind == kind) return &finding;
  }
  return nullptr;
}

// The error of the prepared pair relative to the device's true output, after removal of the best delay.
double error_of(const PreparedPair& pair, const std::vector<float>& right, size_t from) {
  double difference = 0, power = 0;
  for (size_t i = from; i + from < std::min(pair.wet.size(), right.size()); ++i) {
    difference += std::pow(double(pair.wet[i]) - right[i], 2);
    power += std::pow(double(right[i]), 2);
  }
  return difference / power;
}

}  // namespace

TEST_CASE("the delay of the test signal's return is found to 1.5 frames, its sign and its drift too") {
  const std::vector<float> dry = test_signal(), device = through_device(dry);
  struct Case {
    double delay, drift, sign;
  };
  for (const auto& [delay, drift, sign] : {Case{0, 0, -1}, {1234.5, 8, 1}, {-700.3, -60, -1}}) {
    std::vector<float> wet = with_noise(later(device, delay, drift), 1e-4);
    for (float& x : wet) x *= static_cast<float>(sign);
    const PreparedPair pair = prepare(dry, wet);
    INFO("delay " << delay << " drift " << drift << " sign " << sign << ": " << pair.alignment.delay_frames << ", "
                  << pair.alignment.drift_ppm << ", fit " << pair.alignment.confidence);
    CHECK(pair.usable);
    CHECK(pair.alignment.inverted == (sign < 0 && delay != 0));  // a pair that needs no delay keeps its polarity
    CHECK(std::abs(pair.alignment.delay_frames - delay) < 1.5);  // the margin that keeps the pair causal
    CHECK(pair.alignment.delay_frames < delay + 0.1);
    CHECK(std::abs(pair.alignment.drift_ppm - drift) < 0.05);
    CHECK(pair.dry.size() == pair.wet.size());
    CHECK((find(pair, FindingKind::kPolarity) != nullptr) == (sign < 0));
    CHECK((find(pair, FindingKind::kDrift) != nullptr) == (drift != 0));
    REQUIRE(pair.repeatability_esr);
    CHECK(*pair.repeatability_esr < 1e-4);
  }
}

TEST_CASE("an unplanned take is aligned and stays causal") {
  const double delay = GENERATE(0.0, 9600.5);
  const std::vector<float> dry = take(), device = through_device(dry, delay == 0 ? 40 : 2);
  const PreparedPair pair = prepare(dry, with_noise(later(device, delay), 1e-4));
  INFO(delay << " found as " << pair.alignment.delay_frames);
  CHECK(pair.usable);
  CHECK_FALSE(pair.alignment.inverted);
  CHECK(pair.alignment.delay_frames < delay + 0.1);
  CHECK(pair.alignment.delay_frames > delay - kMostMarginFrames - 1);
  CHECK_FALSE(find(pair, FindingKind::kDrift));
  if (delay == 0) CHECK(error_of(pair, device, 100) < 1e-3);
}

TEST_CASE("takes of one session get one delay, takes of another session theirs") {
  const std::vector<float> dry = take(), soft = through_device(dry, 2), hard = through_device(dry, 40);
  std::vector<PreparedPair> pairs = {prepare(dry, later(soft, 700)), prepare(dry, later(hard, 700)),
                                     prepare(dry, later(soft, 9600.5)), prepare(dry, hard)};
  REQUIRE(pairs[3].alignment.delay_frames == 0);
  // An estimate that is off by more than its margin: the take would be moved although the others need no delay.
  pairs.push_back(pairs[3]);
  pairs[4].alignment.delay_frames = -1.4;
  pairs[4].wet = read_between(pairs[3].wet, -1.4, 1, pairs[3].wet.size());
  const double first = pairs[0].alignment.delay_frames, second = pairs[1].alignment.delay_frames,
               other = pairs[2].alignment.delay_frames;
  REQUIRE(first != second);

  CHECK(share_delays(pairs) == std::vector<size_t>{first < second ? size_t(0) : size_t(1), 4});
  for (const size_t i : {0, 1}) CHECK(pairs[i].alignment.delay_frames == std::max(first, second));
  CHECK(pairs[2].alignment.delay_frames == other);
  CHECK(pairs[4].alignment.delay_frames == 0);
  CHECK(find(pairs[4], FindingKind::kLatency));
  CHECK(error_of(pairs[4], hard, 2000) < 1e-5);
  const double left = 700 - pairs[0].alignment.delay_frames;  // the same in both
  CHECK(error_of(pairs[0], later(soft, left), 2000) < 1e-4);
  CHECK(error_of(pairs[1], later(hard, left), 2000) < 1e-4);
  for (const PreparedPair& pair : pairs) CHECK(pair.dry.size() == pair.wet.size());
  CHECK(share_delays(pairs).empty());

  std::vector<PreparedPair> later_take = {prepare(dry, later(hard, 700))};
  share_delays(later_take, {697});
  CHECK(later_take[0].alignment.delay_frames == std::max(697.0, second));
}

TEST_CASE("a loop is aligned with itself, not with a later turn") {
  const std::vector<float> once = take();
  std::vector<float> dry;
  for (int turn = 0; turn < 3; ++turn) dry.insert(dry.end(), once.begin(), once.end());
  const double delay = 30000;
  const PreparedPair pair = prepare(dry, later(through_device(dry), delay));
  CHECK(pair.alignment.delay_frames == Approx(delay).margin(kMostMarginFrames + 1));
  CHECK_FALSE(find(pair, FindingKind::kLength));
}

TEST_CASE("recordings of other rates, channels and lengths become one pair") {
  const std::vector<float> dry = take(), device = through_device(dry);
  SECTION("another rate") {
    dsp::Resampler resampler(kRate, 44100, 1);
    std::vector<float> wet;
    resampler.process(device, wet);
    const PreparedPair pair = prepare(dry, wet, 44100);
    CHECK(pair.usable);
    CHECK(error_of(pair, device, 2000) < 1e-4);
  }
  SECTION("a rate that the header gets wrong") {
    const PreparedPair pair = prepare(dry, device, 44100);
    REQUIRE(find(pair, FindingKind::kRate));
    CHECK(find(pair, FindingKind::kRate)->text.find("48000") != std::string::npos);
    CHECK(pair.usable);
    CHECK(error_of(pair, device, 2000) < 1e-3);
  }
  SECTION("stereo with one empty channel") {
    std::vector<float> stereo(2 * device.size());
    for (size_t i = 0; i < device.size(); ++i) stereo[2 * i + 1] = device[i];
    const PreparedPair pair = prepare_pair({dry, 1, kRate, "dry.wav"}, {stereo, 2, kRate, "wet.wav"}, kRate);
    REQUIRE(find(pair, FindingKind::kChannels));
    CHECK(find(pair, FindingKind::kChannels)->severity == Severity::kNote);
    CHECK(error_of(pair, device, 100) < 1e-3);
  }
  SECTION("stopped too early") {
    const std::vector<float> wet(device.begin(), device.end() - static_cast<long>(3 * kRate));
    const PreparedPair pair = prepare(dry, wet);
    REQUIRE(find(pair, FindingKind::kLength));
    CHECK(pair.dry.size() == wet.size());
  }
}

TEST_CASE("each fault of a recording is named") {
  const std::vector<float> dry = take();
  std::vector<float> wet = through_device(dry);
  const auto named = [&](FindingKind kind, const std::vector<float>& sent, const std::vector<float>& back) {
    const PreparedPair pair = prepare(sent, back);
    for (const Finding& f : pair.findings) UNSCOPED_INFO(name_of(f.kind) << ": " << f.text);
    return find(pair, kind) != nullptr;
  };
  SECTION("nothing wrong: no warning") {
    for (const Finding& finding : prepare(dry, wet).findings) {
      INFO(finding.text);
      CHECK(finding.severity == Severity::kNote);
    }
  }
  SECTION("clipping") {
    std::vector<float> clipped = wet;
    for (float& x : clipped) x = std::clamp(x, -0.4f, 0.4f);
    CHECK(named(FindingKind::kClipping, dry, clipped));
  }
  SECTION("level") {
    std::vector<float> faint = wet;
    for (float& x : faint) x *= 0.005f;
    CHECK(named(FindingKind::kLevel, dry, faint));
  }
  SECTION("silence") {
    const PreparedPair pair = prepare(dry, std::vector<float>(dry.size()));
    CHECK_FALSE(pair.usable);
    CHECK(find(pair, FindingKind::kSilence));
  }
  SECTION("drop-outs") {
    for (int k = 0; k < 5; ++k) std::fill_n(wet.begin() + static_cast<long>((1 + 0.3 * k) * kRate), 64, 0.0f);
    CHECK(named(FindingKind::kDropOut, dry, wet));
  }
  SECTION("one drop-out") {
    std::fill_n(wet.begin() + static_cast<long>(kRate), 64, 0.0f);
    const PreparedPair pair = prepare(dry, wet);
    for (const auto& f : pair.findings) UNSCOPED_INFO(f.text);
    REQUIRE(find(pair, FindingKind::kDropOut));
    CHECK(find(pair, FindingKind::kDropOut)->text.find("drops out 1 time, first at 1.00 s") != std::string::npos);
  }
  SECTION("lost samples") {
    wet.erase(wet.begin() + static_cast<long>(4 * kRate), wet.begin() + static_cast<long>(4 * kRate) + 32);
    CHECK(named(FindingKind::kDropOut, dry, wet));
  }
  SECTION("hum and hiss") {
    for (size_t i = 0; i < wet.size(); ++i)
      wet[i] += 0.003f * static_cast<float>(std::sin(2 * std::numbers::pi * 60 * double(i) / kRate));
    const PreparedPair pair = prepare(dry, with_noise(wet, 3e-4));
    REQUIRE(find(pair, FindingKind::kHum));
    CHECK(find(pair, FindingKind::kHum)->text.find("60 Hz") != std::string::npos);
    CHECK(find(pair, FindingKind::kNoise));
    CHECK(pair.noise_to_signal > 1e-6);
  }
  SECTION("a noise gate") {
    double level = 0;
    for (size_t i = 0; i < wet.size(); ++i) {
      level = std::max<double>(std::abs(dry[i]), level * 0.9995);
      if (level < 0.004) wet[i] *= 0.01f;
    }
    CHECK(named(FindingKind::kGate, dry, wet));
  }
  SECTION("an echo") {
    std::vector<float> echo = wet;
    for (size_t i = 9000; i < wet.size(); ++i) echo[i] += 0.4f * wet[i - 9000];
    CHECK(named(FindingKind::kTail, dry, echo));
  }
  SECTION("two takes that have nothing to do with each other") {
    const std::vector<float> other = with_noise(std::vector<float>(dry.size()), 0.1);
    const PreparedPair pair = prepare(dry, other);
    CHECK_FALSE(pair.usable);
    CHECK(find(pair, FindingKind::kUnrelated));
  }
}

TEST_CASE("sound in only one recording causes no jump, delay or drift") {
  const std::vector<float> dry = take(), wet = through_device(dry);
  const auto second = static_cast<size_t>(kRate);
  const auto part = [&](size_t from, size_t until) {
    return std::vector<float>(wet.begin() + long(from * second), wet.begin() + long(until * second));
  };
  for (const auto& [from, until] : {std::pair<size_t, size_t>{0, 2}, {0, 4}, {2, 6}}) {
    const PreparedPair pair = prepare(dry, part(from, until));
    CHECK(pair.alignment.delay_frames == Approx(-double(from) * kRate).margin(kMostMarginFrames));
    CHECK(pair.alignment.drift_ppm == 0);
    CHECK_FALSE(find(pair, FindingKind::kDropOut));
    CHECK(find(pair, FindingKind::kLength));
    CHECK(double(pair.dry.size()) == Approx(double((until - from) * second)).margin(5));
  }
}

// A phrase of the test signal, darker by a low-pass, that fades in from silence.
std::vector<float> phrase(double from_s, double keep, float level) {
  const std::vector<float> signal = test_signal();
  std::vector<float> phrase(300);
  double smooth = 0;
  for (size_t t = 0; t < size_t(8 * kRate); ++t) {
    smooth += (1 - keep) * (signal[size_t(from_s * kRate) + t] - smooth);
    phrase.push_back(level * float(smooth * std::min(1.0, double(t) / 2400)));
  }
  return phrase;
}

TEST_CASE("joined recordings count as no jump of the delay, but lost samples do") {
  std::vector<float> dry, wet;
  const auto glue = [&](const std::vector<float>& take, const std::vector<float>& back) {
    dry.insert(dry.end(), take.begin(), take.end());
    wet.insert(wet.end(), back.begin(), back.end());
  };
  // The tone control was turned between the takes: all pieces of one lag behind those of the other, by no one delay.
  const std::vector<float> dark = phrase(15.2, 0, 0.3f), bright = phrase(15.2, 0, 0.5f);
  glue(dark, through_device(dark, 60, 0.05)), glue(bright, through_device(bright, 15, 0.5));
  CHECK_FALSE(find(prepare(dry, wet), FindingKind::kDropOut));
  dry.clear(), wet.clear();
  for (const auto& [from_s, keep, level] : {std::tuple{13.6, 0.0, 0.5f}, {17.0, 0.97, 8.0f}, {14.0, 0.0, 0.3f}}) {
    const std::vector<float> take = phrase(from_s, keep, level);
    glue(take, through_device(take, 30));
  }
  for (const int lost : {24, 64}) {
    std::vector<float> shorter = later(wet, 500);
    const auto at = shorter.begin() + long(13.3 * kRate);
    shorter.erase(at, at + lost);
    const PreparedPair pair = prepare(dry, shorter);
    INFO(lost << " frames lost");
    REQUIRE(find(pair, FindingKind::kDropOut));
    CHECK(find(pair, FindingKind::kDropOut)->text.find("the delay jumps near 1") != std::string::npos);
  }
}

TEST_CASE("implausible recordings cause a question") {
  const std::vector<float> dry = take(), wet = through_device(dry);
  CHECK(find(prepare(dry, dry), FindingKind::kUnrelated));
  CHECK(find(prepare(wet, dry), FindingKind::kSwapped));
  std::vector<float> raised = wet;
  for (float& x : raised) x += 0.2f;
  const PreparedPair lowered = prepare(dry, raised);
  CHECK(find(lowered, FindingKind::kConstant));
  CHECK(error_of(lowered, wet, 4800) < 1e-4);
  const PreparedPair right = prepare(dry, wet);
  for (const FindingKind kind : {FindingKind::kUnrelated, FindingKind::kSwapped, FindingKind::kConstant})
    CHECK_FALSE(find(right, kind));
  const PreparedPair tiny = prepare(dry, {0.0f});
  REQUIRE(find(tiny, FindingKind::kLength));
  CHECK(find(tiny, FindingKind::kLength)->severity == Severity::kFatal);
  const PreparedPair dull = prepare_pair({dry, 1, 16000, "dry.wav"}, {wet, 1, 16000, "wet.wav"}, kRate);
  REQUIRE(find(dull, FindingKind::kRate));
  CHECK(find(dull, FindingKind::kRate)->text.find("nothing above 8.0 kHz") != std::string::npos);
}

TEST_CASE("a constant offset is removed, but not one that the device makes from sound") {
  std::vector<float> dry = take();
  dry.resize(size_t(5 * kRate));  // plays without pauses
  std::vector<float> wet = through_device(dry), leaning = wet;
  for (size_t i = 0; i < wet.size(); ++i) {
    wet[i] += 0.3f;
    leaning[i] += 0.02f * std::abs(leaning[i]);
  }
  const PreparedPair constant = prepare(dry, wet), device = prepare(dry, leaning);
  CHECK(find(constant, FindingKind::kConstant));
  CHECK(error_of(constant, through_device(dry), 4800) < 1e-2);
  CHECK_FALSE(find(device, FindingKind::kConstant));
}

TEST_CASE("a compressor is not taken for swapped files, nor a bias that recovers for reverb") {
  const std::vector<float> dry = test_signal();
  std::vector<float> compressed = dry, biased = through_device(dry);
  double envelope = 0, bias = 0;
  for (size_t i = 0; i < dry.size(); ++i) {
    const double level = std::abs(double(dry[i]));
    envelope += (level > envelope ? 1 / 2000.0 : 1 / 20000.0) * (level - envelope);
    compressed[i] = float(double(dry[i]) / (1 + 40 * envelope));
    bias += (level - bias) / 10000;
    biased[i] -= float(2 * bias);
  }
  CHECK(crest_db(compressed) > crest_db(dry) + 2);
  CHECK_FALSE(find(prepare(dry, compressed), FindingKind::kSwapped));
  CHECK_FALSE(find(prepare(dry, biased), FindingKind::kTail));
}

TEST_CASE("steady noise is not taken for reverb") {
  std::vector<float> dry = test_signal();
  const PreparedPair pair = prepare(dry, with_noise(through_device(dry), 1e-3));
  CHECK(find(pair, FindingKind::kNoise));
  CHECK_FALSE(find(pair, FindingKind::kTail));
}

TEST_CASE("the test signal says whether files are swapped and whether the device changed") {
  const std::vector<float> dry = test_signal();
  std::vector<float> wet = through_device(dry);
  SECTION("swapped files") {
    const PreparedPair pair = prepare(wet, dry);
    CHECK_FALSE(pair.usable);
    CHECK(find(pair, FindingKind::kSwapped));
  }
  SECTION("a device that changed in between") {
    const std::vector<float> changed = through_device(dry, 16);
    std::copy(changed.begin() + static_cast<long>(40 * kRate), changed.end(),
              wet.begin() + static_cast<long>(40 * kRate));
    const PreparedPair pair = prepare(dry, wet);
    REQUIRE(find(pair, FindingKind::kRepeatability));
    CHECK(find(pair, FindingKind::kRepeatability)->severity == Severity::kWarning);
  }
}

TEST_CASE("reading between frames gives the band-limited signal") {
  const auto tone = [](double t) { return std::sin(0.9 * t) + 0.5 * std::cos(2.2 * t + 1); };
  std::vector<float> signal(2000);
  for (size_t i = 0; i < signal.size(); ++i) signal[i] = static_cast<float>(tone(double(i)));
  const std::vector<float> between = read_between(signal, 100.3, 1.0001, 1700);
  double worst = 0;
  for (size_t i = 0; i < between.size(); ++i)
    worst = std::max(worst, std::abs(between[i] - tone(100.3 + 1.0001 * double(i))));
  CHECK(worst < 2e-5);  // -94 dB: the windowed sinc's error at 0.35 of the rate, and float32
}

TEST_CASE("the test signal is deterministic, below full scale, and found when trimmed or padded") {
  const std::vector<float> signal = make_test_signal(kRate);
  CHECK(signal == make_test_signal(kRate));
  CHECK(std::all_of(signal.begin(), signal.end(), [](float x) { return std::abs(x) < 0.9f; }));
  std::vector<float> padded(1000);
  padded.insert(padded.end(), signal.begin(), signal.end());
  REQUIRE(find_test_signal(padded, kRate));
  CHECK(find_test_signal(padded, kRate)->start_frame == 1000);
  REQUIRE(find_test_signal(std::span(signal).subspan(4000), kRate));
  CHECK(find_test_signal(std::span(signal).subspan(4000), kRate)->start_frame == -4000);
  CHECK_FALSE(find_test_signal(take(), kRate));
  CHECK_FALSE(find_test_signal(through_device(signal, 60), kRate));
}

}  // namespace coil::capture
