// Two stacks of snapshots.
#include "plugin/history.h"

#include <utility>

namespace coil::plugin {

namespace {

std::optional<Session> step(std::deque<Session>& from, std::deque<Session>& to, Session now) {
  if (from.empty()) return std::nullopt;
  to.push_back(std::move(now));
  Session then = std::move(from.back());
  from.pop_back();
  return then;
}

}  // namespace

History::Sessions History::changing(Session before) {
  Sessions forgotten = std::exchange(future_, {});
  past_.push_back(std::move(before));
  if (past_.size() > kDepth) {
    forgotten.push_back(std::move(past_.front()));
    past_.pop_front();
  }
  return forgotten;
}

std::optional<Session> History::undo(Session now) { return step(past_, future_, std::move(now)); }
std::optional<Session> History::redo(Session now) { return step(future_, past_, std::move(now)); }

}  // namespace coil::plugin
