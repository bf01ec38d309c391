// How a CSV file is written, found out from its first lines: what stands between cells, where the header is, what
// stands around it.
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace coil::sensor {

struct CsvHead {
  char separator = ',';
  bool decimal_comma = false;        // numbers that are added are written with one
  std::vector<std::string> columns;  // trimmed; those without a name are called column_N
  std::vector<bool> has_name;        // of each column
  std::vector<std::string> before;   // lines above the header: preamble, comments, sep=;
  std::string header;                // as it came
  std::vector<std::string> units;    // lines below it, as of units
  size_t lines = 0;                  // that belong to the head
};

// Nullopt: more lines are needed; never with `at_end`. `knows`: whether an option names a column, or it is called as
// times are. Throws Error when there is no header, or two columns have one name. [any thread]
std::optional<CsvHead> find_csv_head(std::span<const std::string> lines, bool at_end,
                                     const std::function<bool(std::string_view)>& knows);

// Calls cell(text, was_quoted) for each; a quoted text is decoded into `scratch`, which keeps it until the next call of
// cell. What is wrong, or an empty string. [any thread]
template <class Cell>
std::string split_csv(std::string_view line, char separator, std::string& scratch, Cell cell) {
  for (size_t at = 0;;) {
    if (at < line.size() && line[at] == '"') {
      scratch.clear();
      for (++at;; ++at) {
        if (at == line.size()) return "a quoted cell without an end";
        if (line[at] != '"')
          scratch += line[at];
        else if (at + 1 < line.size() && line[at + 1] == '"')
          scratch += line[at++];
        else
          break;
      }
      ++at;
      while (at < line.size() && line[at] == ' ' && separator != ' ') ++at;
      if (at < line.size() && line[at] != separator) return "text after a quoted cell";
      cell(std::string_view(scratch), true);
    } else {
      const size_t end = std::min(line.find(separator, at), line.size());
      cell(line.substr(at, end - at), false);
      at = end;
    }
    if (at >= line.size()) return {};
    ++at;
  }
}

// Whether the line ends inside of a quoted cell. `separators`: after which a quote begins one. [any thread]
bool ends_in_quotes(std::string_view line, std::string_view separators, bool begins_in_quotes);

}  // namespace coil::sensor
