// The list of inputs and outputs: from the command line or a manifest, all of it or one shard.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "cli/process/process_file.h"
#include "cli/sound/sound_format.h"
#include "ssm/run/model.h"

namespace coil::cli {

struct FileList {
  std::vector<FileJob> files;
  // For the contents of folders:
  int other_endings = 0;                // files left out because of their extension
  int earlier_outputs = 0;              // files left out because an earlier run made them from files in these folders
  std::vector<std::string> unreadable;  // one sentence for each unreadable folder
};

// The inputs of the command line: files, folders with everything below, or "-". Outputs of earlier runs from these
// inputs, as recorded in marks and notes, are not inputs. Throws Failure for arrangements that cannot work.
// [main-thread]
FileList list_inputs(const std::vector<std::string>& inputs, const std::string& output, const FormatRequest& format,
                     const std::vector<float>& controls);

// The lines of a manifest; "-": standard input. A line is one JSON object: `input`, `output`, and optionally `set`, an
// object of controls that differ from `settings` ("drive=7", of the command line), and `quality` and `rate`, if they
// differ from `format`. Paths are relative to the current folder. Throws Failure that names the line. [main-thread]
// `model` null: there are no controls to set.
FileList list_manifest(const std::string& manifest, const FormatRequest& format, const ssm::Model* model,
                       const std::vector<std::string>& settings);

struct Shard {
  int index = 0, count = 1;
};

// "0/4". Throws Failure. [main-thread]
Shard parse_shard(const std::string& text);

// Every count-th job from the index-th on, in the order of the outputs' names. Together the shards contain each job
// once, and their sizes differ by at most one.
std::vector<FileJob> take_shard(std::vector<FileJob> jobs, Shard shard);

}  // namespace coil::cli
