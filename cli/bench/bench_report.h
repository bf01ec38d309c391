// The common parts of all forms of `coil bench`: machine, date and command, and Markdown tables.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

namespace coil::cli {

struct BenchRun {
  std::string cpu, date, command;
  int cores = 0;
};

BenchRun this_run(const std::string& command);

nlohmann::ordered_json to_json(const BenchRun& run);
void print_json(const nlohmann::ordered_json& json);
void print_text(const BenchRun& run);

// A Markdown table that prints each row at once, so column widths are fixed: `first_width` for the first, for the
// others the title's width, at least 6.
class BenchTable {
 public:
  explicit BenchTable(const std::vector<std::string>& titles, size_t first_width = 6);
  void row(const std::vector<std::string>& cells) const;

 private:
  std::vector<size_t> widths_;
};

}  // namespace coil::cli
