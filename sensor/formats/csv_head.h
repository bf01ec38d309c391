// Determines the dialect of a CSV file from its first lines: separator, decimal mark, header, and the lines around it.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace coil::sensor {

struct CsvHead {
  char separator = ',';
  bool decimal_comma = false;        // added numbers use a decimal comma
  std::vector<std::string> columns;  // trimmed; columns without a name are called column_N
  std::vector<bool> has_name;        // per column
  std::vector<std::string> before;   // lines above the header: preamble, comments, sep=;
  std::string header;                // unchanged
  std::vector<std::string> units;    // lines below it, such as units
  size_t lines = 0;                  // the number of lines in the head
};

// Searches for the head again with each new line, and remembers the results for earlier lines. One thread at a time.
class CsvHeadFinder {
 public:
  // `knows`: whether an option names a column, or its name is usual for times.
  explicit CsvHeadFinder(std::function<bool(std::string_view)> knows) : knows_(std::move(knows)) {}

  // `lines`: those of the last call, and more. Nullopt if more lines are needed; never with `at_end`. Throws Error if
  // there is no header, or two columns have the same name.
  std::optional<CsvHead> find(std::span<const std::string> lines, bool at_end);

 private:
  // A line, split by one of the separators.
  struct Row {
    std::vector<std::string> cells;
    size_t data = 0;  // number of data cells
    bool has_known = false, are_units = false, has_empty = false;
  };
  struct Found {
    char separator = 0;
    size_t header = 0, data = 0;  // data: number of data cells in the first row of data
    bool is_sure = true;          // false: it may be a list of names and values above the table
  };

  const Row& row(std::span<const std::string> lines, size_t place, char separator);
  std::optional<size_t> header_above(std::span<const std::string> lines, size_t place, char separator);
  std::optional<Found> find_under(std::span<const std::string> lines, size_t first_new, char separator);
  std::optional<Found> find_best(std::span<const std::string> lines, bool at_end, std::string_view separators);
  std::optional<Found> find_names_alone(std::span<const std::string> lines, size_t first, std::string_view separators,
                                        bool is_last_chance);

  std::function<bool(std::string_view)> knows_;
  std::deque<std::map<std::optional<char>, Row>> rows_;  // per line and separator; key nullopt: separators that the
                                                         // line does not contain
};

// Calls cell(text, was_quoted, end in the line) for each cell. A quoted text is decoded into `scratch`, which is valid
// until the next call of cell. Returns what is wrong, or an empty string. [any thread]
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
      cell(std::string_view(scratch), true, at);
    } else {
      const size_t end = std::min(line.find(separator, at), line.size());
      cell(line.substr(at, end - at), false, end);
      at = end;
    }
    if (at >= line.size()) return {};
    ++at;
  }
}

// Whether the line ends inside a quoted cell. `separators`: characters after which a quote opens a cell. [any thread]
bool ends_in_quotes(std::string_view line, std::string_view separators, bool begins_in_quotes);

}  // namespace coil::sensor
