// Undo and redo of the user's changes: the session before each of them, and gestures of knobs.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "plugin/history.h"
#include "plugin/store.h"

namespace coil::plugin {

// All functions: [any thread but the audio thread], with the store's mutex. What they return is to be freed without it,
// because freeing a model takes time.
class Undo {
 public:
  explicit Undo(const Store& store);

  // The user is about to change something. `before`: the session that undo brings back.
  History::Sessions changing() { return changing(last_session()); }
  History::Sessions changing(Session before) { return history_.changing(std::move(before)); }
  // The target of an undo or redo that is still running, else what the store holds.
  Session last_session() const { return going_to_ ? *going_to_ : store_.session(); }
  // Edits a part of the store. If an undo or redo is running, its target gets the same edit.
  template <typename Held, typename Part>
  History::Sessions edit(Held& held, Part Session::*part, auto&& change, bool is_step = true) {
    History::Sessions forgotten;
    if (is_step) forgotten = changing();
    change(held);
    if (going_to_) (*going_to_).*part = held;
    return forgotten;
  }

  bool can_undo() const { return history_.can_undo(); }
  bool can_redo() const { return history_.can_redo(); }
  // The session to go to; empty: there is none.
  std::optional<Session> back() { return history_.undo(last_session()); }
  std::optional<Session> on() { return history_.redo(last_session()); }
  uint64_t begin(const Session& target);      // returns the number of this step
  std::optional<Session> end(uint64_t step);  // it has been reached
  std::optional<Session> forget_target();     // the host sets a session
  void swap(History& history) { std::swap(history_, history); }

  // Gestures can overlap: a handle moves two parameters at once, or the wheel turns one knob while another is dragged.
  // All gestures that overlap are one undo step, if anything has changed.
  History::Sessions gesture(int parameter, bool starting);
  const std::vector<uint32_t>& gestures() const { return gestures_; }  // by parameter

 private:
  const Store& store_;
  History history_;
  std::optional<Session> going_to_;  // the target of the latest undo or redo, until it is reached
  uint64_t steps_ = 0;               // number of undos and redos
  std::vector<uint32_t> gestures_;   // how often the user grabbed and released each parameter
  int open_gestures_ = 0;            // gestures that are running now, over all parameters
  std::optional<Session> before_gestures_;
};

}  // namespace coil::plugin
