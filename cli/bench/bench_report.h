// What both forms of `coil bench` say alike: the machine, the day and the command, and tables that can go into a
// README.
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

// A table in Markdown that prints each row at once, so the columns have their widths before: the first one
// `first_width`, the others 6 or as their titles.
class BenchTable {
 public:
  explicit BenchTable(const std::vector<std::string>& titles, size_t first_width = 6);
  void row(const std::vector<std::string>& cells) const;

 private:
  std::vector<size_t> widths_;
};

}  // namespace coil::cli
