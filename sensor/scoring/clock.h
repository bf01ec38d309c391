// The clock of one sensor: distinguishes late records from clock changes, and provides a time that never goes back.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace coil::sensor {

inline constexpr int64_t kNoTime = INT64_MIN;

// How regularly a sensor's records arrive. `is_regular`: at whole multiples of the typical interval.
struct Pace {
  int64_t typical_ns = 0;  // 0: unknown
  bool is_regular = false;
};

// Clocks are set back by an hour or a year, and a single record may be ten years ahead. Neither stops a series: the
// first record after a clock change is taken as one typical interval after the last one. The previous clock is
// remembered for some records, and a record that fits it restores it. Plain data. One thread at a time.
class Clock {
 public:
  enum class Verdict : uint8_t {
    on_time,  // not before the last record
    set,      // the clock was changed, or the previous clock is restored
    late,     // belongs before the last record
    future    // too far ahead to be believed
  };

  // `values`: a hash of the record's values. `furthest_s`: a record further ahead is not believed; 0: no limit. [any
  // thread]
  Verdict read(int64_t time_ns, uint32_t values, const Pace& pace, double furthest_s) noexcept;
  // Whether one record shows that the clock was set back; `last_ns`: the last record's time. [any thread]
  bool was_set_back(int64_t time_ns, int64_t last_ns, uint32_t values, const Pace& pace) const noexcept;

  int64_t last_ns() const noexcept {
    return last_ns_;
  }  // original time of the last record that was on time; kNoTime:
     // none
  // The last record's time on a clock that is never changed. Wraps around: only differences are meaningful. [any
  // thread]
  uint64_t steady_ns() const noexcept { return steady_ns_; }

  // All fields to save in state files.
  template <class Fields>
  void visit(Fields&& fields) {
    fields(last_ns_, steady_ns_, before_ns_, since_before_, held_back_in_row_, held_back_ns_, next_seen_, next_gap_,
           gaps_, seen_);
  }

 private:
  struct Seen {
    int64_t time_ns = kNoTime;
    uint32_t values = 0;

    template <class Fields>
    void visit(Fields&& fields) {
      fields(time_ns, values);
    }
  };
  struct Gap {
    int64_t begin_ns = kNoTime, end_ns = kNoTime;

    template <class Fields>
    void visit(Fields&& fields) {
      fields(begin_ns, end_ns);
    }
  };

  bool was_sent_again(int64_t time_ns, uint32_t values) const noexcept;
  bool fills_a_gap(int64_t time_ns) const noexcept;
  bool goes_on_before(int64_t time_ns, const Pace& pace) const noexcept;
  bool is_believed(int64_t time_ns, int32_t wanted_in_row, int64_t furthest_ns) noexcept;
  void move_on(int64_t time_ns, int64_t elapsed_ns, uint32_t values) noexcept;
  void set(int64_t time_ns, int64_t elapsed_ns, uint32_t values) noexcept;

  int64_t last_ns_ = kNoTime;
  uint64_t steady_ns_ = 0;
  int64_t before_ns_ = kNoTime;     // the last time of the previous clock; kNoTime: none
  int32_t since_before_ = 0;        // records since then
  int32_t held_back_in_row_ = 0;    // late or future records in a row
  int64_t held_back_ns_ = kNoTime;  // time of the last of them
  uint32_t next_seen_ = 0, next_gap_ = 0;
  std::array<Gap, 4> gaps_;
  std::array<Seen, 32> seen_;
};

}  // namespace coil::sensor
