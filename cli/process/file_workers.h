// Processes a list of files on several threads: retries, resuming, reports, the summary.
#pragma once

#include <string>
#include <vector>

#include "cli/execution.h"
#include "cli/process/file_list.h"
#include "cli/process/process_file.h"

namespace coil::cli {

struct WorkOptions {
  int retries = 0;      // how often a failed file is retried
  bool resume = false;  // skip files that are already done
  bool quiet = false;   // errors only
  std::string report;   // as ReportFile
};

// Files are independent; `execution` determines how many run at the same time. Returns the number of failed files. The
// summary includes what the list leaves out. Throws Interrupted, and Failure for the report. [main-thread]
int process_files(const FileList& list, const ProcessSettings& settings, const Execution& execution,
                  const WorkOptions& options, Progress& progress);

}  // namespace coil::cli
