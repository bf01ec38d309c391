// Which file becomes which: from the command line or from a manifest, whole or one shard of it.
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
  // Of what lies below folders:
  int other_endings = 0;    // files left out, because they do not end like sound files
  int earlier_outputs = 0;  // files left out, because an earlier run made them from files below these folders
  std::vector<std::string> unreadable;  // a sentence for each folder that cannot be read
};

// The inputs of the command line: files, folders with all below them, or "-". What earlier runs made from these
// inputs are no inputs, as far as marks and notes say it. Throws Failure for arrangements that cannot be meant.
// [main-thread]
FileList list_inputs(const std::vector<std::string>& inputs, const std::string& output, const FormatRequest& format,
                     const std::vector<float>& controls);

// The lines of a manifest, "-": standard input. A line is one JSON object: `input`, `output`, and `set`, an object of
// controls that differ from `settings` ("drive=7", of the command line); `quality` and `rate` where they differ from
// `format`. Paths are relative to the current folder. Throws Failure that names the line. [main-thread]
// `model` null: there are no controls to set.
FileList list_manifest(const std::string& manifest, const FormatRequest& format, const ssm::Model* model,
                       const std::vector<std::string>& settings);

struct Shard {
  int index = 0, count = 1;
};

// "0/4". Throws Failure. [main-thread]
Shard parse_shard(const std::string& text);

// Of all jobs in the order of their outputs' names, every count-th from the index-th on: the shards of a list are
// disjoint, together they are the list, and their lengths differ by at most one.
std::vector<FileJob> take_shard(std::vector<FileJob> jobs, Shard shard);

}  // namespace coil::cli
