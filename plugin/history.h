// Undo and redo: what the session was before each change.
#pragma once

#include <deque>
#include <optional>

#include "plugin/session.h"

namespace coil::plugin {

// One thread at a time. The snapshots share their models, so that going back needs no file.
class History {
 public:
  static constexpr size_t kDepth = 32;

  using Sessions = std::deque<Session>;

  // `before`: the session as it is, just before it changes. Returns what is forgotten by it: to free a model takes
  // time.
  Sessions changing(Session before);
  bool can_undo() const { return !past_.empty(); }
  bool can_redo() const { return !future_.empty(); }
  // The session to go to, from `now`; none: there is nothing to undo or redo.
  std::optional<Session> undo(Session now);
  std::optional<Session> redo(Session now);

 private:
  Sessions past_, future_;  // the nearest last
};

}  // namespace coil::plugin
