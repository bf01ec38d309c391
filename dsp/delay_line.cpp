// DelayLine: a ring buffer, written and read in pieces.
#include "dsp/delay_line.h"

#include <algorithm>
#include <bit>

namespace coil::dsp {

DelayLine::DelayLine(int max_delay_frames, int fade_frames)
    : max_delay_frames_(max_delay_frames),
      ring_(std::bit_ceil(static_cast<size_t>(max_delay_frames) + kMaxPiece)),
      fade_(1, fade_frames) {}

void DelayLine::reset() noexcept {
  std::fill(ring_.begin(), ring_.end(), 0.0f);
  set_delay(wanted_, true);
}

void DelayLine::set_delay(int frames, bool at_once) noexcept {
  wanted_ = std::clamp(frames, 0, max_delay_frames_);
  if (!at_once) return;
  delay_ = wanted_;
  fade_.jump(1);
}

void DelayLine::process(std::span<float> samples) noexcept {
  const int mask = static_cast<int>(ring_.size()) - 1;
  while (!samples.empty()) {
    if (!fade_.moving() && delay_ != wanted_) {
      from_ = delay_;
      delay_ = wanted_;
      fade_.jump(0);
      fade_.aim(1);
    }
    const int frames =
        std::min({static_cast<int>(samples.size()), kMaxPiece, fade_.moving() ? fade_.frames_left() : kMaxPiece});
    const std::span<float> piece = samples.first(static_cast<size_t>(frames));
    write(piece);
    read(piece);
    if (fade_.moving()) {
      for (int i = 0; i < frames; ++i) {
        const float old = ring_[(position_ + i - from_) & mask];
        piece[i] = old + fade_.at(i) * (piece[i] - old);
      }
    }
    fade_.advance(frames);
    position_ = (position_ + frames) & mask;
    samples = samples.subspan(piece.size());
  }
}

void DelayLine::write(std::span<const float> samples) noexcept {
  const size_t first = std::min(samples.size(), ring_.size() - static_cast<size_t>(position_));
  std::copy_n(samples.begin(), first, ring_.begin() + position_);
  std::copy(samples.begin() + static_cast<ptrdiff_t>(first), samples.end(), ring_.begin());
}

void DelayLine::read(std::span<float> samples) const noexcept {
  if (delay_ == 0) return;
  const size_t begin = static_cast<size_t>(position_ - delay_) & (ring_.size() - 1);
  const size_t first = std::min(samples.size(), ring_.size() - begin);
  std::copy_n(ring_.begin() + static_cast<ptrdiff_t>(begin), first, samples.begin());
  std::copy_n(ring_.begin(), samples.size() - first, samples.begin() + static_cast<ptrdiff_t>(first));
}

}  // namespace coil::dsp
