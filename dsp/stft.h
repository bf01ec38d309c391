// Power spectra of windowed pieces of a signal, for analysis and pictures.
#pragma once

#include <memory>
#include <span>

namespace coil::dsp {

// A Hann window and a real FFT. Not for the audio thread; one thread at a time.
class Stft {
 public:
  explicit Stft(int size);  // frames per piece; a power of two, at least 4, else throws Error
  ~Stft();
  Stft(Stft&&) noexcept;
  Stft& operator=(Stft&&) noexcept;

  int size() const;
  int bins() const { return size() / 2 + 1; }  // bin k lies at k * sample_rate_hz / size

  // `frames`: size() samples; `power`: bins() values. A sine of amplitude 1 at a bin's frequency gives 1 there.
  void analyse(std::span<const float> frames, std::span<float> power);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace coil::dsp
