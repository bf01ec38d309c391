// A ring of half hours.
#include "sensor/scoring/calendar.h"

#include <functional>

namespace coil::sensor {
namespace {

constexpr double kStep = 0.05;
constexpr size_t kDays = 3;           // of the last seven: so many are no accident
constexpr double kOtherDays = 2;      // a change at this time of other days may be so many times larger on this weekday
constexpr double kMoreThanUsual = 2;  // times the mean of all half hours: only such evidence is of that time

}  // namespace

// A change may come a little earlier or later: the neighbours count too.
double Calendar::near(int64_t slot) const noexcept {
  uint8_t most = 0;
  for (int64_t s = slot - 1; s <= slot + 1; ++s) {
    if (s <= newest_ && s > newest_ - kSlots)
      most = std::max(most, most_[static_cast<size_t>((s % kSlots + kSlots) % kSlots)]);
  }
  return kStep * most;
}

double Calendar::scheduled(int64_t time_ns) const noexcept {
  if (newest_ == INT64_MIN) return 0;
  const int64_t slot = slot_of(time_ns);
  if (slot < newest_ - kDay || slot > newest_ + kSlots) return 0;
  std::array<double, 7> days;
  for (int64_t day = 1; day <= 7; ++day) days[static_cast<size_t>(day - 1)] = near(slot - day * kDay);
  const double week_ago = days.back();
  std::nth_element(days.begin(), days.begin() + kDays - 1, days.end(), std::greater<>());
  const double usual = days[kDays - 1], confirmed = std::max(kOtherDays * usual, near(slot - 14 * kDay)),
               known = std::max(usual, std::min(week_ago, confirmed)),
               mean = kStep * static_cast<double>(sum_) /
                      static_cast<double>(std::clamp<int64_t>(newest_ - first_ + 1, kDay, kSlots));
  return known > kMoreThanUsual * mean ? known : 0;
}

void Calendar::move_to(int64_t slot) noexcept {
  if (newest_ == INT64_MIN || slot < newest_ - kSlots / 2 || slot > newest_ + kSlots) {
    most_ = {};
    sum_ = 0;
    newest_ = first_ = slot;
    return;
  }
  for (; newest_ < slot; at(newest_) = 0) sum_ -= at(++newest_);
}

void Calendar::add(int64_t time_ns, double evidence) noexcept {
  const int64_t slot = slot_of(time_ns);
  move_to(slot);
  uint8_t& most = at(slot);
  const auto now = static_cast<uint8_t>(std::clamp(evidence / kStep, 0.0, 255.0));
  if (now <= most) return;
  sum_ += now - most;
  most = now;
}

}  // namespace coil::sensor
