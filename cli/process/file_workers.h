// Works through a list of files on several threads: retries, what was done before, reports, the summary.
#pragma once

#include <string>
#include <vector>

#include "cli/execution.h"
#include "cli/process/file_list.h"
#include "cli/process/process_file.h"

namespace coil::cli {

struct WorkOptions {
  int retries = 0;      // how often a file that failed is tried again
  bool resume = false;  // files that are done already stay as they are
  bool quiet = false;   // errors only
  std::string report;   // as ReportFile
};

// Files are independent of each other; as many at the same time as `execution` says. Returns how many failed. The
// summary also says what the list leaves out. Throws Interrupted, and Failure for the report. [main-thread]
int process_files(const FileList& list, const ProcessSettings& settings, const Execution& execution,
                  const WorkOptions& options, Progress& progress);

}  // namespace coil::cli
