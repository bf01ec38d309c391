// A table of recordings: a CSV file with the columns wet, dry and one per knob. Semicolons and tabs are allowed as
// separators, then also decimal commas. Lines that start with # are remarks.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "capture/knobs/settings.h"
#include "capture/model_file.h"

namespace coil::cli {

struct TableRow {
  std::filesystem::path wet, dry;  // relative paths start at the table's folder
  std::vector<double> positions;   // of the knobs, in the panel's units
};

struct TakeTable {
  std::vector<capture::Knob> knobs;  // ranges as recorded; constant columns are not knobs
  std::vector<TableRow> rows;
  std::vector<std::string> remarks;  // what was left out or looks like a mistake, one sentence each

  std::vector<capture::Setting> settings() const;  // one per row, 0 to 1
};

// Throws Failure that names line and column. [main-thread]
TakeTable read_take_table(const std::filesystem::path& path);
// Needs the same columns as `model`; positions are mapped to its ranges, in its order. [main-thread]
TakeTable read_test_table(const std::filesystem::path& path, const std::vector<capture::Knob>& knobs);

// "drive=0..10". Throws Failure. [main-thread]
capture::Knob parse_knob_range(const std::string& text);

// An empty table to fill by recording, with settings in the units of the knobs. [main-thread]
std::string plan_as_csv(const std::vector<capture::Knob>& knobs, const std::vector<capture::Setting>& settings);

}  // namespace coil::cli
