// Undo and redo: the sessions before and after each change.
#pragma once

#include <deque>
#include <optional>

#include "plugin/session.h"

namespace coil::plugin {

// One thread at a time. Snapshots share their models, so undo needs no file.
class History {
 public:
  static constexpr size_t kDepth = 32;

  using Sessions = std::deque<Session>;

  // `before`: the session just before a change. Returns the sessions that are dropped, because freeing a model takes
  // time.
  Sessions changing(Session before);
  bool can_undo() const { return !past_.empty(); }
  bool can_redo() const { return !future_.empty(); }
  // The session to restore, given the current one; empty: there is nothing to undo or redo.
  std::optional<Session> undo(Session now);
  std::optional<Session> redo(Session now);

 private:
  Sessions past_, future_;  // nearest last
};

}  // namespace coil::plugin
