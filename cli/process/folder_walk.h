// Finds the sound files below a folder, and counts what is left out.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace coil::cli {

struct FolderFiles {
  std::vector<std::filesystem::path> files;    // in order of their names
  std::vector<std::filesystem::path> folders;  // the folder itself, and the targets of links
  std::vector<std::string> unreadable;         // one sentence for each folder or file that cannot be read
  int other_endings = 0;                       // files without the extension of a sound file
};

// Skips hidden files and folders, and the folder `output`. Follows links to folders; each folder is visited once, under
// its own name if it has one here. A broken link is listed, so that it fails like any missing file.
FolderFiles files_below(const std::filesystem::path& folder, const std::filesystem::path& output);

}  // namespace coil::cli
