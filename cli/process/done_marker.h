// The mark beside an output that says it is done, and from what: ".NAME.done", for --resume.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "cli/process/process_file.h"

namespace coil::cli {

// 32 hex digits over all that the output's sound and form follow from: the input's bytes, the model, and the settings.
// Not over what runs it: device, jobs, blocks. Throws Failure when the input cannot be read, and Interrupted. [any
// thread]
std::string work_key(const FileJob& job, const ProcessSettings& settings);

// The absolute path of a file without the links that lead to its folder; a link that the file itself is stays.
std::filesystem::path own_path(const std::filesystem::path& file);

class DoneMarker {
 public:
  explicit DoneMarker(const std::filesystem::path& output);

  // The report of the run that made the output; none unless that run had this key and the output lies there as it left
  // it. [any thread]
  std::optional<nlohmann::json> report_of(const std::string& key) const;

  // The own_path() of what the output was made from; none unless it lies there as the run that marked it left it. [any
  // thread]
  std::optional<std::filesystem::path> source() const;

  // The output, made from `source`, is complete. It is on the disk before its mark is; the mark is there whole or not
  // at all. Throws Failure. [any thread]
  void write(const std::string& key, const std::filesystem::path& source, const nlohmann::json& report) const;

 private:
  nlohmann::json read() const;  // null unless it is a mark, and the output's

  std::filesystem::path output_, path_;
};

// Notes on the output, where its file system keeps extended attributes, from what it was made. [any thread]
void note_source(const std::filesystem::path& output, const std::filesystem::path& source);

// From what an earlier run made the file as it is now, by its mark or its note; none: nobody says. [any thread]
std::optional<std::filesystem::path> source_of_output(const std::filesystem::path& output);

// Removes what killed runs have left of these jobs' outputs and marks; what a living process writes stays.
// [main-thread]
void remove_stale_parts(const std::vector<FileJob>& jobs);

}  // namespace coil::cli
