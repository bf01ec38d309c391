// Undo: steps and gestures.
#include "plugin/undo.h"

#include <utility>

namespace coil::plugin {

Undo::Undo(const Store& store) : store_(store), gestures_(store.placed_values.size()) {}

uint64_t Undo::begin(const Session& target) {
  going_to_ = target;
  return ++steps_;
}

std::optional<Session> Undo::end(uint64_t step) {
  return step == steps_ ? std::exchange(going_to_, std::nullopt) : std::nullopt;
}

std::optional<Session> Undo::forget_target() { return std::exchange(going_to_, std::nullopt); }

History::Sessions Undo::gesture(int parameter, bool starting) {
  ++gestures_[size_t(parameter)];
  if (starting) {
    if (open_gestures_++ == 0) before_gestures_ = store_.session();
    return {};
  }
  if (open_gestures_ == 0 || --open_gestures_ > 0) return {};
  const Session now = store_.session();
  bool moved = now.chain != before_gestures_->chain;
  for (size_t i = 0; i < now.slots.size(); ++i) moved |= now.slots[i].controls != before_gestures_->slots[i].controls;
  History::Sessions forgotten;
  if (moved) forgotten = changing(std::move(*before_gestures_));
  before_gestures_.reset();
  return forgotten;
}

}  // namespace coil::plugin
