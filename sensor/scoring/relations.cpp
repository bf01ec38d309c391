// Judges several values together. The same constants apply to all data; train/forecast/README.md says how they were
// chosen.
#include "sensor/scoring/relations.h"

#include <Eigen/Cholesky>
#include <algorithm>
#include <limits>
#include <numbers>

namespace coil::sensor {
namespace {

constexpr double kBlock = 25;          // records
constexpr double kRunning = 13;        // records of a running mean; it varies as much as the mean of a block
constexpr double kFirstRecords = 100;  // to be learnt before anything is compared
constexpr double kMemory = 4000;       // records; older ones fade
constexpr double kRidge = 0.1;         // of the correlation matrix
constexpr double kLeastDistance = 0.05;
constexpr double kPriorBlocks = 4;  // the prior counts as this many blocks, of these deviations
constexpr double kPriorLogSpread = 0.3, kPriorResidual = 0.4;
constexpr double kMostBlocks = 60;    // older ones fade
constexpr double kBlocksToDoubt = 6;  // from here on, unusual blocks are hardly learnt
constexpr double kDoubtful = 2;       // surprisal of such a block
constexpr double kDoubtfulShare = 0.05;
constexpr double kMostSurprising = 9;  // variances: what one block adds at most
constexpr int32_t kQuietRecords = 25;  // without evidence for an alarm; then a broken relation counts as restored
constexpr int kSweeps = 3;             // over the missing values, if there are several
constexpr double kTiny = 1e-150;       // a smaller deviation counts as 0
constexpr double kConstant = 1e-6;     // relative to its mean: a value that varies less has no relations

// Of a squared deviation in units of the variance, by Student's t.
double surprisal(double squared, double degrees) {
  return (degrees + 1) / 2 * std::log1p(squared / degrees) / std::numbers::ln10;
}

}  // namespace

Relations::Relations(size_t values)
    : log_variance_(kPriorLogSpread * kPriorLogSpread),
      mean_(values),
      covariance_(values * values),
      variance_(values, kPriorResidual * kPriorResidual),
      running_(values),
      block_mean_(values),
      block_covariance_(values * values),
      block_residual_(values),
      z_(values),
      y_(values),
      residual_(values),
      filled_(values),
      is_there_(values) {}

Relations::Judgement Relations::observe(std::span<const double> values) {
  Judgement judgement;
  std::copy(values.begin(), values.end(), filled_.begin());
  if (has_reference()) {
    standardise(values);
    judgement = judge(values);
  } else {
    for (size_t i = 0; i < size(); ++i) {
      if (std::isnan(values[i])) filled_[i] = block_records_ > 0 ? block_mean_[i] : mean_[i];
    }
  }
  collect(filled_);
  return judgement;
}

bool Relations::is_known(size_t value) const {
  return scale_[value] > std::max(kConstant * std::fabs(mean_[value]), 2 * kTiny);
}

// A missing value, or one that has been constant so far, is replaced by what the others predict.
void Relations::standardise(std::span<const double> values) {
  const size_t n = size();
  bool all_there = true;
  for (size_t i = 0; i < n; ++i) {
    is_there_[i] = !std::isnan(values[i]) && is_known(i);
    all_there = all_there && is_there_[i];
    z_[i] = is_there_[i] ? (values[i] - mean_[i]) / scale_[i] : 0;
  }
  const auto row = [&](size_t i) {
    double sum = 0;
    for (size_t j = 0; j < n; ++j) sum += precision_[i * n + j] * z_[j];
    return sum;
  };
  for (int sweep = 0; sweep < kSweeps && !all_there; ++sweep) {
    for (size_t i = 0; i < n; ++i) {
      if (!is_there_[i]) z_[i] -= row(i) / precision_[i * n + i];
    }
  }
  for (size_t i = 0; i < n; ++i) {
    y_[i] = row(i);
    residual_[i] = is_there_[i] ? y_[i] / gain_[i] : 0;
    if (std::isnan(values[i])) filled_[i] = mean_[i] + scale_[i] * z_[i];
  }
}

Relations::Surprise Relations::surprise(double log, std::span<const double> residuals) const {
  const double degrees = std::min(blocks_, kMostBlocks) + kPriorBlocks - 1;
  Surprise surprise;
  const double above = std::max(0.0, log - log_mean_);
  surprise.distance = surprisal(above * above / log_variance_, degrees);
  double most = 0;
  for (size_t i = 0; i < size(); ++i) {
    const double squared = residuals[i] * residuals[i] / variance_[i];
    if (squared > most) most = squared, surprise.value = i;
  }
  surprise.residual = std::max(0.0, surprisal(most, degrees) - std::log10(static_cast<double>(size())));
  return surprise;
}

Relations::Judgement Relations::judge(std::span<const double> values) {
  double distance = 0;
  for (size_t i = 0; i < size(); ++i) {
    distance += z_[i] * y_[i];
    running_[i] += (residual_[i] - running_[i]) / kRunning;
    block_residual_[i] += residual_[i];
  }
  const double log = std::log(std::max(0.0, distance) / static_cast<double>(size()) + kLeastDistance);
  log_ += (log - log_) / kRunning;
  block_log_ += log;
  Judgement judgement;
  if (!is_ready()) return judgement;
  const Surprise now = surprise(log_, running_);
  judgement.evidence = std::hypot(now.distance, now.residual);
  judgement.event = event_of(judgement.evidence);
  // While a relation stays broken, one value is named.
  if (judgement.event > 0) worst_ = now.value;
  judgement.value = worst_;
  find_expected(values, judgement);
  return judgement;
}

// An event is reported at its onset, and again only if it doubles.
double Relations::event_of(double evidence) {
  const bool is_alarm = evidence >= kEvidenceOfAlarm;
  quiet_records_ = is_alarm ? 0 : quiet_records_ + 1;
  if (quiet_records_ > kQuietRecords) reported_ = 0;
  if (evidence < 2 * reported_) return 0;
  if (is_alarm) reported_ = evidence;
  return evidence;
}

void Relations::find_expected(std::span<const double> values, Judgement& judgement) const {
  const size_t n = size(), worst = judgement.value;
  const auto tie = [&](size_t i) {
    return i == worst || !is_there_[i] ? -1.0 : std::fabs(precision_[worst * n + i]) / gain_[i];
  };
  size_t first = worst, second = worst;
  for (size_t i = 0; i < n; ++i) {
    if (tie(i) > tie(first))
      second = first, first = i;
    else if (tie(i) > tie(second))
      second = i;
  }
  judgement.others[0] = first;
  judgement.others[1] = second == worst ? first : second;
  judgement.expected = std::isnan(values[worst])
                           ? std::numeric_limits<double>::quiet_NaN()
                           : mean_[worst] + scale_[worst] * (z_[worst] - y_[worst] / precision_[worst * n + worst]);
}

void Relations::collect(std::span<const double> values) {
  const size_t n = size();
  ++block_records_;
  for (size_t i = 0; i < n; ++i) {
    y_[i] = values[i] - block_mean_[i];
    block_mean_[i] += y_[i] / block_records_;
  }
  for (size_t i = 0; i < n; ++i) {
    for (size_t j = 0; j < n; ++j) block_covariance_[i * n + j] += y_[i] * (values[j] - block_mean_[j]);
  }
  if (block_records_ == kBlock) end_block();
}

void Relations::end_block() {
  double share = 1;
  if (has_reference()) {
    for (double& residual : block_residual_) residual /= kBlock;
    block_log_ /= kBlock;
    const Surprise block = surprise(block_log_, block_residual_);
    if (blocks_ >= kBlocksToDoubt && std::max(block.distance, block.residual) > kDoubtful) share = kDoubtfulShare;
    learn_distances(share);
  }
  merge(share);
  if (records_ >= kFirstRecords) invert();
  block_records_ = block_log_ = 0;
  for (std::vector<double>* numbers : {&block_mean_, &block_covariance_, &block_residual_})
    std::fill(numbers->begin(), numbers->end(), 0.0);
}

void Relations::learn_distances(double share) {
  if (blocks_ == 0) log_mean_ = block_log_;
  const double known = std::min(blocks_, kMostBlocks), off = block_log_ - log_mean_;
  const auto add = [&](double& variance, double squared) {
    variance += share * (std::min(squared, kMostSurprising * variance) - variance) / (known + kPriorBlocks);
  };
  log_mean_ += share * off / (known + 1);
  add(log_variance_, off * off);
  for (size_t i = 0; i < size(); ++i) add(variance_[i], block_residual_[i] * block_residual_[i]);
  if (share == 1) ++blocks_;
}

// The block joins what was learnt (Chan, Golub and LeVeque 1979). Covariances are means of products.
void Relations::merge(double share) {
  const size_t n = size();
  const double added = share * kBlock, all = records_ + added, between = records_ * added / all;
  for (size_t i = 0; i < n; ++i) y_[i] = block_mean_[i] - mean_[i];
  for (size_t i = 0; i < n; ++i) {
    for (size_t j = 0; j < n; ++j) {
      double& covariance = covariance_[i * n + j];
      covariance = (records_ * covariance + share * block_covariance_[i * n + j] + between * y_[i] * y_[j]) / all;
    }
  }
  for (size_t i = 0; i < n; ++i) mean_[i] += y_[i] * added / all;
  records_ = std::min(all, kMemory);
}

void Relations::invert() {
  if (records_ < kFirstRecords) return;
  using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  const auto n = static_cast<Eigen::Index>(size());
  precision_.resize(size() * size()), scale_.resize(size()), gain_.resize(size());
  for (size_t i = 0; i < size(); ++i) scale_[i] = std::max(std::sqrt(covariance_[i * size() + i]), kTiny);
  Matrix correlation(n, n);
  for (Eigen::Index i = 0; i < n; ++i) {
    for (Eigen::Index j = 0; j < n; ++j) {
      const double product = covariance_[size_t(i * n + j)] / (scale_[size_t(i)] * scale_[size_t(j)]);
      correlation(i, j) = i == j ? 1 : product / (1 + kRidge);
    }
  }
  Eigen::Map<Matrix>(precision_.data(), n, n) = correlation.llt().solve(Matrix::Identity(n, n));
  for (size_t i = 0; i < size(); ++i) gain_[i] = std::sqrt(precision_[i * size() + i]);
}

}  // namespace coil::sensor
