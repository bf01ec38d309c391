// Compares files by the deepest existing folder of their paths and the remaining path.
#include "cli/process/output_names.h"

#include <locale.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <wchar.h>
#include <wctype.h>

#include <fstream>
#include <map>
#include <string_view>
#include <tuple>

#include "base/part_file.h"
#include "cli/failure.h"
#include "cli/text.h"

namespace coil::cli {
namespace fs = std::filesystem;
namespace {

struct Place {
  dev_t device = 0;
  ino_t inode = 0;
  fs::path folder;  // the deepest existing folder
  fs::path below;   // the path below it

  auto key() const { return std::tuple(device, inode, below.string()); }
};

// Lower case, for all scripts that have it.
std::wstring in_small_letters(const std::string& text) {
  static const locale_t utf8 = newlocale(LC_CTYPE_MASK, "C.UTF-8", nullptr);
  const locale_t before = utf8 != nullptr ? uselocale(utf8) : nullptr;
  std::wstring small;
  mbstate_t state = {};
  for (std::string_view rest = text; !rest.empty();) {
    wchar_t letter = 0;
    size_t bytes = mbrtowc(&letter, rest.data(), rest.size(), &state);
    if (bytes == 0 || bytes > rest.size()) {  // invalid UTF-8: copy byte by byte
      state = {};
      letter = static_cast<unsigned char>(rest.front());
      bytes = 1;
    }
    small += static_cast<wchar_t>(towlower(static_cast<wint_t>(letter)));
    rest.remove_prefix(bytes);
  }
  if (before != nullptr) uselocale(before);
  return small;
}

class Places {
 public:
  Place of(const fs::path& path) {
    const fs::path target = link_target(path);
    Place place = of_folder(target.has_parent_path() ? target.parent_path() : fs::path("."));
    place.below = (place.below / target.filename()).lexically_normal();
    return place;
  }

 private:
  const Place& of_folder(const fs::path& folder) {
    const auto known = known_.find(folder);
    if (known != known_.end()) return known->second;
    Place place;
    struct stat found;
    fs::path there = folder;
    while (::stat(there.c_str(), &found) != 0 && there.has_relative_path()) {
      place.below = place.below.empty() ? there.filename() : there.filename() / place.below;
      there = there.has_parent_path() ? there.parent_path() : fs::path(".");
      if (there == "." && ::stat(".", &found) != 0) break;
    }
    place.device = found.st_dev;
    place.inode = found.st_ino;
    place.folder = there;
    return known_.emplace(folder, place).first->second;
  }

  std::map<fs::path, Place> known_;
};

Failure replaces_input(const fs::path& out) {
  return Failure(kUsage, in_quotes(out) + ": the output would replace an input; choose another output");
}

struct Named {
  Place place;
  fs::path in, out;  // `out` is empty for an input
};

}  // namespace

bool is_same_file(const fs::path& folder, const fs::path& a, const fs::path& b) {
  auto first = a.begin(), second = b.begin();
  while (first != a.end() && second != b.end() && *first == *second) ++first, ++second;
  if (first == a.end() || second == b.end()) return false;
  std::string trial = (folder / ".coil-XXXXXX").string();
  if (::mkdtemp(trial.data()) == nullptr) return false;
  std::ofstream(fs::path(trial) / *first).put(' ');
  std::error_code error;
  const bool is_one = fs::exists(fs::path(trial) / *first, error) && fs::exists(fs::path(trial) / *second, error);
  fs::remove_all(trial, error);
  return is_one;
}

void check_output_names(const std::vector<std::pair<fs::path, fs::path>>& files, const SameFile& is_same) {
  Places places;
  std::map<std::tuple<dev_t, ino_t, std::wstring>, std::vector<Named>> by_name;  // in lower case
  const auto namesakes = [&](const Place& place) -> std::vector<Named>& {
    return by_name[{place.device, place.inode, in_small_letters(place.below.string())}];
  };
  for (const auto& [in, out] : files) {
    if (in == "-" || takes_bytes(in)) continue;
    const Place place = places.of(in);
    namesakes(place).push_back({place, in, {}});
  }
  for (const auto& [in, out] : files) {
    if (out == "-" || takes_bytes(out)) continue;
    const Place place = places.of(out);
    std::vector<Named>& others = namesakes(place);
    for (const Named& other : others) {
      const bool is_equal = other.place.key() == place.key();
      if (!is_equal && !is_same(place.folder, other.place.below, place.below)) continue;
      if (other.out.empty()) throw replaces_input(out);
      throw Failure(
          kUsage,
          in_quotes(other.in) + " and " + in_quotes(in) + " would both be written to " + in_quotes(out) +
              (is_equal ? "" : ", because the file system there does not tell capital and small letters apart") +
              "; process them into different folders");
    }
    others.push_back({place, in, out});
  }
}

}  // namespace coil::cli
