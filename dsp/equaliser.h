// An equaliser: four bands and two cuts, adjustable without a click.
#pragma once

#include <array>
#include <atomic>
#include <vector>

#include "dsp/processor.h"
#include "dsp/ramp.h"

namespace coil::dsp {

struct EqualiserBand {
  enum class Kind { low_shelf, bell, high_shelf } kind = Kind::bell;
  float hz = 1000;    // 20 to 20,000
  float gain_db = 0;  // within kMaxBandDb
  float q = 0.707f;   // 0.1 to 10

  bool operator==(const EqualiserBand&) const = default;
};

inline constexpr int kEqualiserBands = 4;
inline constexpr float kMaxBandDb = 24;

struct EqualiserSettings {
  // The usual bands of amplifiers and mixing desks, all flat.
  std::array<EqualiserBand, kEqualiserBands> bands{{{EqualiserBand::Kind::low_shelf, 100, 0, 0.707f},
                                                    {EqualiserBand::Kind::bell, 400, 0, 1},
                                                    {EqualiserBand::Kind::bell, 2000, 0, 1},
                                                    {EqualiserBand::Kind::high_shelf, 6000, 0, 0.707f}}};
  float low_cut_hz = 0;   // high-pass, 12 dB per octave; 0: none
  float high_cut_hz = 0;  // low-pass, 12 dB per octave; 0: none

  bool operator==(const EqualiserSettings&) const = default;
};

// The gain of the whole equaliser at a frequency, in dB. [any thread]
double response_db(const EqualiserSettings& settings, double hz, double sample_rate_hz);

// State-variable filters, which stay stable while their coefficients move. Sources: Simper 2013, "Solving the
// continuous SVF equations using trapezoidal integration and equivalent currents"; Zavalishin, "The Art of VA Filter
// Design".
class Equaliser final : public AudioProcessor {
 public:
  explicit Equaliser(const EqualiserSettings& settings = {});

  void prepare(const ProcessSpec& spec) override;
  void reset() noexcept override;
  void process(AudioBlock block) noexcept override;
  int latency_frames() const noexcept override { return 0; }

  // Settings take effect within kMoveMs. [audio-thread]
  void set(const EqualiserSettings& settings) noexcept;

  static constexpr float kMoveMs = 20;
  static constexpr int kFilters = kEqualiserBands + 2;

  // y = m0 x + m1 band + m2 low, for a filter with g = tan(pi hz / rate) and damping k.
  struct Coefficients {
    float g = 0, k = 1, m0 = 1, m1 = 0, m2 = 0;
    bool flat() const noexcept { return m0 == 1 && m1 == 0 && m2 == 0; }
  };

  // [any thread]
  static std::array<Coefficients, kFilters> coefficients(const EqualiserSettings& settings,
                                                         double sample_rate_hz) noexcept;

 private:
  struct Memory {
    float band = 0, low = 0;
  };
  static constexpr std::array<float Coefficients::*, 5> kMembers{&Coefficients::g, &Coefficients::k, &Coefficients::m0,
                                                                 &Coefficients::m1, &Coefficients::m2};

  void move() noexcept;
  static void filter(const Coefficients& c, Memory& memory, std::span<float> samples) noexcept;

  EqualiserSettings settings_;
  double sample_rate_hz_ = 48000;
  std::array<Coefficients, kFilters> now_, wanted_;
  std::array<std::array<Ramp, kMembers.size()>, kFilters> ways_;  // from one to the other
  int frames_to_move_ = 0;
  std::vector<std::array<Memory, kFilters>> memories_;  // per channel
};

}  // namespace coil::dsp
