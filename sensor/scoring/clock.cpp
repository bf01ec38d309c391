// One record is enough to recognise a clock change only if nothing else explains its time; otherwise several
// consecutive records must agree.
#include "sensor/scoring/clock.h"

#include <algorithm>
#include <cmath>

namespace coil::sensor {
namespace {

constexpr int64_t kSecond = 1'000'000'000, kHour = 3600 * kSecond;
constexpr int64_t kLargestShift = 26 * kHour;       // range of time zones
constexpr int64_t kFarBack = 64;                    // typical intervals: records are never this late
constexpr int64_t kJump = 4, kJumpIrregular = 64;   // typical intervals: a larger step ahead may be a clock change
constexpr int64_t kMissingAtOnce = 8;               // largest number of typical intervals between records that agree
constexpr int32_t kRememberedRecords = 16;          // the previous clock is remembered for this many records
constexpr int32_t kInRow = 2, kInRowIrregular = 3;  // consecutive late records that must agree
constexpr int32_t kInRowDoubtful = 8;               // the same, if they may have been delayed, or are in the future

// later - earlier, saturated.
int64_t between(int64_t earlier, int64_t later) noexcept {
  int64_t difference = 0;
  if (!__builtin_sub_overflow(later, earlier, &difference)) return difference;
  return later > earlier ? INT64_MAX : INT64_MIN;
}

// Without overflow.
int64_t times(int64_t count, int64_t interval) noexcept {
  int64_t product = 0;
  return __builtin_mul_overflow(count, interval, &product) ? INT64_MAX : product;
}

}  // namespace

Clock::Verdict Clock::read(int64_t time_ns, uint32_t values, const Pace& pace, double furthest_s) noexcept {
  if (last_ns_ == kNoTime) {
    move_on(time_ns, 0, values);
    return Verdict::on_time;
  }
  if (goes_on_before(time_ns, pace)) {
    const int64_t elapsed = between(before_ns_, time_ns) - times(since_before_, pace.typical_ns);
    set(time_ns, std::max(elapsed, pace.typical_ns / 2), values);
    return Verdict::set;
  }
  const int64_t ahead = between(last_ns_, time_ns),
                furthest_ns = furthest_s > 0 && furthest_s < 9e9 ? static_cast<int64_t>(1e9 * furthest_s) : INT64_MAX;
  const bool is_late = ahead < 0;
  if (!is_late && ahead <= furthest_ns) {
    if (pace.is_regular && ahead > pace.typical_ns + pace.typical_ns / 2)
      gaps_[next_gap_++ % gaps_.size()] = {last_ns_, time_ns};
    if (pace.typical_ns > 0 && ahead > times(pace.is_regular ? kJump : kJumpIrregular, pace.typical_ns))
      before_ns_ = last_ns_, since_before_ = 0;
    move_on(time_ns, ahead, values);
    return Verdict::on_time;
  }
  if (is_late && was_sent_again(time_ns, values)) return Verdict::late;
  const bool is_doubtful = !is_late || fills_a_gap(time_ns);
  if (is_late && is_doubtful) before_ns_ = kNoTime;  // the gap was real; its records arrive now
  const int32_t wanted = is_doubtful                                     ? kInRowDoubtful
                         : was_set_back(time_ns, last_ns_, values, pace) ? 1
                         : pace.is_regular                               ? kInRow
                                                                         : kInRowIrregular;
  const int64_t furthest_apart = is_late && pace.typical_ns > 0 ? times(kMissingAtOnce, pace.typical_ns) : furthest_ns;
  if (!is_believed(time_ns, wanted, furthest_apart)) return is_late ? Verdict::late : Verdict::future;
  set(time_ns, times(held_back_in_row_, pace.typical_ns), values);
  return Verdict::set;
}

// Time zones and the end of summer time shift a regular series by whole hours. A record that is older than all
// remembered ones is unlikely to be late.
bool Clock::was_set_back(int64_t time_ns, int64_t last_ns, uint32_t values, const Pace& pace) const noexcept {
  if (pace.typical_ns == 0 || was_sent_again(time_ns, values) || fills_a_gap(time_ns)) return false;
  const int64_t back = between(time_ns, last_ns);
  if (back <= 0) return false;
  const bool is_remembered = std::any_of(
      seen_.begin(), seen_.end(), [&](const Seen& seen) { return seen.time_ns != kNoTime && seen.time_ns <= time_ns; });
  if (!is_remembered && back > times(kFarBack, pace.typical_ns)) return true;
  if (!pace.is_regular || pace.typical_ns >= kHour || back > kLargestShift) return false;
  const int64_t shift = back + pace.typical_ns, hours = (shift + kHour / 2) / kHour;
  return hours > 0 && std::abs(shift - hours * kHour) <= pace.typical_ns / 20;
}

// In a series of constant values this cannot be decided: all records look like repetitions.
bool Clock::was_sent_again(int64_t time_ns, uint32_t values) const noexcept {
  if (seen_[(next_seen_ - 1) % seen_.size()].values == values) return false;
  return std::any_of(seen_.begin(), seen_.end(),
                     [&](const Seen& seen) { return seen.time_ns == time_ns && seen.values == values; });
}

bool Clock::fills_a_gap(int64_t time_ns) const noexcept {
  return std::any_of(gaps_.begin(), gaps_.end(),
                     [&](const Gap& gap) { return time_ns > gap.begin_ns && time_ns < gap.end_ns; });
}

// Whether a record fits the previous clock better than the current one.
bool Clock::goes_on_before(int64_t time_ns, const Pace& pace) const noexcept {
  if (before_ns_ == kNoTime || pace.typical_ns == 0) return false;
  const int64_t steps = since_before_ + 1, ahead = between(before_ns_, time_ns);
  const int64_t least = pace.is_regular ? times(steps, pace.typical_ns) - pace.typical_ns / 2 : 0;
  if (ahead <= least || ahead > times(steps + kMissingAtOnce, pace.typical_ns)) return false;
  const int64_t off = between(times(steps, pace.typical_ns), ahead),
                off_now = between(pace.typical_ns, between(last_ns_, time_ns));
  return std::abs(off) < (off_now == INT64_MIN ? INT64_MAX : std::abs(off_now));
}

bool Clock::is_believed(int64_t time_ns, int32_t wanted_in_row, int64_t furthest_ns) noexcept {
  const int64_t apart = held_back_in_row_ > 0 ? between(held_back_ns_, time_ns) : -1;
  held_back_in_row_ = apart >= 0 && apart <= furthest_ns ? held_back_in_row_ + 1 : 1;
  held_back_ns_ = time_ns;
  return held_back_in_row_ >= wanted_in_row;
}

void Clock::move_on(int64_t time_ns, int64_t elapsed_ns, uint32_t values) noexcept {
  if (before_ns_ != kNoTime && time_ns != last_ns_ && ++since_before_ > kRememberedRecords) before_ns_ = kNoTime;
  last_ns_ = time_ns;
  steady_ns_ += static_cast<uint64_t>(elapsed_ns);
  held_back_in_row_ = 0;
  seen_[next_seen_++ % seen_.size()] = {time_ns, values};
}

void Clock::set(int64_t time_ns, int64_t elapsed_ns, uint32_t values) noexcept {
  gaps_ = {};
  before_ns_ = last_ns_, since_before_ = 0;
  move_on(time_ns, elapsed_ns, values);
}

}  // namespace coil::sensor
