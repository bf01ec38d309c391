// Searches folders; unreadable files and folders count as missing.
#include "sensor/links/file_search.h"

#include <dirent.h>
#include <fnmatch.h>
#include <glob.h>

#include <algorithm>
#include <filesystem>
#include <string_view>

namespace coil::sensor {
namespace {

constexpr std::string_view kCompressed[] = {".gz", ".xz", ".zst", ".bz2", ".lz4", ".zip", ".7z"};

std::string folder_of(const std::string& name) {
  const std::string folder = std::filesystem::path(name).parent_path().string();
  return folder.empty() ? "." : folder;
}

std::string within(const std::string& folder, const std::string& file) {
  return (std::filesystem::path(folder) / file).string();
}

// The entries of a folder for which `is_wanted` is true.
template <class Wanted>
std::vector<FoundFile> find_in_folder(const std::string& name, Wanted is_wanted) {
  std::vector<FoundFile> found;
  const std::string folder = folder_of(name);
  DIR* const entries = ::opendir(folder.c_str());
  if (!entries) return found;
  while (const dirent* entry = ::readdir(entries)) {
    if (!is_wanted(*entry)) continue;
    std::string path =
        folder == "." && name.find('/') == std::string::npos ? entry->d_name : within(folder, entry->d_name);
    if (std::optional<FoundFile> file = find_file(path)) found.push_back(std::move(*file));
  }
  ::closedir(entries);
  return found;
}

// ".1", "-20260131", ".2026-01-31T00:00:00": a separator, a digit, and then only characters of numbers and times.
bool is_rotation(std::string_view text) {
  if (text.size() < 2 || std::string_view(".-_").find(text[0]) == std::string_view::npos) return false;
  return text[1] >= '0' && text[1] <= '9' && text.find_first_not_of("0123456789-_.:T", 1) == std::string_view::npos;
}

bool is_rotated_file(std::string_view file, std::string_view of) {
  if (file.starts_with(of) && is_rotation(file.substr(of.size()))) return true;
  const size_t dot = of.rfind('.');
  if (dot == std::string_view::npos || dot == 0) return false;
  const std::string_view stem = of.substr(0, dot), ending = of.substr(dot);
  if (file.size() <= of.size() || !file.starts_with(stem) || !file.ends_with(ending)) return false;
  return is_rotation(file.substr(stem.size(), file.size() - of.size()));
}

}  // namespace

std::optional<FoundFile> find_file(const std::string& name) {
  struct stat found;
  if (::stat(name.c_str(), &found) != 0 || !S_ISREG(found.st_mode)) return std::nullopt;
  return FoundFile{name, identity_of(found), modified_ns(found), int64_t(found.st_size)};
}

bool is_group(const std::string& name) {
  std::error_code ignored;
  if (std::filesystem::is_directory(name, ignored)) return true;
  return name.find_first_of("*?[") != std::string::npos && !std::filesystem::exists(name, ignored);
}

bool is_compressed(const std::string& name) {
  return std::any_of(std::begin(kCompressed), std::end(kCompressed),
                     [&](std::string_view ending) { return name.ends_with(ending); });
}

std::vector<FoundFile> find_group(const std::string& name, size_t& compressed) {
  std::vector<FoundFile> files;
  const auto add = [&](const std::string& path) {
    if (std::filesystem::path(path).filename().string().starts_with('.')) return;
    std::optional<FoundFile> file = find_file(path);
    if (!file) return;
    if (is_compressed(path))
      ++compressed;
    else
      files.push_back(std::move(*file));
  };
  std::error_code error;
  if (std::filesystem::is_directory(name, error)) {
    using Walk = std::filesystem::recursive_directory_iterator;
    for (Walk at(name, std::filesystem::directory_options::skip_permission_denied, error); !error && at != Walk();
         at.increment(error)) {
      add(at->path().string());
    }
  } else {
    glob_t found = {};
    if (::glob(name.c_str(), GLOB_NOSORT, nullptr, &found) == 0) {
      for (size_t i = 0; i < found.gl_pathc; ++i) add(found.gl_pathv[i]);
    }
    ::globfree(&found);
  }
  return files;
}

bool is_in_group(const std::string& group, const std::string& name) {
  const std::string folder = within(group, "");
  return name.starts_with(folder) || ::fnmatch(group.c_str(), name.c_str(), FNM_PATHNAME) == 0;
}

std::optional<FoundFile> find_by_inode(const std::string& name, uint64_t inode) {
  const std::vector<FoundFile> found =
      find_in_folder(name, [&](const dirent& entry) { return uint64_t(entry.d_ino) == inode; });
  if (found.empty() || found.front().identity.inode != inode) return std::nullopt;
  return found.front();
}

bool is_rotated(const std::string& name, const std::string& of) {
  const std::filesystem::path path(name), of_path(of);
  return path.parent_path() == of_path.parent_path() &&
         is_rotated_file(path.filename().string(), of_path.filename().string());
}

namespace {

// `ending`: appended to the name of a rotated file.
std::vector<FoundFile> find_rotated_with(const std::string& name, std::string_view ending) {
  const std::string own = std::filesystem::path(name).filename().string();
  std::vector<FoundFile> found = find_in_folder(name, [&](const dirent& entry) {
    const std::string_view file(entry.d_name);
    return file.ends_with(ending) && is_rotated_file(file.substr(0, file.size() - ending.size()), own);
  });
  std::sort(found.begin(), found.end(),
            [](const FoundFile& a, const FoundFile& b) { return a.modified_ns < b.modified_ns; });
  return found;
}

}  // namespace

std::vector<FoundFile> find_rotated(const std::string& name) { return find_rotated_with(name, ""); }
std::vector<FoundFile> find_rotated_gzip(const std::string& name) { return find_rotated_with(name, ".gz"); }

}  // namespace coil::sensor
