// Judges several values together, and finds the one that no longer fits the others.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "sensor/scoring/detector.h"

namespace coil::sensor {

// Learns mean and covariance of the values. Each value is compared with its regression on all others: the partial
// residual y_i / sqrt(P_ii) with y = P z, where z are the standardised values and P is the inverse of their correlation
// matrix (Lauritzen, Graphical Models, 1996, 5.1). Two numbers are judged against those of earlier blocks of records,
// as by Student's t: running means of the residuals, the largest of which names the value, and the running mean of the
// logarithm of z'Pz, the Mahalanobis distance. Blocks that are unusual are hardly learnt, so that a fault that lasts
// stays one. Memory does not grow. One thread at a time.
class Relations {
 public:
  // `values`: how many; two or more.
  explicit Relations(size_t values);

  struct Judgement {
    double evidence = 0;        // surprisal: how unusual the values are together
    double event = 0;           // the same, but 0 if it adds nothing to what was reported
    size_t value = 0;           // the one that fits the others least
    double expected = 0;        // predicted from the others; NaN: there is none
    size_t others[2] = {0, 0};  // those that it depends on most; equal if there is one
  };
  // `values`: in the same order each time; NaN: missing. [any thread]
  Judgement observe(std::span<const double> values);

  size_t size() const { return mean_.size(); }
  // True once there is something to compare with. [any thread]
  bool is_ready() const { return blocks_ >= kBlocksToJudge; }

  // `Writer`, `Reader`: of state files. The number of values must be the same.
  template <class Writer>
  void write(Writer& writer) const {
    for (const double* number : {&records_, &blocks_, &log_mean_, &log_variance_, &log_, &block_log_, &block_records_})
      writer.value(*number);
    for (const std::vector<double>* numbers :
         {&mean_, &covariance_, &variance_, &running_, &block_mean_, &block_covariance_, &block_residual_})
      writer.raw(numbers->data(), numbers->size() * sizeof(double));
    writer.value(reported_), writer.value(quiet_records_);
    writer.value(static_cast<uint64_t>(worst_));
  }
  template <class Reader>
  void read(Reader& reader) {
    for (double* number : {&records_, &blocks_, &log_mean_, &log_variance_, &log_, &block_log_, &block_records_})
      *number = reader.template value<double>();
    for (std::vector<double>* numbers :
         {&mean_, &covariance_, &variance_, &running_, &block_mean_, &block_covariance_, &block_residual_})
      reader.raw(numbers->data(), numbers->size() * sizeof(double));
    reported_ = reader.template value<double>(), quiet_records_ = reader.template value<int32_t>();
    worst_ = reader.template value<uint64_t>();
    invert();
  }

 private:
  static constexpr double kBlocksToJudge = 3;

  struct Surprise {
    double distance = 0, residual = 0;
    size_t value = 0;
  };
  bool has_reference() const { return !precision_.empty(); }
  bool is_known(size_t value) const;
  void standardise(std::span<const double> values);
  double event_of(double evidence);
  Surprise surprise(double log, std::span<const double> residuals) const;
  Judgement judge(std::span<const double> values);
  void find_expected(std::span<const double> values, Judgement& judgement) const;
  void collect(std::span<const double> values);
  void end_block();
  void learn_distances(double share);
  void merge(double share);
  void invert();

  double records_ = 0, blocks_ = 0;                   // learnt
  double log_mean_ = 0, log_variance_ = 0, log_ = 0;  // of the distance: of blocks, and its running mean
  double block_log_ = 0, block_records_ = 0;
  std::vector<double> mean_, covariance_;   // of the values; sums of products
  std::vector<double> variance_, running_;  // of the residuals: of blocks, and their running means
  std::vector<double> block_mean_, block_covariance_, block_residual_;
  double reported_ = 0;  // evidence of the last event, while a relation is broken; 0: none is
  int32_t quiet_records_ = 0;
  size_t worst_ = 0;  // named by the last event
  // Follow from the others.
  std::vector<double> precision_, scale_, gain_;
  std::vector<double> z_, y_, residual_, filled_;
  std::vector<bool> is_there_;
};

}  // namespace coil::sensor
