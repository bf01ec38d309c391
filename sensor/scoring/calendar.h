// What is unusual at the same time of the day or week again and again: scheduled changes.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

namespace coil::sensor {

// Remembers the highest evidence of each half hour of the last 16 days. Plain data. One thread at a time.
class Calendar {
 public:
  // Lower evidence is not remembered. It is far from an alarm.
  static constexpr double kLeast = 1.3;

  // The evidence that this time of the day or week has shown repeatedly: on three of the last seven days, or a week ago
  // and two weeks ago. 0 if that is no more than other times show. [any thread]
  double scheduled(int64_t time_ns) const noexcept;
  // Evidence of kLeast or more. Call after scheduled() for the same time. [any thread]
  void add(int64_t time_ns, double evidence) noexcept;

  // Everything that is remembered, for state files.
  template <class Fields>
  void visit(Fields&& fields) {
    fields(newest_, first_, sum_, most_);
  }

 private:
  static constexpr int64_t kSlot_ns = 1'800'000'000'000, kDay = 48, kSlots = 16 * kDay;

  static int64_t slot_of(int64_t time_ns) noexcept { return (time_ns - (time_ns < 0 ? kSlot_ns - 1 : 0)) / kSlot_ns; }
  uint8_t& at(int64_t slot) noexcept { return most_[static_cast<size_t>((slot % kSlots + kSlots) % kSlots)]; }
  double near(int64_t slot) const noexcept;
  void move_to(int64_t slot) noexcept;

  int64_t newest_ = INT64_MIN, first_ = 0;  // slots since 1970: of the last evidence, of the first one
  int64_t sum_ = 0;                         // of most_
  std::array<uint8_t, kSlots> most_ = {};   // in steps of kStep
};

}  // namespace coil::sensor
