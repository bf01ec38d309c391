// Sessions: restoring, searching for models, and damaged or foreign bytes.
#include "plugin/session.h"

#include <catch2/catch.hpp>
#include <cstring>
#include <filesystem>

#include "base/error.h"
#include "tests/plugin/sessions.h"
#include "tests/support/random_network.h"
#include "tests/support/temp_dir.h"

namespace {

using namespace coil;
using plugin::Session;

juce::File file_at(const std::filesystem::path& path) { return juce::File(path.string()); }

plugin::LibraryFolders folders(const test::TempDir& dir) {
  std::filesystem::create_directories(dir / "factory");
  return {{file_at(dir / "factory")}, file_at(dir / "user"), file_at(dir / "settings.json")};
}

Session saved_and_opened(const Session& session) { return plugin::session_from_bytes(plugin::to_bytes(session)); }

TEST_CASE("a session comes back as it was saved") {
  Session session = test::overdrive_session({{"drive", 0.1f + 0.2f}, {"level", -39.99f}});
  session.slots[0].path = "/somewhere/else.safetensors";
  session.active_slot = 1;
  session.chain["input_gain"] = -1.0f / 3;
  const Session back = saved_and_opened(session);
  CHECK(back.active_slot == 1);
  CHECK(back.chain == session.chain);
  CHECK(back.slots[1].empty());
  CHECK(back.slots[0].hash == session.slots[0].hash);
  CHECK(back.slots[0].name == "Green Overdrive");
  CHECK(back.slots[0].path == session.slots[0].path);
  CHECK(back.slots[0].controls == session.slots[0].controls);
  REQUIRE(back.slots[0].file_bytes);
  CHECK(*back.slots[0].file_bytes == *session.slots[0].file_bytes);
  CHECK(plugin::to_bytes(back) == plugin::to_bytes(session));
}

TEST_CASE("a session stores the choice for other rates, one without it uses the models' own") {
  using Mode = dsp::RateMode;
  Session session;
  for (const Mode mode : {Mode::model_default, Mode::prefer_steps, Mode::resample}) {
    session.rate_mode = mode;
    CHECK(saved_and_opened(session).rate_mode == mode);
  }
}

TEST_CASE("bytes after a session are ignored, a session that is cut off or changed in any byte is refused") {
  Session session = test::overdrive_session();
  session.slots[0].file_bytes = std::make_shared<const std::vector<std::byte>>(50, std::byte{7});
  std::vector<std::byte> bytes = plugin::to_bytes(session);
  std::vector<std::byte> longer = bytes;
  longer.resize(longer.size() + 13);
  CHECK(plugin::session_from_bytes(longer).slots[0].hash == session.slots[0].hash);
  for (size_t length = 0; length < bytes.size(); length += length < 40 ? 1 : 17)
    CHECK_THROWS_AS(plugin::session_from_bytes(std::span(bytes).first(length)), Error);
  for (size_t i = 0; i < bytes.size(); ++i) {
    bytes[i] ^= std::byte{0x10};
    CHECK_THROWS_AS(plugin::session_from_bytes(bytes), Error);
    bytes[i] ^= std::byte{0x10};
  }
}

TEST_CASE("a session of a newer version says so") {
  std::vector<std::byte> bytes = plugin::to_bytes(test::overdrive_session());
  const uint32_t newer = 2;
  std::memcpy(bytes.data() + 4, &newer, sizeof newer);
  try {
    plugin::session_from_bytes(bytes);
    FAIL("was read");
  } catch (const Error& error) {
    CHECK_THAT(error.what(), Catch::Contains("newer Coil"));
  }
}

TEST_CASE("a model is found in the session, at its path, where it moved to, or not at all") {
  const test::TempDir dir;
  plugin::ModelLibrary library(folders(dir));
  const std::string hash = test::overdrive_session().slots[0].hash;

  SECTION("in the session, no file at all") {
    Session session = saved_and_opened(test::overdrive_session());
    plugin::resolve(session.slots[0], library);
    CHECK(session.slots[0].missing == "");
    REQUIRE(session.slots[0].loaded);
    CHECK(session.slots[0].loaded->model->hash() == hash);
  }
  SECTION("at its path") {
    Session session = saved_and_opened(test::overdrive_session({}, false));
    plugin::resolve(session.slots[0], library);
    CHECK(session.slots[0].missing == "");
    REQUIRE(session.slots[0].loaded);
    CHECK(session.slots[0].file_bytes);  // will be embedded when it is saved again
  }
  SECTION("moved into a folder of the library, its old path now another model") {
    Session session = test::overdrive_session({}, false);
    session.slots[0].path = (dir / "old.safetensors").string();
    test::random_coil_network(1).write(dir / "old.safetensors");
    std::filesystem::create_directories(dir / "user" / "pedals");
    std::filesystem::copy_file(test::overdrive_path(), dir / "user" / "pedals" / "renamed.safetensors");
    session = saved_and_opened(session);
    plugin::resolve(session.slots[0], library);
    CHECK(session.slots[0].missing == "");
    REQUIRE(session.slots[0].loaded);
    CHECK(session.slots[0].loaded->model->hash() == hash);
    CHECK(session.slots[0].path == (dir / "user" / "pedals" / "renamed.safetensors").string());
  }
  SECTION("nowhere: the message names it, and nothing of it is forgotten") {
    Session session = test::overdrive_session({{"drive", 2}}, false);
    session.slots[0].path = "/nowhere/green.safetensors";
    session = saved_and_opened(session);
    plugin::resolve(session.slots[0], library);
    CHECK_THAT(session.slots[0].missing, Catch::Contains("Green Overdrive") &&
                                             Catch::Contains("/nowhere/green.safetensors") &&
                                             Catch::Contains("missing"));
    CHECK_FALSE(session.slots[0].loaded);
    const Session again = saved_and_opened(session);
    CHECK(again.slots[0].hash == hash);
    CHECK(again.slots[0].path == "/nowhere/green.safetensors");
    CHECK(again.slots[0].controls.at("drive") == 2);
  }
  SECTION("embedded bytes that are no model are kept, and said") {
    Session session = test::overdrive_session();
    session.slots[0].file_bytes = std::make_shared<const std::vector<std::byte>>(100, std::byte{1});
    session = saved_and_opened(session);
    plugin::resolve(session.slots[0], library);
    CHECK_THAT(session.slots[0].missing, Catch::Contains("Green Overdrive"));
    CHECK_FALSE(session.slots[0].loaded);
    CHECK(saved_and_opened(session).slots[0].file_bytes->size() == 100);
  }
}

TEST_CASE("controls are matched by name: unknown ones are ignored, missing ones have their defaults") {
  const Session session = test::overdrive_session();
  plugin::SlotContent slot = session.slots[0];
  slot.controls = {{"tone", 8}, {"level", 1000}, {"presence", 3}};
  CHECK(plugin::control_values(slot) == std::vector<float>{5, 8, 12});
}

}  // namespace
