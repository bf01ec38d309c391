// Convolver: direct convolution for the first taps, then short partitions, then long ones. Eigen does the FFTs.
#include "dsp/convolver.h"

#include <algorithm>
#include <complex>
#include <cstddef>
#include <unsupported/Eigen/FFT>
#include <vector>

namespace coil::dsp {
namespace {

constexpr int kShort = 64;   // frames of the direct part and of a short partition
constexpr int kLong = 1024;  // frames of a long partition
// The long partitions start at this tap: their first result is needed one long block after their input block is
// complete.
constexpr int kLongFrom = 2 * kLong;

// Spectra of real signals of 2 * block frames. Real and imaginary parts are stored apart, so that the products are
// vectorised.
class Transform {
 public:
  explicit Transform(int block) : size_(2 * block), time_(size_t(size_)), bins_(size_t(block) + 1) {
    fft_.SetFlag(Eigen::FFT<float>::HalfSpectrum);
    // Eigen makes its plans and allocates their memory at the first use: do that here.
    fft_.fwd(bins_.data(), time_.data(), size_);
    fft_.inv(time_.data(), bins_.data(), size_);
  }

  size_t bins() const noexcept { return bins_.size(); }

  void forward(const float* frames, float* re, float* im) noexcept {
    fft_.fwd(bins_.data(), frames, size_);
    for (size_t k = 0; k < bins_.size(); ++k) re[k] = bins_[k].real(), im[k] = bins_[k].imag();
  }

  const float* inverse(const float* re, const float* im) noexcept {
    for (size_t k = 0; k < bins_.size(); ++k) bins_[k] = {re[k], im[k]};
    fft_.inv(time_.data(), bins_.data(), size_);
    return time_.data();
  }

 private:
  Eigen::FFT<float> fft_;
  int size_;
  std::vector<float> time_;
  std::vector<std::complex<float>> bins_;
};

// sum += a b, for complex numbers.
void multiply_add(const float* __restrict a_re, const float* __restrict a_im, const float* __restrict b_re,
                  const float* __restrict b_im, float* __restrict sum_re, float* __restrict sum_im,
                  size_t count) noexcept {
  for (size_t k = 0; k < count; ++k) {
    sum_re[k] += a_re[k] * b_re[k] - a_im[k] * b_im[k];
    sum_im[k] += a_re[k] * b_im[k] + a_im[k] * b_re[k];
  }
}

// Partitions of `block` taps each, by overlap-save. Input arrives in blocks. The products for a block may be computed
// in several steps before its output is needed.
class Partitions {
 public:
  Partitions(std::span<const float> h, int block)
      : block_(size_t(block)), transform_(block), count_((h.size() + block_ - 1) / block_), window_(2 * block_) {
    const size_t bins = transform_.bins();
    for (std::vector<float>* planes : {&h_re_, &h_im_, &x_re_, &x_im_}) planes->assign(count_ * bins, 0.0f);
    for (std::vector<float>* plane : {&sum_re_, &sum_im_}) plane->assign(bins, 0.0f);
    std::vector<float> padded(2 * block_);
    for (size_t p = 0; p < count_; ++p) {
      std::fill(padded.begin(), padded.end(), 0.0f);
      const std::span<const float> taps = h.subspan(p * block_, std::min(block_, h.size() - p * block_));
      std::copy(taps.begin(), taps.end(), padded.begin());
      transform_.forward(padded.data(), &h_re_[p * bins], &h_im_[p * bins]);
    }
  }

  bool empty() const noexcept { return count_ == 0; }

  void reset() noexcept {
    for (std::vector<float>* all : {&window_, &x_re_, &x_im_}) std::fill(all->begin(), all->end(), 0.0f);
    newest_ = done_ = 0;
  }

  // A block of input is complete: starts the computation of its output.
  void begin(const float* frames) noexcept {
    std::copy(window_.begin() + ptrdiff_t(block_), window_.end(), window_.begin());
    std::copy_n(frames, block_, window_.begin() + ptrdiff_t(block_));
    newest_ = newest_ == 0 ? count_ - 1 : newest_ - 1;
    const size_t at = newest_ * transform_.bins();
    transform_.forward(window_.data(), &x_re_[at], &x_im_[at]);
    std::fill(sum_re_.begin(), sum_re_.end(), 0.0f);
    std::fill(sum_im_.begin(), sum_im_.end(), 0.0f);
    done_ = 0;
  }

  // Computes the products up to the share part / parts.
  void advance(size_t part, size_t parts) noexcept {
    const size_t bins = transform_.bins();
    for (const size_t until = count_ * part / parts; done_ < until; ++done_) {
      const size_t x = (newest_ + done_) % count_ * bins, h = done_ * bins;
      multiply_add(&h_re_[h], &h_im_[h], &x_re_[x], &x_im_[x], sum_re_.data(), sum_im_.data(), bins);
    }
  }

  // The output of these taps for the frames of the newest block.
  void finish(float* out) noexcept {
    std::copy_n(transform_.inverse(sum_re_.data(), sum_im_.data()) + block_, block_, out);
  }

 private:
  size_t block_;
  Transform transform_;
  size_t count_;
  std::vector<float> window_;                     // the last two input blocks
  std::vector<float> h_re_, h_im_, x_re_, x_im_;  // [partition][bin]; x is a ring whose newest block is at newest_
  std::vector<float> sum_re_, sum_im_;
  size_t newest_ = 0, done_ = 0;
};

std::span<const float> taps_between(std::span<const float> h, size_t from, size_t to) {
  from = std::min(from, h.size());
  return h.subspan(from, std::min(to, h.size()) - from);
}

}  // namespace

struct Convolver::Impl {
  explicit Impl(std::span<const float> h)
      : head(taps_between(h, 0, kShort).begin(), taps_between(h, 0, kShort).end()),
        near(taps_between(h, kShort, kLongFrom), kShort),
        far(taps_between(h, kLongFrom, h.size()), kLong),
        past(2 * kShort),
        near_out(kShort),
        far_in(kLong),
        far_out(kLong),
        far_next(kLong) {
    head.resize(kShort, 0.0f);
    std::reverse(head.begin(), head.end());
  }

  void reset() noexcept {
    near.reset();
    far.reset();
    for (std::vector<float>* all : {&past, &near_out, &far_in, &far_out, &far_next})
      std::fill(all->begin(), all->end(), 0.0f);
    at = far_at = 0;
    far_begun = false;
  }

  // Adds `frames` frames, at most up to the end of the current block.
  void run(float* samples, int frames) noexcept {
    std::copy_n(samples, frames, past.begin() + kShort + at);
    if (!far.empty()) std::copy_n(samples, frames, far_in.begin() + far_at);
    for (int i = 0; i < frames; ++i) {
      // head[0] belongs to the frame kShort - 1 frames ago.
      const float* const x = past.data() + at + i + 1;
      float sums[8] = {};
      for (int k = 0; k < kShort; k += 8)
        for (int lane = 0; lane < 8; ++lane) sums[lane] += head[size_t(k + lane)] * x[k + lane];
      float y = near_out[size_t(at + i)] + far_out[size_t(far_at + i)];
      for (const float sum : sums) y += sum;
      samples[i] = y;
    }
    at += frames;
    far_at += frames;
    if (at == kShort) end_short_block();
  }

  void end_short_block() noexcept {
    if (!near.empty()) {
      near.begin(past.data() + kShort);
      near.advance(1, 1);
      near.finish(near_out.data());
    }
    std::copy(past.begin() + kShort, past.end(), past.begin());
    at = 0;
    if (far.empty()) {
      far_at %= kLong;
      return;
    }
    if (far_begun) far.advance(size_t(far_at / kShort), kLong / kShort);
    if (far_at == kLong) end_long_block();
  }

  void end_long_block() noexcept {
    if (far_begun) {
      far.finish(far_next.data());
      far_out.swap(far_next);
    }
    far.begin(far_in.data());
    far_begun = true;
    far_at = 0;
  }

  std::vector<float> head;  // last tap first
  Partitions near, far;
  std::vector<float> past;               // the previous block and the current one
  std::vector<float> near_out;           // output of the short partitions for this block
  std::vector<float> far_in;             // the long block that is being filled
  std::vector<float> far_out, far_next;  // output of the long partitions for this long block and the next
  int at = 0, far_at = 0;
  bool far_begun = false;
};

Convolver::Convolver(std::span<const float> h) : impl_(std::make_unique<Impl>(h)) {}
Convolver::~Convolver() = default;
Convolver::Convolver(Convolver&&) noexcept = default;
Convolver& Convolver::operator=(Convolver&&) noexcept = default;

void Convolver::reset() noexcept { impl_->reset(); }

void Convolver::process(std::span<float> samples) noexcept {
  for (size_t begin = 0; begin < samples.size();) {
    const size_t frames = std::min(samples.size() - begin, size_t(kShort - impl_->at));
    impl_->run(samples.data() + begin, int(frames));
    begin += frames;
  }
}

}  // namespace coil::dsp
