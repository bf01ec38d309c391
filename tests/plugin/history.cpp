// Undo and redo.
#include "plugin/history.h"

#include <catch2/catch.hpp>

namespace {

using coil::plugin::History;
using coil::plugin::Session;

Session numbered(int number) {
  Session session;
  session.chain["number"] = float(number);
  return session;
}

float number(const std::optional<Session>& session) { return session ? session->chain.at("number") : -1; }

TEST_CASE("undo goes back, redo forth, and a change after an undo forgets what was undone") {
  History history;
  CHECK_FALSE(history.can_undo());
  CHECK_FALSE(history.undo(numbered(0)));
  for (const int i : {0, 1, 2}) history.changing(numbered(i));  // now 3
  CHECK(number(history.undo(numbered(3))) == 2);
  CHECK(number(history.undo(numbered(2))) == 1);
  CHECK(number(history.redo(numbered(1))) == 2);
  CHECK(history.can_redo());
  history.changing(numbered(2));  // now 4
  CHECK_FALSE(history.can_redo());
  CHECK(number(history.undo(numbered(4))) == 2);
  CHECK(number(history.undo(numbered(2))) == 1);
  CHECK(number(history.undo(numbered(1))) == 0);
  CHECK_FALSE(history.can_undo());
}

TEST_CASE("the oldest changes are forgotten") {
  History history;
  for (int i = 0; i < 100; ++i) history.changing(numbered(i));
  int undone = 0;
  while (history.can_undo()) {
    CHECK(number(history.undo(numbered(0))) == float(99 - undone));
    ++undone;
  }
  CHECK(undone == int(History::kDepth));
}

}  // namespace
