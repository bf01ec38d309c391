// Tries five forecasts on the remembered values: the mean, the last value, the value one season ago, the mean around
// it, and a linear regression on recent values and the last season. Uses the one with the smallest error, and that
// error as its uncertainty.
#include "sensor/scoring/gap_forecast.h"

#include <utility>

namespace coil::sensor {
namespace {

constexpr size_t kLeastValues = 12;  // for any forecast
constexpr size_t kLeastErrors = 30;  // to judge one of the forecasts
constexpr size_t kShortestPeriod = 2;
constexpr uint32_t kShareOfPeriod = 24;  // half the width of a mean around the time one season ago
constexpr double kNearlyBest = 1.15;     // a shorter period is preferred if its error is at most this much larger
constexpr uint32_t kPeriodHolds = 32;    // values until the period is searched again
constexpr double kFarOff = 4;            // mean errors: few errors are as large
constexpr double kFitted = 0.6;          // share of the samples to which a regression is fitted; the others test it
constexpr double kRidge = 1e-4;
constexpr double kMostSurprisal = 20;
// A standstill: in a series where at most this share of the steps repeated a value, so many equal steps in a row are
// unusual. Fitted on synthetic anomalies (train/forecast/README.md).
constexpr double kMostRepeated = 0.005;
constexpr size_t kLeastRepeats = 6;
constexpr double kOfRepeat = 0.4, kMostOfStandstill = 2.8;
constexpr double kAnscombe = 0.375, kLargestCount = 1e4;
constexpr double kLeastErrorOfCounts = 0.4;  // on their scale; half of that of independent events
constexpr double kDeviation = 1.25;          // mean errors that make a standard deviation
constexpr double kValuesOfDegree = 20;       // per degree of freedom: errors of neighbouring values are alike
constexpr double kLeastWidening = 0.1;       // of the bounds, per doubling of the gap

// Statistics of forecast errors, or of the means of several errors in a row.
struct Errors {
  explicit Errors(size_t in_row) : in_row(in_row) {}

  size_t in_row, seen = 0, count = 0;
  double sum = 0, largest = 0, row_sum = 0;
  std::array<double, RecentValues::kMostInMean> row = {};

  void add(double error) noexcept {
    row_sum += error - std::exchange(row[seen % in_row], error);
    if (++seen < in_row) return;
    ++count;
    const double size = std::fabs(row_sum / static_cast<double>(in_row));
    sum += size;
    largest = std::max(largest, size);
  }
  double mean() const noexcept { return std::max(sum / static_cast<double>(count), largest / kFarOff); }
  // Errors of forecasts over many steps are correlated, so the effective number of errors is smaller.
  double mean_over(size_t steps) const noexcept {
    return mean() * std::sqrt(1 + static_cast<double>(steps) / (2 * static_cast<double>(count)));
  }
};

// The remembered steps in order; the last one is a value. A missing step repeats the value before it.
struct Past {
  std::span<const double> values;
  std::span<const bool> is_value;
  size_t count() const noexcept { return values.size(); }
};

// The differences between values `lag` steps apart, over all values.
Errors differences(const Past& past, size_t lag, size_t in_row) noexcept {
  Errors errors(in_row);
  for (size_t t = lag; t < past.count(); ++t) {
    if (past.is_value[t]) errors.add(past.values[t] - past.values[t - lag]);
  }
  return errors;
}

// The period: the lag at which the series repeats itself best. Neighbouring values are alike in most series, so
// only lags beyond the first unlike values count, unless none of those is good.
size_t find_period(const Past& past) noexcept {
  std::array<double, RecentValues::kSteps / 2 + 1> off = {};
  const size_t longest = past.count() / 2;
  double best = std::numeric_limits<double>::infinity(), most = 0;
  for (size_t period = kShortestPeriod; period <= longest; ++period) {
    double sum = 0;
    for (size_t t = period; t < past.count(); ++t) sum += std::fabs(past.values[t] - past.values[t - period]);
    off[period] = sum / static_cast<double>(past.count() - period);
    best = std::min(best, off[period]), most = std::max(most, off[period]);
  }
  size_t unlike = kShortestPeriod;
  while (unlike <= longest && off[unlike] < (best + most) / 2) ++unlike;
  for (const size_t from : {unlike, kShortestPeriod}) {
    for (size_t period = from; period <= longest; ++period) {
      if (off[period] > kNearlyBest * best) continue;
      while (period < longest && off[period + 1] < off[period]) ++period;
      return period;
    }
  }
  return 0;
}

// The mean around the time `season` steps before `at`.
double smooth_season(const Past& past, size_t at, size_t season, size_t half) noexcept {
  double sum = 0;
  for (size_t t = at - season - half; t <= at - season + half; ++t) sum += past.values[t];
  return sum / static_cast<double>(2 * half + 1);
}

Errors smooth_differences(const Past& past, size_t season, size_t half, size_t in_row) noexcept {
  Errors errors(in_row);
  for (size_t t = season + half; t < past.count(); ++t) {
    if (past.is_value[t]) errors.add(past.values[t] - smooth_season(past, t, season, half));
  }
  return errors;
}

// Predicts the change of the value over `steps` as a linear function of known values.
class Regression {
 public:
  // `season`: in steps, at least `steps`; 0: none.
  Regression(const Past& past, size_t steps, size_t season) noexcept : past_(past), steps_(steps), season_(season) {
    for (const double value : past.values) mean_ += value / static_cast<double>(past.count());
  }

  size_t first() const noexcept { return std::max(steps_ + kLags.back(), season_); }
  size_t samples() const noexcept { return past_.count() - std::min(past_.count(), first()); }

  // Fits the earlier samples and tests on the later ones.
  Errors try_out(size_t in_row) noexcept {
    const size_t end = past_.count(), until = first() + static_cast<size_t>(kFitted * static_cast<double>(samples()));
    for (size_t t = first(); t < until; ++t) learn(t);
    solve();
    Errors errors(in_row);
    for (size_t t = until; t < end; ++t) {
      if (past_.is_value[t]) errors.add(past_.values[t - steps_] + of(known(t)) - past_.values[t]);
    }
    for (size_t t = until; t < end; ++t) learn(t);
    solve();
    return errors;
  }
  double next() const noexcept { return past_.values.back() + of(known(past_.count() - 1 + steps_)); }

 private:
  static constexpr std::array<size_t, 3> kLags = {1, 4, 12};
  static constexpr size_t kInputs = kLags.size() + 3;
  using Inputs = std::array<double, kInputs>;

  Inputs known(size_t at) const noexcept {
    const size_t base = at - steps_;
    const double value = past_.values[base];
    Inputs inputs = {1, value - mean_, season_ > 0 ? past_.values[at - season_] - value : 0};
    for (size_t i = 0; i < kLags.size(); ++i) inputs[3 + i] = value - past_.values[base - kLags[i]];
    return inputs;
  }
  double of(const Inputs& inputs) const noexcept {
    double sum = 0;
    for (size_t i = 0; i < kInputs; ++i) sum += weights_[i] * inputs[i];
    return sum;
  }
  void learn(size_t at) noexcept {
    if (!past_.is_value[at]) return;
    const Inputs inputs = known(at);
    const double wanted = past_.values[at] - past_.values[at - steps_];
    for (size_t i = 0; i < kInputs; ++i) {
      for (size_t j = 0; j <= i; ++j) products_[i][j] += inputs[i] * inputs[j];
      wanted_[i] += inputs[i] * wanted;
    }
  }
  // Cholesky decomposition of the normal equations. Each input is scaled to unit size, so that the ridge is the same
  // for all.
  void solve() noexcept {
    Inputs unit, y;
    std::array<Inputs, kInputs> l = {};
    for (size_t i = 0; i < kInputs; ++i) unit[i] = products_[i][i] > 0 ? std::sqrt(products_[i][i]) : 1;
    for (size_t i = 0; i < kInputs; ++i) {
      for (size_t j = 0; j <= i; ++j) {
        double sum = products_[i][j] / (unit[i] * unit[j]) + (i == j ? kRidge : 0);
        for (size_t k = 0; k < j; ++k) sum -= l[i][k] * l[j][k];
        l[i][j] = i == j ? std::sqrt(std::max(sum, kRidge)) : sum / l[j][j];
      }
      y[i] = wanted_[i] / unit[i];
      for (size_t k = 0; k < i; ++k) y[i] -= l[i][k] * y[k];
      y[i] /= l[i][i];
    }
    for (size_t i = kInputs; i-- > 0;) {
      for (size_t k = i + 1; k < kInputs; ++k) y[i] -= l[k][i] * y[k];
      y[i] /= l[i][i];
    }
    for (size_t i = 0; i < kInputs; ++i) weights_[i] = y[i] / unit[i];
  }

  Past past_;
  size_t steps_, season_;
  double mean_ = 0;
  std::array<Inputs, kInputs> products_ = {};
  Inputs wanted_ = {}, weights_ = {};
};

GapForecast from_mean(const Past& past, size_t in_row) noexcept {
  double sum = 0, count = 0;
  for (size_t t = 0; t < past.count(); ++t) {
    if (past.is_value[t]) sum += past.values[t], ++count;
  }
  Errors errors(in_row);
  for (size_t t = 0; t < past.count(); ++t) {
    if (past.is_value[t]) errors.add(past.values[t] - sum / count);
  }
  return {sum / count, errors.mean(), errors.largest, false};
}

}  // namespace

double GapForecast::scaled(double value) const noexcept {
  return is_count ? 2 * std::sqrt(std::max(0.0, value) + kAnscombe) : value;
}

double GapForecast::value() const noexcept {
  return is_count ? std::max(0.0, expected * expected / 4 - kAnscombe) : expected;
}

double GapForecast::surprisal(double value) const noexcept {
  const double distance = std::fabs(scaled(value) - expected);
  return std::min((distance / error + kFarOff * std::max(0.0, distance / furthest - 1)) / std::log(10.0),
                  kMostSurprisal);
}

// For exponential errors, 10 % lie beyond each bound.
double GapForecast::width() const noexcept {
  return 2 * std::log(5.0) * error * (is_count ? std::sqrt(value() + kAnscombe) : 1);
}

QuantileForecast GapForecast::quantiles(double width) const noexcept {
  QuantileForecast forecast;
  forecast.reference = value();
  forecast.scale = static_cast<float>(std::clamp(width / (2 * std::log(5.0)), 1e-30, 1e38));
  constexpr int kMiddle = static_cast<int>(kQuantiles / 2);
  for (int i = -kMiddle; i <= kMiddle; ++i) {
    const double out = -std::log(1 - 0.2 * std::abs(i));
    forecast.quantiles[size_t(kMiddle + i)] = static_cast<float>(std::asinh(std::copysign(out, i)));
  }
  return forecast;
}

QuantileForecast GapBounds::widened(const GapForecast& forecast, double steps) const noexcept {
  return forecast.quantiles(std::max(forecast.width(), usual_ * (1 + kLeastWidening * std::log2(steps))));
}

void RecentValues::push(double value) noexcept {
  values_[next_] = value;
  next_ = (next_ + 1) % kSteps;
  count_ = std::min<uint32_t>(count_ + 1, kSteps);
}

void RecentValues::add(double value, double steps) noexcept {
  for (double missing = std::min(std::round(steps), static_cast<double>(kSteps)); missing > 1 && count_ > 0;
       --missing) {
    push(std::numeric_limits<double>::quiet_NaN());
  }
  push(value);
  ++period_age_;
}

double RecentValues::surprisal_of_standstill() const noexcept {
  size_t repeats = 0;
  while (repeats + 1 < count_ && back(repeats + 1) == back(0)) ++repeats;
  if (repeats < kLeastRepeats) return 0;
  size_t steps = 0, repeated = 0;  // before
  for (size_t i = repeats; i + 1 < count_; ++i) {
    steps += !std::isnan(back(i)) && !std::isnan(back(i + 1));
    repeated += back(i) == back(i + 1);
  }
  const bool moves = static_cast<double>(repeated + 1) <= kMostRepeated * static_cast<double>(steps + 2);
  return moves ? std::min(kOfRepeat * static_cast<double>(repeats), kMostOfStandstill) : 0;
}

// The last step has a value.
struct RecentValues::Remembered {
  std::array<double, kSteps> values;
  std::array<bool, kSteps> is_value;
  size_t count = 0, known = 0;
  bool may_be_counts = true;

  Past past() const noexcept { return {{values.data(), count}, {is_value.data(), count}}; }
  Remembered as_counts() const noexcept {
    Remembered scaled = *this;
    const GapForecast scale{.is_count = true};
    for (size_t i = 0; i < count; ++i) scaled.values[i] = scale.scaled(values[i]);
    return scaled;
  }
};

// Without the last `left_out` values.
RecentValues::Remembered RecentValues::remembered(size_t left_out) const noexcept {
  Remembered past;
  for (size_t i = 0; i + left_out < count_; ++i) {
    const double value = values_[(next_ + kSteps - count_ + i) % kSteps];
    const bool is_known = !std::isnan(value);
    if (!is_known && past.count == 0) continue;
    past.values[past.count] = is_known ? value : past.values[past.count - 1];
    past.is_value[past.count++] = is_known;
    past.known += is_known;
    past.may_be_counts &= !is_known || (value >= 0 && value <= kLargestCount && value == std::floor(value));
  }
  while (past.count > 0 && !past.is_value[past.count - 1]) --past.count;
  return past;
}

// Whole numbers that vary less than counts of independent events are not counts.
GapForecast RecentValues::forecast(double steps, double least_error) noexcept {
  const Remembered past = remembered(0);
  if (past.may_be_counts) {
    GapForecast counts = forecast_from(past.as_counts(), 1, steps, 0);
    counts.is_count = true;
    if (counts.error >= kLeastErrorOfCounts) return counts;
  }
  return forecast_from(past, 1, steps, least_error);
}

double RecentValues::surprisal_of_mean(double steps, size_t count, double least_error) noexcept {
  const Remembered past = remembered(count);
  const double in_row = static_cast<double>(count);
  const auto surprisal = [&](const Remembered& from, bool is_count) {
    GapForecast all{.is_count = is_count};
    double distance = 0;
    for (size_t i = 0; i < count; ++i) {
      const GapForecast one =
          forecast_from(from, count, steps + static_cast<double>(i), is_count ? 0 : least_error / std::sqrt(in_row));
      if (!one.exists()) return std::pair(0.0, 0.0);
      distance += (all.scaled(values_[(next_ + kSteps - count + i) % kSteps]) - one.expected) / in_row;
      all.error = std::max(all.error, one.error);
    }
    // A mean of errors is nearer to the normal distribution than one error: Student's t.
    const double degrees = std::max(1.0, static_cast<double>(from.known) / kValuesOfDegree - 1),
                 deviations = distance / (kDeviation * all.error);
    const double rarity = (degrees + 1) / 2 * std::log1p(deviations * deviations / degrees) / std::log(10.0);
    return std::pair(std::min(rarity, kMostSurprisal), all.error);
  };
  if (past.may_be_counts) {
    const auto [rarity, error] = surprisal(past.as_counts(), true);
    if (error * std::sqrt(in_row) >= kLeastErrorOfCounts) return rarity;
  }
  return surprisal(past, false).first;
}

// `in_row`: the error is that of the mean of this many forecasts.
GapForecast RecentValues::forecast_from(const Remembered& remembered, size_t in_row, double steps_passed,
                                        double least_error) noexcept {
  const Past past = remembered.past();
  const size_t count = past.count();
  if (remembered.known < std::max(kLeastValues, in_row)) return {};
  const size_t steps = static_cast<size_t>(std::clamp(std::round(steps_passed), 1.0, 2.0 * kSteps));
  if (period_ == 0 || period_age_ >= kPeriodHolds) period_ = static_cast<uint32_t>(find_period(past)), period_age_ = 0;

  GapForecast best = from_mean(past, in_row);
  const auto offer = [&](double expected, const Errors& errors, size_t over) {
    if (errors.count < kLeastErrors) return;
    if (const double error = errors.mean_over(over); error < best.error) best = {.expected = expected, .error = error};
  };
  if (steps < count) offer(past.values[count - 1], differences(past, steps, in_row), steps);
  const size_t season = period_ > 0 ? (steps + period_ - 1) / period_ * period_ : 0;
  const bool has_season = season > 0 && season + kLeastErrors < count;
  if (has_season) offer(past.values[count - 1 + steps - season], differences(past, season, in_row), steps);
  const size_t half = period_ / kShareOfPeriod, smooth = season >= steps + half ? season : season + period_;
  if (half > 0 && smooth + half + kLeastErrors < count) {
    offer(smooth_season(past, count - 1 + steps, smooth, half), smooth_differences(past, smooth, half, in_row), steps);
  }
  if (Regression regression(past, steps, has_season ? season : 0); regression.samples() >= 2 * kLeastErrors) {
    const Errors errors = regression.try_out(in_row);
    offer(regression.next(), errors, steps);
  }
  best.error = std::max(best.error, least_error);
  return best;
}

}  // namespace coil::sensor
