// A table of recordings: a CSV file with the columns wet, dry and one for each knob. Semicolons and tabs will do, with
// decimal commas too; lines that begin with # are remarks.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "capture/knobs/settings.h"
#include "capture/model_file.h"

namespace coil::cli {

struct TableRow {
  std::filesystem::path wet, dry;  // relative ones are beside the table
  std::vector<double> positions;   // of the knobs, as the panel counts
};

struct TakeTable {
  std::vector<capture::Knob> knobs;  // ranges as recorded; columns that never change are no knobs
  std::vector<TableRow> rows;
  std::vector<std::string> remarks;  // what was left out or looks like a mistake, one sentence each

  std::vector<capture::Setting> settings() const;  // of each row, 0 to 1
};

// Throws Failure that names line and column. [main-thread]
TakeTable read_take_table(const std::filesystem::path& path);
// The same columns as `model`'s: positions in its ranges, in its order. [main-thread]
TakeTable read_test_table(const std::filesystem::path& path, const std::vector<capture::Knob>& knobs);

// "drive=0..10". Throws Failure. [main-thread]
capture::Knob parse_knob_range(const std::string& text);

// Such a table, to be filled by recording: settings in the units of the knobs. [main-thread]
std::string plan_as_csv(const std::vector<capture::Knob>& knobs, const std::vector<capture::Setting>& settings);

}  // namespace coil::cli
