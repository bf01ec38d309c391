// Part files: names, links, files that must not be replaced, and paths that are not files.
#include "base/part_file.h"

#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <fstream>
#include <iterator>
#include <set>

#include "tests/support/temp_dir.h"

namespace fs = std::filesystem;
using coil::PartFile;
using coil::test::TempDir;

namespace {

std::string content(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

void put(const fs::path& path, const std::string& text) { std::ofstream(path, std::ios::binary) << text; }

size_t files_in(const fs::path& folder) {
  return size_t(std::distance(fs::directory_iterator(folder), fs::directory_iterator()));
}

}  // namespace

TEST_CASE("names of every length up to the limit get part files and names beside them", "[part_file]") {
  const TempDir folder;
  for (const size_t length : {1u, 200u, 227u, 228u, 254u, 255u}) {
    const std::string name(length, 'x');
    {
      PartFile part(folder.path() / name);
      REQUIRE(part.write("whole"));
      CHECK(part.path().filename().string().size() <= 255);
      CHECK(PartFile::stem_in(part.path().filename().string()) == PartFile::stem_of(folder.path() / name));
      REQUIRE(part.commit());
    }
    CHECK(content(folder.path() / name) == "whole");
  }
  PartFile too_long(folder.path() / std::string(256, 'x'));
  CHECK_FALSE((too_long.is_open() && too_long.commit()));
  CHECK(too_long.error() == "File name too long");
}

TEST_CASE("name_beside is deterministic and differs between names", "[part_file]") {
  const fs::path folder = fs::temp_directory_path();
  CHECK(coil::name_beside(folder, "a.wav", ".", ".done") == ".a.wav.done");
  const std::string as(247, 'a');
  CHECK(coil::name_beside(folder, as + ".wa", ".", ".done") == "." + as.substr(0, 232) + "~4c4df0ac96b44231.done");
  std::set<std::string> names;
  for (char last = 'a'; last <= 'z'; ++last)
    names.insert(coil::name_beside(folder, std::string(254, 'a') + last, ".", ".done"));
  CHECK(names.size() == 26);
  // 83 letters of three bytes each: no character is cut in two.
  std::string letters;
  for (int i = 0; i < 83; ++i) letters += "\u266b";
  const std::string cut = coil::name_beside(folder, letters + ".wav", ".", ".done");
  CHECK(cut.size() <= 255);
  CHECK((cut.find('~') - 1) % 3 == 0);
}

TEST_CASE("writing to a link writes its target", "[part_file]") {
  const TempDir folder;
  fs::create_directory(folder.path() / "there");
  put(folder.path() / "there/old", "old");
  fs::create_symlink("there/old", folder.path() / "link");
  fs::create_symlink("link", folder.path() / "link to link");
  fs::create_symlink("there/new", folder.path() / "dangling");
  fs::create_symlink("circle", folder.path() / "circle");
  for (const auto& [link, target] : {std::pair("link to link", "there/old"), std::pair("dangling", "there/new")}) {
    PartFile part(folder.path() / link);
    REQUIRE(part.write("fresh"));
    REQUIRE(part.commit());
    CHECK(content(folder.path() / target) == "fresh");
    CHECK(fs::is_symlink(folder.path() / link));
  }
  CHECK(fs::is_symlink(folder.path() / "link"));
  PartFile circle(folder.path() / "circle");
  CHECK_FALSE(circle.is_open());
  CHECK(circle.error() == "Too many levels of symbolic links");
}

TEST_CASE("a read-only file stays, a private one stays private", "[part_file]") {
  const TempDir folder;
  put(folder.path() / "kept", "kept");
  ::chmod((folder.path() / "kept").c_str(), 0444);
  PartFile refused(folder.path() / "kept");
  CHECK_FALSE(refused.is_open());
  CHECK(refused.error() == "is read-only");
  CHECK_FALSE(refused.write("x"));
  CHECK_FALSE(refused.commit());
  CHECK(content(folder.path() / "kept") == "kept");

  put(folder.path() / "mine", "old");
  ::chmod((folder.path() / "mine").c_str(), 0600);
  PartFile part(folder.path() / "mine");
  REQUIRE((part.write("new") && part.commit()));
  CHECK(content(folder.path() / "mine") == "new");
  CHECK((fs::status(folder.path() / "mine").permissions() & fs::perms::all) ==
        (fs::perms::owner_read | fs::perms::owner_write));

  CHECK(PartFile(folder.path()).error() == "is a folder");
  CHECK(files_in(folder.path()) == 2);
}

TEST_CASE("pipes and devices get the bytes once the file is complete", "[part_file]") {
  CHECK(coil::takes_bytes("/dev/null"));
  CHECK_FALSE(coil::takes_bytes(fs::temp_directory_path()));
  PartFile nowhere("/dev/null");
  CHECK((nowhere.write("gone") && nowhere.commit()));
  PartFile full("/dev/full");
  CHECK(full.write("too much"));
  CHECK_FALSE(full.commit());
  CHECK(full.error() == "No space left on device");
  CHECK(fs::is_character_file("/dev/null"));
}
