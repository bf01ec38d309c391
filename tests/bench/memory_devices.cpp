// Two simulated devices with slow memory, as training material: a feedback compressor with an optical cell, and a
// triode stage with blocking distortion at its grid and a sagging supply.
//
//     memory_devices compressor|triode DRY WET
//     memory_devices sound SECONDS SEED DRY       dry material: plucked strings, chords, tones and bursts of noise
//
// Files are 48 kHz mono. The circuits run at 8 times that rate, with backward Euler where they are stiff.
#include <sndfile.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <numbers>
#include <stdexcept>
#include <string>
#include <vector>

#include "capture/trainer/random.h"

namespace {

using coil::capture::Random;

constexpr double kRateHz = 48000;
constexpr int kOversampling = 8, kTaps = 16;
constexpr double kStep = 1 / (kRateHz * kOversampling);
using Signal = std::vector<float>;

double bessel_i0(double x) {
  double sum = 1, term = 1;
  for (int k = 1; k < 40; ++k) term *= (x / 2 / k) * (x / 2 / k), sum += term;
  return sum;
}

// Interpolates by a windowed sinc; phase p of frame t is at time t - 1 + (p + 1) / kOversampling.
class Interpolator {
 public:
  Interpolator() {
    for (int p = 0; p < kOversampling; ++p)
      for (int j = 0; j < kTaps; ++j) {
        const double x = kTaps / 2 - j - double(p + 1) / kOversampling, w = x / (kTaps / 2), pi = std::numbers::pi;
        const double window = bessel_i0(9 * std::sqrt(std::max(0.0, 1 - w * w))) / bessel_i0(9);
        taps_[size_t(p)][size_t(j)] = (x == 0 ? 1 : std::sin(pi * x) / (pi * x)) * window;
      }
  }
  double operator()(const Signal& x, long t, int phase) const {
    double sum = 0;
    for (long j = 0; j < kTaps; ++j) {
      const long at = t - 1 + kTaps / 2 - j;
      if (at >= 0 && at < long(x.size())) sum += taps_[size_t(phase)][size_t(j)] * double(x[size_t(at)]);
    }
    return sum;
  }

 private:
  std::array<std::array<double, kTaps>, kOversampling> taps_{};
};

// Butterworth of order 8 at 20 kHz.
class Decimator {
 public:
  Decimator() {
    const double w = 2 * std::numbers::pi * 20000 * kStep;
    for (int k = 0; k < 4; ++k) {
      const double q = 1 / (2 * std::cos(std::numbers::pi * (2 * k + 1) / 16)), a = std::sin(w) / (2 * q);
      sections_[size_t(k)] = {(1 - std::cos(w)) / 2 / (1 + a), -2 * std::cos(w) / (1 + a), (1 - a) / (1 + a)};
    }
  }
  double operator()(double x) {
    for (Section& s : sections_) {
      const double y = s.b * x + s.z1;
      s.z1 = 2 * s.b * x - s.a1 * y + s.z2, s.z2 = s.b * x - s.a2 * y;
      x = y;
    }
    return x;
  }

 private:
  struct Section {
    double b, a1, a2, z1 = 0, z2 = 0;
  };
  std::array<Section, 4> sections_{};
};

double softplus(double x) { return x > 30 ? x : std::log1p(std::exp(x)); }

// A gain cell before a soft clipper, whose output drives two coupled envelopes: 8 ms and 60 ms, 80 ms and 450 ms.
class Compressor {
 public:
  static constexpr double kSettleSeconds = 0;
  double step(double v, double) {
    const double gain = 1 / (1 + 1.2 * fast_ + 2.2 * slow_), out = 2 * std::tanh(v * gain * 5 / 2);
    const double over = std::max(0.0, std::abs(out) * (0.3 + 8 * kSensitivity) - 0.25);
    fast_ += kStep * (over > fast_ ? 1 / 0.008 : 1 / 0.06) * (over - fast_);
    slow_ += kStep * (fast_ > slow_ ? 1 / 0.08 : 1 / 0.45) * (fast_ - slow_);
    return out * 0.4 * (1 + 2 * kSensitivity);
  }

 private:
  static constexpr double kSensitivity = 0.5;
  double fast_ = 0, slow_ = 0;
};

// A 12AX7 (Koren's model) after a coupling capacitor that the grid current charges, with a bypassed cathode and a
// supply that sags with the plate current.
class Triode {
 public:
  static constexpr double kSettleSeconds = 0.5;
  double step(double v, double t) {
    v *= kGain;
    const double g = kStep / kCouplingFarad;
    for (int i = 0; i < 12; ++i) {
      const double u = (grid_ - cathode_) * 15, slope = 1 / (1 + std::exp(-u));
      const double f = (v - capacitor_ - grid_) / (kSourceOhm + g) - grid_ / 1e6 - softplus(u) / (15 * 2.5e3);
      const double move = f / (-1 / (kSourceOhm + g) - 1e-6 - slope / 2.5e3);
      grid_ -= move;
      if (std::abs(move) < 1e-8) break;
    }
    capacitor_ += g * (v - capacitor_ - grid_) / (kSourceOhm + g);
    for (int i = 0; i < 8; ++i) {
      const double now = current(plate_), above = current(plate_ + 0.01);
      const double move = (plate_ - supply_ + kLoadOhm * now) / (1 + kLoadOhm * (above - now) / 0.01);
      plate_ = std::max(1.0, plate_ - move);
      if (std::abs(move) < 1e-5) break;
    }
    const double now = current(plate_);
    cathode_ += kStep / 22e-6 * (now - cathode_ / 1.5e3);
    supply_ += kStep / 0.15 * (330 - 45e3 * now - supply_);
    blocked_ += (plate_ - blocked_) * kStep * 2 * std::numbers::pi * 6 * (t < 0 ? 20 : 1);
    return -(plate_ - blocked_) / 120;
  }

 private:
  double current(double plate) const {
    const double v = std::max(1.0, plate), u = grid_ - cathode_;
    return std::pow(v / 600 * softplus(600 * (1 / 100.0 + u / std::sqrt(300 + v * v))) + 1e-12, 1.4) / 1060;
  }

  static constexpr double kGain = 19.127;  // 40^0.8
  static constexpr double kSourceOhm = 40e3, kCouplingFarad = 0.22e-6, kLoadOhm = 100e3;
  double capacitor_ = 0, grid_ = 0, cathode_ = 1.3, supply_ = 300, plate_ = 200, blocked_ = 0;
};

template <class Device>
Signal play(const Signal& dry) {
  const Interpolator between;
  Decimator decimate;
  Device device;
  Signal wet(dry.size());
  for (long t = -long(Device::kSettleSeconds * kRateHz); t < long(dry.size()); ++t) {
    for (int phase = 0; phase < kOversampling; ++phase) {
      const double out = decimate(device.step(t < 0 ? 0 : between(dry, t, phase), double(t)));
      if (t >= 0 && phase == kOversampling - 1) wet[size_t(t)] = float(out);
    }
  }
  return wet;
}

// A plucked string: noise in a delay loop that loses treble (Karplus & Strong 1983).
class String {
 public:
  void pluck(Random& random, double hz, double level, double bright, double keep) {
    loop_.resize(std::clamp<size_t>(size_t(kRateHz / hz), 20, 1000));
    double smooth = 0;
    for (float& value : loop_) smooth += bright * (2 * random.uniform() - 1 - smooth), value = float(level * smooth);
    at_ = 0, keep_ = keep;
  }
  double step() {
    if (loop_.empty()) return 0;
    const double now = double(loop_[at_]);
    const size_t next = (at_ + 1) % loop_.size();
    loop_[at_] = float(keep_ * (0.75 * now + 0.25 * double(loop_[next])));
    at_ = next;
    return now;
  }

 private:
  Signal loop_;
  size_t at_ = 0;
  double keep_ = 0;
};

double between(Random& random, double low, double high) { return low * std::pow(high / low, random.uniform()); }

// Scenes of 2.5 s: lines, chords, tones or bursts, each at its own level.
Signal make_sound(double seconds, uint64_t seed) {
  Random random{seed};
  Signal sound;
  std::array<String, 6> strings;
  size_t scene = 0, next = 0, kind = 0;
  double level = 0, phase = 0, hz = 0, envelope = 0, wanted = 0, low = 0, bright = 0.5;
  while (double(sound.size()) < seconds * kRateHz) {
    if (scene-- == 0) {
      scene = size_t(2.5 * kRateHz), next = 0;
      kind = std::array<size_t, 10>{0, 0, 0, 0, 1, 1, 1, 1, 2, 3}[random.below(10)];
      level = between(random, 0.04, 0.9);
      if (random.uniform() < 0.3)
        for (String& s : strings) s = {};
    }
    if (next-- == 0) {
      next = size_t(kRateHz * between(random, 0.08, kind == 1 ? 1.5 : 0.7));
      hz = between(random, 82, kind == 1 ? 330 : 880);
      const size_t count = kind == 1 ? 2 + random.below(5) : 1, first = random.below(6);
      for (size_t i = 0; kind < 2 && i < count; ++i)
        strings[(first + i) % 6].pluck(random, hz * std::array{1.0, 1.5, 2.0, 2.52, 3.0, 4.0}[i],
                                       between(random, 0.25, 1), 0.2 + 0.6 * random.uniform(),
                                       random.uniform() < 0.2 ? 0.96 : 1 - between(random, 0.001, 0.01));
      wanted = random.uniform() < 0.3 ? 0 : between(random, 0.05, 1), bright = 0.1 + 0.7 * random.uniform();
    }
    double x = 0;
    for (String& s : strings) x += s.step();
    envelope += ((kind < 2 ? 0 : wanted) - envelope) * 0.004;
    phase += 2 * std::numbers::pi * hz / kRateHz;
    low += bright * (2 * random.uniform() - 1 - low);
    x += envelope * (kind == 2 ? 0.5 * std::sin(phase) + 0.2 * std::sin(1.503 * phase) : low);
    sound.push_back(float(std::tanh(level * x)));
  }
  return sound;
}

Signal read(const std::string& path) {
  SF_INFO info{};
  SNDFILE* file = sf_open(path.c_str(), SFM_READ, &info);
  if (!file || info.channels != 1 || info.samplerate != int(kRateHz))
    throw std::runtime_error(path + ": not a mono sound file of 48 kHz");
  Signal signal(static_cast<size_t>(info.frames));
  sf_read_float(file, signal.data(), info.frames);
  sf_close(file);
  return signal;
}

void write(const std::string& path, const Signal& signal) {
  SF_INFO info{0, int(kRateHz), 1, SF_FORMAT_WAV | SF_FORMAT_FLOAT, 0, 0};
  SNDFILE* file = sf_open(path.c_str(), SFM_WRITE, &info);
  if (!file || sf_write_float(file, signal.data(), sf_count_t(signal.size())) != sf_count_t(signal.size()))
    throw std::runtime_error(path + ": cannot be written");
  sf_close(file);
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> words(argv + 1, argv + argc);
  try {
    if (words.size() == 3 && words[0] == "compressor") return write(words[2], play<Compressor>(read(words[1]))), 0;
    if (words.size() == 3 && words[0] == "triode") return write(words[2], play<Triode>(read(words[1]))), 0;
    if (words.size() == 4 && words[0] == "sound")
      return write(words[3], make_sound(std::atof(words[1].c_str()), uint64_t(std::atoll(words[2].c_str())))), 0;
    std::fprintf(stderr, "memory_devices compressor|triode DRY WET, or sound SECONDS SEED DRY\n");
    return 2;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "memory_devices: %s\n", error.what());
    return 1;
  }
}
