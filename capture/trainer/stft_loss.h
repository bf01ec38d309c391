// The multi-resolution STFT loss of one lane's segment: how much the magnitudes of two signals' spectra differ.
#pragma once

#include <cstddef>
#include <memory>
#include <span>

namespace coil::capture {

// For Hann windows of 128, 512 and 1,024 frames, a quarter of a window apart, with the magnitudes X of the output and Y
// of the target: |X - Y| / |Y| over all windows and bins (Frobenius norms), plus the mean of |log X - log Y|. The loss
// is the mean over the three lengths. (Yamamoto et al. 2020, "Parallel WaveGAN".) One thread at a time.
template <class T>
class StftLoss {
 public:
  explicit StftLoss(size_t segment_frames);
  StftLoss(StftLoss&&) noexcept;
  StftLoss& operator=(StftLoss&&) noexcept;
  ~StftLoss();

  // All of segment_frames. Windows with a frame whose count is 0 are left out; so are lengths with a silent target.
  // Writes the loss' gradient with respect to the output.
  double evaluate(std::span<const T> output, std::span<const T> target, std::span<const T> counts,
                  std::span<T> gradient);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace coil::capture
