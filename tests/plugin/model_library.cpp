// The library: what it lists, finds and shares.
#include "plugin/model_library.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <filesystem>
#include <thread>

#include "base/error.h"
#include "tests/plugin/sessions.h"
#include "tests/support/random_network.h"
#include "tests/support/temp_dir.h"

namespace {

using namespace coil;
namespace fs = std::filesystem;

juce::File file_at(const fs::path& path) { return juce::File(path.string()); }

// factory: Green Overdrive, a forecaster and a model of tokens, which are not for sound; factory/bass: a broken file;
// user: presets/mine.coil, two networks
struct Shelf {
  Shelf() {
    fs::create_directories(dir / "factory" / "bass");
    fs::create_directories(dir / "user" / "presets");
    fs::copy_file(test::overdrive_path(), dir / "factory" / "green.safetensors");
    fs::copy_file(fs::path(COIL_PRESETS_DIR) / "watch_small.safetensors", dir / "factory" / "watch_small.safetensors");
    fs::copy_file(fs::path(COIL_PRESETS_DIR) / "tasks" / "parity_mamba2.safetensors",
                  dir / "factory" / "parity.safetensors");
    juce::File(file_at(dir / "factory" / "bass" / "broken.safetensors")).replaceWithText("no model");
    juce::File(file_at(dir / "user" / "presets" / "mine.coil")).replaceWithText("no preset");
    for (const char* name : {"net 10", "net 9"}) {  // no card, so no name
      test::model_file(R"({"model_type": "s4d", "d_model": 1, "d_state": 1, "mode": "real"})", 1)
          .write(dir / "user" / (std::string(name) + ".safetensors"));
    }
    juce::File(file_at(dir / "user" / "notes.txt")).replaceWithText("not listed");
  }
  plugin::LibraryFolders folders() const {
    return {{file_at(dir / "none"), file_at(dir / "factory")},
            file_at(dir / "user"),
            file_at(dir / "settings" / "plugin.json")};
  }
  test::TempDir dir;
};

std::vector<std::string> names(const std::vector<plugin::LibraryEntry>& entries) {
  std::vector<std::string> names;
  for (const auto& entry : entries) names.push_back((entry.folder + "/" + entry.name).toStdString());
  return names;
}

TEST_CASE("the library lists models by their card's name and presets by their file's, with folders, factory first") {
  const Shelf shelf;
  plugin::ModelLibrary library(shelf.folders());
  CHECK(names(library.entries()) ==
        std::vector<std::string>{"/Green Overdrive", "bass/broken", "/net 9", "/net 10", "presets/mine"});
  CHECK(library.entries()[0].factory);
  CHECK_FALSE(library.entries()[2].factory);
  CHECK(library.entries()[4].is_preset);
  CHECK(names(library.search("GREEN")) == std::vector<std::string>{"/Green Overdrive"});
  CHECK(names(library.search("br bass")) == std::vector<std::string>{"bass/broken"});
  CHECK(library.search("").size() == 5);
  CHECK(library.search("nothing like it").empty());
}

TEST_CASE("cabinets are listed from the folder of each place, by name, and the first place wins") {
  const Shelf shelf;
  const auto put = [&](const char* path) {
    fs::create_directories(fs::path(shelf.dir / path).parent_path());
    REQUIRE(file_at(shelf.dir / path).replaceWithText("only its name counts"));
  };
  for (const char* path :
       {"factory/cabinets/open_1x12.wav", "factory/cabinets/closed_4x12.flac", "factory/cabinets/README.md",
        "later/cabinets/open_1x12.wav", "later/cabinets/later_2x12.wav", "user/cabinets/mine.aiff",
        "user/cabinets/closed_4x12.wav", "factory/not_a_cabinet.wav"})
    put(path);
  plugin::LibraryFolders folders = shelf.folders();
  folders.factory.push_back(file_at(shelf.dir / "later"));
  const plugin::ModelLibrary library(folders);
  std::vector<std::string> found;
  for (const auto& entry : library.cabinets())
    found.push_back(entry.file.getRelativePathFrom(file_at(shelf.dir.path())).toStdString() +
                    (entry.factory ? "" : " (user)"));
  CHECK(found == std::vector<std::string>{"factory/cabinets/closed_4x12.flac", "later/cabinets/later_2x12.wav",
                                          "factory/cabinets/open_1x12.wav", "user/cabinets/mine.aiff (user)"});
  CHECK(library.find_cabinet("mine") == file_at(shelf.dir / "user/cabinets/mine.aiff"));
  CHECK_FALSE(library.find_cabinet("not_a_cabinet"));
}

TEST_CASE("the search lists cabinets after models and presets, and knows the pack of each file") {
  const Shelf shelf;
  const auto put = [&](const char* path) {
    fs::create_directories(fs::path(shelf.dir / path).parent_path());
    REQUIRE(file_at(shelf.dir / path).replaceWithText("only its name counts"));
  };
  for (const char* path : {"factory/cabinets/open_1x12.wav", "user/packs/Stage/rooms/hall.wav",
                           "user/packs/.coming.part/late.wav", "user/packs/Garage/LICENCE"})
    put(path);
  plugin::ModelLibrary library(shelf.folders());
  const size_t entries = library.entries().size();
  const auto all = library.everything();
  REQUIRE(all.size() == entries + 2);
  CHECK(all[entries].name == "open_1x12");
  CHECK(all[entries].is_cabinet);
  CHECK(names(library.search("cabinet")) == std::vector<std::string>{"/open_1x12", "packs/Stage/hall"});
  CHECK(names(library.search("stage hall")) == std::vector<std::string>{"packs/Stage/hall"});
  REQUIRE(library.packs().size() == 2);
  CHECK(library.packs()[0].getFileName() == "Garage");
  CHECK(library.pack_of(library.search("hall")[0].file) == library.packs()[1]);
  CHECK_FALSE(library.pack_of(all[entries].file));
  put("user/cabinets/new.wav");
  library.rescan();
  CHECK(library.everything().size() == entries + 3);
}

TEST_CASE("the cabinets that come with Coil are found") {
  const plugin::ModelLibrary library;
  const auto cabinets = library.cabinets();
  CHECK(std::count_if(cabinets.begin(), cabinets.end(), [](const auto& entry) { return entry.factory; }) == 12);
  CHECK(library.find_cabinet("british_4x12_edge"));
}

const plugin::LibraryEntry& entry_named(const std::vector<plugin::LibraryEntry>& entries, const char* name) {
  const auto found = std::find_if(entries.begin(), entries.end(), [&](const auto& each) { return each.name == name; });
  REQUIRE(found != entries.end());
  return *found;
}

TEST_CASE("cards and rigs say category and tags, and the search knows them") {
  const Shelf shelf;
  file_at(shelf.dir / "user" / "presets" / "night.coil")
      .replaceWithText(R"({"rig": 1, "name": "other", "category": "lead", "tags": ["solo", "Solo", 3, "wide"],
          "stages": [{"type": "model", "file": "green_overdrive", "controls": {"drive": 7}}],
          "embedded": {"models": {"00": "AAAA"}}})");
  auto network = test::model_file(R"({"model_type": "s4d", "d_model": 1, "d_state": 1, "mode": "real"})", 1);
  network.card_json = R"({"name": "Hush", "task": "denoiser"})";
  network.write(shelf.dir / "user" / "hush.safetensors");
  plugin::ModelLibrary library(shelf.folders());
  const auto entries = library.entries();
  const auto& green = entry_named(entries, "Green Overdrive");
  CHECK(green.category == "drive");
  CHECK(green.tags.contains("op-amp"));
  const auto& night = entry_named(entries, "night");
  CHECK(night.category == "lead");
  CHECK(night.tags == juce::StringArray("solo", "wide"));
  CHECK(entry_named(entries, "Hush").category == "denoiser");
  CHECK(entry_named(entries, "mine").category.isEmpty());
  CHECK(names(library.search("op-AMP")) == std::vector<std::string>{"/Green Overdrive"});
  CHECK(names(library.search("lead wide")) == std::vector<std::string>{"presets/night"});
}

TEST_CASE("favourites and the user's folders are kept, and do not disturb the recent files") {
  const Shelf shelf;
  fs::create_directories(shelf.dir / "mine" / "loud");
  fs::create_directories(shelf.dir / "mine" / "cabinets");
  fs::copy_file(test::overdrive_path(), shelf.dir / "mine" / "loud" / "green.safetensors");
  file_at(shelf.dir / "mine" / "cabinets" / "own.wav").replaceWithText("only its name counts");
  const juce::File mine = file_at(shelf.dir / "mine");
  juce::File first, second;
  {
    plugin::ModelLibrary library(shelf.folders());
    first = library.entries()[0].file, second = library.entries()[2].file;
    library.note_recent(first);
    library.set_favourite(second, true);
    library.set_favourite(first, true);
    library.set_favourite(second, false);
    library.add_folder(mine);
    library.add_folder(mine);  // once is enough
    CHECK_THROWS_WITH(library.add_folder(first), Catch::EndsWith(": is not a folder"));
    CHECK_THROWS_WITH(library.add_folder(juce::File("/")), Catch::Contains("too large"));
  }
  plugin::ModelLibrary library(shelf.folders());
  CHECK(library.recent() == std::vector<juce::File>{first});
  CHECK(library.favourites() == std::vector<juce::File>{first});
  CHECK(library.added_folders() == std::vector<juce::File>{mine});
  CHECK(names(library.entries()).back() == "mine/loud/Green Overdrive");
  CHECK_FALSE(library.entries().back().factory);
  CHECK(library.find_cabinet("own"));
  library.remove_folder(mine);
  CHECK(names(library.entries()).back() == "presets/mine");
  CHECK_FALSE(library.find_cabinet("own"));
  CHECK(fs::exists(shelf.dir / "mine" / "loud" / "green.safetensors"));
}

TEST_CASE("new files are listed after a rescan") {
  const Shelf shelf;
  plugin::ModelLibrary library(shelf.folders());
  REQUIRE(library.entries().size() == 5);
  fs::copy_file(test::overdrive_path(), shelf.dir / "user" / "copy.safetensors");
  CHECK(library.entries().size() == 5);
  library.rescan();
  CHECK(library.entries().size() == 6);
}

TEST_CASE("next and previous go around the ends") {
  const Shelf shelf;
  plugin::ModelLibrary library(shelf.folders());
  const auto all = library.entries();
  CHECK(library.neighbour(all[0].file, 1)->file == all[1].file);
  CHECK(library.neighbour(all[4].file, 1)->file == all[0].file);
  CHECK(library.neighbour(all[0].file, -1)->file == all[4].file);
  CHECK(library.neighbour(all[1].file, -7)->file == all[4].file);
  CHECK(library.neighbour(juce::File(), 1)->file == all[0].file);
  CHECK(library.neighbour(juce::File(), -1)->file == all[4].file);
  plugin::ModelLibrary empty(plugin::LibraryFolders{});
  CHECK_FALSE(empty.neighbour(juce::File(), 1));
}

TEST_CASE("the recent files are kept in the settings: newest first, each once, only those that exist") {
  const Shelf shelf;
  const auto all = plugin::ModelLibrary(shelf.folders()).entries();
  {
    plugin::ModelLibrary library(shelf.folders());
    CHECK(library.recent().empty());
    for (const int i : {0, 1, 2, 0}) library.note_recent(all[size_t(i)].file);
  }
  plugin::ModelLibrary library(shelf.folders());
  CHECK(library.recent() == std::vector<juce::File>{all[0].file, all[2].file, all[1].file});
  fs::remove(shelf.dir / "factory" / "bass" / "broken.safetensors");
  CHECK(library.recent() == std::vector<juce::File>{all[0].file, all[2].file});
  file_at(shelf.dir / "settings" / "plugin.json").replaceWithText("{\"recent\": 7");
  CHECK(library.recent().empty());
  for (int i = 0; i < 30; ++i) {
    const juce::File file = file_at(shelf.dir / ("file" + std::to_string(i)));
    file.create();
    library.note_recent(file);
  }
  CHECK(library.recent().size() == plugin::ModelLibrary::kMaxRecent);
}

TEST_CASE("a model is in memory once, from whatever file it is loaded, and only as long as it is held") {
  const Shelf shelf;
  plugin::ModelLibrary library(shelf.folders());
  const juce::File file = file_at(shelf.dir / "factory" / "green.safetensors");
  {
    std::vector<std::shared_ptr<const plugin::LoadedModel>> loaded(6);
    std::vector<std::thread> threads;
    for (size_t i = 0; i < 4; ++i) threads.emplace_back([&, i] { loaded[i] = library.load(file); });
    for (auto& thread : threads) thread.join();
    loaded[4] = library.load(file_at(test::overdrive_path()));
    loaded[5] = library.load(loaded[0]->file_bytes, "embedded");
    for (const auto& model : loaded) CHECK(model == loaded[0]);
    CHECK(library.loaded_count() == 1);
    CHECK(library.find_loaded(loaded[0]->model->hash()) == loaded[0]);
    CHECK(loaded[0]->name == "Green Overdrive");
  }
  CHECK(library.loaded_count() == 0);
}

TEST_CASE("equal weights under different cards are different models") {
  const Shelf shelf;
  plugin::ModelLibrary library(shelf.folders());
  auto network = test::model_file(R"({"model_type": "s4d", "d_model": 1, "d_state": 1, "mode": "real"})", 1);
  network.card_json = R"({"name": "one"})";
  network.write(shelf.dir / "one.safetensors");
  network.card_json = R"({"name": "other"})";
  network.write(shelf.dir / "other.safetensors");
  const auto one = library.load(file_at(shelf.dir / "one.safetensors")),
             other = library.load(file_at(shelf.dir / "other.safetensors"));
  CHECK(one->model->hash() == other->model->hash());
  CHECK(one->name == "one");
  CHECK(other->name == "other");
}

TEST_CASE("a file that is not a model is rejected with its name") {
  const Shelf shelf;
  plugin::ModelLibrary library(shelf.folders());
  for (const char* name : {"factory/bass/broken.safetensors", "gone.safetensors"}) {
    try {
      library.load(file_at(shelf.dir / name));
      FAIL("was loaded");
    } catch (const Error& error) {
      CHECK_THAT(error.what(), Catch::Contains(name));
    }
  }
}

}  // namespace
