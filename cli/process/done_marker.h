// The mark ".NAME.done" beside an output for --resume: it says that the output is complete, and what it was made from.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "cli/process/process_file.h"

namespace coil::cli {

// 32 hex digits over everything that determines the output: the input's bytes, the model, and the settings. Does not
// include device, jobs and block sizes. Throws Failure if the input cannot be read, and Interrupted. [any thread]
std::string work_key(const FileJob& job, const ProcessSettings& settings);

// The absolute path of a file, with links in its folder resolved. If the file itself is a link, it is kept.
std::filesystem::path own_path(const std::filesystem::path& file);

class DoneMarker {
 public:
  explicit DoneMarker(const std::filesystem::path& output);

  // The report of the run that made the output; nullopt unless that run had this key and the output is unchanged. [any
  // thread]
  std::optional<nlohmann::json> report_of(const std::string& key) const;

  // The own_path() of what the output was made from; nullopt unless the output is unchanged. [any thread]
  std::optional<std::filesystem::path> source() const;

  // Marks the output, made from `source`, as complete. Ensures that the output is on disk before its mark. The mark is
  // written whole or not at all. Throws Failure. [any thread]
  void write(const std::string& key, const std::filesystem::path& source, const nlohmann::json& report) const;

 private:
  nlohmann::json read() const;  // null unless it is a valid mark of this output

  std::filesystem::path output_, path_;
};

// Stores in an extended attribute of the output what it was made from, if the file system supports that. [any thread]
void note_source(const std::filesystem::path& output, const std::filesystem::path& source);

// What an earlier run made this unchanged file from, by its mark or its note; nullopt: unknown. [any thread]
std::optional<std::filesystem::path> source_of_output(const std::filesystem::path& output);

// Removes what killed runs have left of these jobs' outputs and marks, but not files that a running process writes.
// [main-thread]
void remove_stale_parts(const std::vector<FileJob>& jobs);

}  // namespace coil::cli
