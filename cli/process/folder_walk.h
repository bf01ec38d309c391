// The sound files below a folder, and what was left out.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace coil::cli {

struct FolderFiles {
  std::vector<std::filesystem::path> files;    // in order of their names
  std::vector<std::filesystem::path> folders;  // the folder itself, and those that links lead to
  std::vector<std::string> unreadable;         // a sentence for each folder or file that cannot be read
  int other_endings = 0;                       // files that do not end like sound files
};

// Hidden files and folders are left out, and so is the folder `output`. Folders that links lead to belong to it; each
// folder is looked into once, under its own name where it has one here. A link that leads nowhere is listed, so that it
// fails like any file that is not there.
FolderFiles files_below(const std::filesystem::path& folder, const std::filesystem::path& output);

}  // namespace coil::cli
