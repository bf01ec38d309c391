// Caches the settled states of a model's streams, so that the next stream with the same controls need not process the
// silence again.
#pragma once

#include <cstddef>
#include <deque>
#include <mutex>
#include <optional>
#include <utility>

#include "ssm/model/state.h"

namespace coil::ssm {

class SettledStates {
 public:
  static constexpr size_t kKept = 16;  // the most recent ones, one per setting of the knobs

  // The settled state of a stream that started from `begin`; empty if it is not cached. [any thread but the audio
  // thread]
  std::optional<State> of(const State& begin) const {
    const std::lock_guard lock(mutex_);
    for (const auto& [known, rest] : kept_)
      if (known == begin) return rest;
    return std::nullopt;
  }

  void keep(State begin, State rest) {
    const std::lock_guard lock(mutex_);
    kept_.emplace_front(std::move(begin), std::move(rest));
    if (kept_.size() > kKept) kept_.pop_back();
  }

 private:
  mutable std::mutex mutex_;
  std::deque<std::pair<State, State>> kept_;  // most recent first
};

}  // namespace coil::ssm
