// The result for a file: as a line of JSON for programs, as warnings for people.
#pragma once

#include <cstdio>
#include <mutex>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "cli/process/process_file.h"
#include "cli/progress.h"

namespace coil::cli {

nlohmann::json done_line(const FileJob& job, const FileReport& report);
nlohmann::json failed_line(const FileJob& job, const std::string& error);

// What the user should know about a processed file, one line each.
std::vector<std::string> warnings(const FileJob& job, const FileReport& report, double gain_db);

// One JSON object per file and line, in the order of completion; each line is written when its file is finished.
class ReportFile {
 public:
  // "": none; "-": standard output. An older file is replaced. Throws Failure. [main-thread]
  explicit ReportFile(const std::string& path);
  ~ReportFile();

  // Throws Failure. [any thread]
  void write(const nlohmann::json& line, Progress& progress);

 private:
  const std::string path_;
  std::mutex mutex_;
  std::FILE* file_ = nullptr;
};

}  // namespace coil::cli
