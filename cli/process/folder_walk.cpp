// A directory walk that visits each folder once.
#include "cli/process/folder_walk.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <set>
#include <utility>

#include "cli/sound/sound_format.h"
#include "cli/text.h"

namespace coil::cli {
namespace fs = std::filesystem;
namespace {

class Walk {
 public:
  Walk(const fs::path& folder, const fs::path& output) {
    struct stat in, out;
    const bool is_other = ::stat(folder.c_str(), &in) == 0 && ::stat(output.c_str(), &out) == 0 &&
                          (in.st_dev != out.st_dev || in.st_ino != out.st_ino);
    if (is_other) seen_.emplace(out.st_dev, out.st_ino);
    look_into(folder);
    result_.folders.push_back(folder);
    // Follow links last, so that a folder appears under its own name. Their targets may contain further links.
    while (!links_.empty()) {
      const fs::path link = links_.extract(links_.begin()).value();
      if (look_into(link)) result_.folders.push_back(link);
    }
    std::sort(result_.files.begin(), result_.files.end());
  }

  FolderFiles take() { return std::move(result_); }

 private:
  // Returns false if the folder was already visited, or cannot be read.
  bool look_into(const fs::path& folder) {
    struct stat found;
    if (::stat(folder.c_str(), &found) != 0) return miss(folder, std::strerror(errno));
    if (!seen_.emplace(found.st_dev, found.st_ino).second) return false;
    std::error_code error;
    std::vector<fs::path> subfolders;
    fs::directory_iterator entry(folder, error);
    for (; !error && entry != fs::directory_iterator(); entry.increment(error)) sort_in(*entry, subfolders);
    if (error) miss(folder, error.message());
    std::sort(subfolders.begin(), subfolders.end());
    for (const fs::path& subfolder : subfolders) look_into(subfolder);
    return true;
  }

  void sort_in(const fs::directory_entry& entry, std::vector<fs::path>& subfolders) {
    const fs::path& path = entry.path();
    if (path.filename().string().front() == '.') return;
    std::error_code error;
    const fs::file_status status = entry.status(error);
    if (fs::is_directory(status)) {
      if (entry.is_symlink(error))
        links_.insert(path);
      else
        subfolders.push_back(path);
    } else if (!is_sound_file_name(path)) {
      ++result_.other_endings;
    } else if (fs::exists(status) && !fs::is_regular_file(status) && status.type() != fs::file_type::unknown) {
      miss(path, "is a pipe or a device");
    } else {
      result_.files.push_back(path);
    }
  }

  bool miss(const fs::path& path, const std::string& reason) {
    result_.unreadable.push_back(in_quotes(path) + ": cannot be read: " + reason);
    return false;
  }

  FolderFiles result_;
  std::set<fs::path> links_;  // links still to be followed
  std::set<std::pair<dev_t, ino_t>> seen_;
};

}  // namespace

FolderFiles files_below(const fs::path& folder, const fs::path& output) { return Walk(folder, output).take(); }

}  // namespace coil::cli
