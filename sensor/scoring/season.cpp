// The constants were chosen on made-up series only (train/forecast/README.md).
#include "sensor/scoring/season.h"

#include <algorithm>

namespace coil::sensor {
namespace {

constexpr size_t kShortest = 2, kLeastCompared = 16;
constexpr size_t kWindow = 256;       // values of a running mean
constexpr double kErrorWindow = 128;  // the same, of errors
constexpr double kLeastErrors = 8;    // times the root of the horizon: errors in a row are about the same
constexpr double kNarrowest = 0.05;

// To the power of 12: the best one gets most of the weight, and of two that are alike each gets a half.
double weight_of(double error, double least) noexcept {
  if (!(error > least)) return 1;
  const double square = (least / error) * (least / error), sixth = square * square * square;
  return sixth * sixth;
}

}  // namespace

void Season::see(const RecentValues& past) noexcept {
  ++seen_;
  const size_t last = std::min<size_t>(kLongest, seen_ - 1);
  const double value = past.back(0);
  std::array<double, kLongest + 1> before;
  for (size_t lag = 1; lag <= last; ++lag) before[lag] = past.back(lag);
  const auto learn = [&](size_t lag, double rate) {
    const double change = std::fabs(value - before[lag]) - differences_[lag];
    differences_[lag] += std::isnan(change) ? 0 : rate * change;
  };
  // Apart from the others, so that the compiler can do several at a time.
  const size_t settled = std::min<size_t>(last, seen_ > kWindow ? seen_ - kWindow : 0);
  for (size_t lag = 1; lag <= settled; ++lag) learn(lag, 1.0 / kWindow);
  for (size_t lag = settled + 1; lag <= last; ++lag) learn(lag, 1.0 / static_cast<double>(seen_ - lag));
  // Two seasons must have been seen.
  const size_t longest = std::min<size_t>(seen_ / 2, seen_ > kLeastCompared ? seen_ - kLeastCompared : 0);
  const auto first = differences_.begin() + kShortest, end = differences_.begin() + std::min(longest, kLongest) + 1;
  length_ = first < end ? static_cast<uint64_t>(std::min_element(first, end) - differences_.begin()) : 0;
}

SeasonForecast Season::forecast(const RecentValues& past, size_t steps) const noexcept {
  if (length_ == 0 || steps == 0) return {};
  const size_t seasons = (steps + length_ - 1) / length_;
  const double repeated = past.back(seasons * length_ - steps);
  return {repeated, repeated + (past.back(0) - past.back(length_))};
}

void SeasonMixture::Error::see(double forecast, double value) noexcept {
  const double error = std::fabs(value - forecast);
  if (!std::isfinite(error)) return;
  ++count;
  mean += (error - mean) / std::min(count, kErrorWindow);
}

void SeasonMixture::see(const Medians& forecast, double value) noexcept {
  model_.see(forecast.model, value);
  mixed_.see(forecast.mixed, value);
  repeated_.see(forecast.season.repeated, value);
  shifted_.see(forecast.season.shifted, value);
}

QuantileForecast SeasonMixture::mixed(const QuantileForecast& model, const SeasonForecast& season, size_t horizon,
                                      Medians& medians) const noexcept {
  medians = {};
  if (!model.exists()) return model;
  const double own = model.median();
  medians = {own, own, season};
  const double least_count = kLeastErrors * std::sqrt(static_cast<double>(horizon));
  const auto counts = [&](const Error& error, double forecast) {
    return error.count >= least_count && std::isfinite(forecast);
  };
  const bool has_repeated = counts(repeated_, season.repeated), has_shifted = counts(shifted_, season.shifted);
  if (!counts(model_, own) || !(has_repeated || has_shifted)) return model;
  double least = model_.mean;
  if (has_repeated) least = std::min(least, repeated_.mean);
  if (has_shifted) least = std::min(least, shifted_.mean);
  double moved = 0, sum = weight_of(model_.mean, least);
  const auto add = [&](const Error& error, double forecast) {
    const double weight = weight_of(error.mean, least);
    moved += weight * (forecast - own), sum += weight;
  };
  if (has_repeated) add(repeated_, season.repeated);
  if (has_shifted) add(shifted_, season.shifted);
  medians.mixed = own + moved / sum;
  const bool is_better = mixed_.count >= least_count && mixed_.mean < model_.mean;
  const double width = is_better ? std::max(mixed_.mean / model_.mean, kNarrowest) : 1;
  QuantileForecast mixed = model;
  for (size_t i = 0; i < kQuantiles; ++i) {
    const double value = medians.mixed + width * (model.value(i) - own);
    mixed.quantiles[i] =
        std::clamp(static_cast<float>(std::asinh((value - model.reference) / model.scale)), -kAsinhLimit, kAsinhLimit);
  }
  return mixed;
}

}  // namespace coil::sensor
