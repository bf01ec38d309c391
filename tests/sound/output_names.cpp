// Outputs whose names differ only in case, on file systems that do and do not distinguish them.
#include "cli/process/output_names.h"

#include <catch2/catch.hpp>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "cli/failure.h"
#include "tests/support/temp_dir.h"

namespace fs = std::filesystem;
using coil::cli::check_output_names;
using coil::test::TempDir;

namespace {

using Files = std::vector<std::pair<fs::path, fs::path>>;

// The error message; empty: the names are accepted.
std::string refusal(const Files& files, bool ignores_case, int* questions = nullptr) {
  try {
    check_output_names(files, [&](const fs::path&, const fs::path&, const fs::path&) {
      if (questions != nullptr) ++*questions;
      return ignores_case;
    });
  } catch (const coil::cli::Failure& failure) {
    CHECK(failure.exit_code() == coil::cli::kUsage);
    return failure.what();
  }
  return {};
}

}  // namespace

TEST_CASE("outputs that are one file are refused", "[output_names]") {
  const TempDir folder;
  const fs::path in = folder / "in", out = folder / "out";
  for (const auto& [a, b] : {std::pair("A.wav", "a.wav"),
                             {"sub/a.wav", "SUB/a.wav"},
                             {"\u00c4.wav", "\u00e4.wav"},
                             {"\u0416.wav", "\u0436.wav"},
                             {"x/\u03a9/y.wav", "X/\u03c9/Y.wav"},
                             {"latin-\xff.wav", "LATIN-\xff.wav"}}) {
    const Files files = {{in / "1.wav", out / a}, {in / "2.wav", out / b}};
    int questions = 0;
    CHECK(refusal(files, false, &questions).empty());
    CHECK(questions == 1);
    const std::string message = refusal(files, true);
    CHECK(message.find("1.wav") != std::string::npos);
    CHECK(message.find("2.wav") != std::string::npos);
    CHECK(message.find("capital and small") != std::string::npos);
  }
  CHECK_FALSE(refusal({{in / "1.wav", out / "a.wav"}, {in / "2.wav", out / "sub/../a.wav"}}, false).empty());
  CHECK_FALSE(refusal({{in / "1.wav", out / "a.wav"}, {in / "2.wav", in / "1.wav"}}, false).empty());
  CHECK(refusal({{in / "1.wav", out / "a.wav"}, {in / "2.wav", in / "1.WAV"}}, true).find("replace an input") !=
        std::string::npos);
}

TEST_CASE("names that differ in more than case are never asked about", "[output_names]") {
  const TempDir folder;
  Files files;
  for (int i = 0; i < 1000; ++i)
    files.emplace_back(folder / "in" / std::to_string(i), folder / "out" / std::to_string(i));
  files.emplace_back("-", folder / "out/x");
  files.emplace_back(folder / "in/y", "-");
  for (int i = 0; i < 2; ++i) files.emplace_back(folder / "in/z", "/dev/null");
  int questions = 0;
  CHECK(refusal(files, true, &questions).empty());
  CHECK(questions == 0);
}

TEST_CASE("folders are compared by identity, not by name", "[output_names]") {
  const TempDir folder;
  for (const char* name : {"A", "a"})
    fs::create_directory(folder / name);  // two folders, each of which may ignore case
  fs::create_directory_symlink("a", folder / "link");
  const fs::path in = folder / "in.wav", other = folder / "other.wav";
  CHECK(refusal({{in, folder / "A/x.wav"}, {other, folder / "a/x.wav"}}, true).empty());
  CHECK_FALSE(refusal({{in, folder / "link/x.wav"}, {other, folder / "a/x.wav"}}, false).empty());
}

TEST_CASE("whether names are the same file is tested in the output folder, and nothing is left behind",
          "[output_names]") {
  const TempDir folder;
  const bool ignores_case = [&] {
    fs::create_directory(folder / "case");
    const bool is_one = fs::exists(folder / "CASE");
    fs::remove(folder / "case");
    return is_one;
  }();
  CHECK(coil::cli::is_same_file(folder.path(), "sub/A.wav", "sub/a.wav") == ignores_case);
  CHECK(coil::cli::is_same_file(folder.path(), "Sub/a.wav", "sub/a.wav") == ignores_case);
  CHECK_FALSE(coil::cli::is_same_file(folder.path(), "sub", "sub"));
  CHECK_FALSE(coil::cli::is_same_file(folder / "missing", "A", "a"));
  CHECK(fs::is_empty(folder.path()));
}
