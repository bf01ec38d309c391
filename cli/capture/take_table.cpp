// Reads and writes tables of recordings.
#include "cli/capture/take_table.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <optional>

#include "cli/failure.h"
#include "cli/text.h"

namespace coil::cli {
namespace {

using Cells = std::vector<std::string>;

// The separator, judged by the header: comma, or semicolon or tab, which spreadsheets use where the comma is the
// decimal mark.
char separator_of(const std::string& head) {
  char most = ',';
  for (const char c : {';', '\t'})
    if (std::count(head.begin(), head.end(), c) > std::count(head.begin(), head.end(), most)) most = c;
  return most;
}

// One line of CSV (RFC 4180): cells with separators are quoted, a quote inside is doubled. Nullopt if a quote is not
// closed.
std::optional<Cells> split(const std::string& line, char separator) {
  Cells cells(1);
  bool quoted = false;
  for (size_t i = 0; i < line.size(); ++i) {
    const char c = line[i];
    if (c == '"' && quoted && i + 1 < line.size() && line[i + 1] == '"')
      cells.back() += line[++i];
    else if (c == '"')
      quoted = !quoted;
    else if (c == separator && !quoted)
      cells.emplace_back();
    else if (c != '\r')
      cells.back() += c;
  }
  if (quoted) return std::nullopt;
  for (std::string& cell : cells) {
    cell.erase(0, std::min(cell.find_first_not_of(" \t"), cell.size()));
    cell.erase(cell.find_last_not_of(" \t") + 1);
  }
  return cells;
}

std::string lower_case(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return char(std::tolower(c)); });
  return text;
}

struct Sheet {
  std::filesystem::path path;
  Cells head;
  std::vector<Cells> rows;
  std::vector<size_t> lines;  // of the rows, for messages
  char separator = ',';
};

void check_head(const Sheet& sheet) {
  for (size_t i = 0; i < sheet.head.size(); ++i) {
    for (size_t k = 0; k < i; ++k) {
      if (sheet.head[i].empty() || sheet.head[i] != sheet.head[k]) continue;
      throw Failure(
          kFailed, in_quotes(sheet.path) + ": two columns are called '" + sheet.head[i] + "'; each needs its own name");
    }
  }
}

Sheet read_sheet(const std::filesystem::path& path) {
  std::ifstream file(path);
  if (!file) throw Failure(kFailed, in_quotes(path) + ": cannot be opened");
  Sheet sheet{path, {}, {}, {}, ','};
  size_t number = 0;
  for (std::string line; std::getline(file, line);) {
    ++number;
    if (number == 1 && line.starts_with("\xef\xbb\xbf")) line.erase(0, 3);
    const size_t first = line.find_first_not_of(" \t\r");
    if (first == std::string::npos || line[first] == '#') continue;
    if (sheet.head.empty()) sheet.separator = separator_of(line);
    std::optional<Cells> cells = split(line, sheet.separator);
    if (!cells)
      throw Failure(kFailed, in_quotes(path) + ": line " + std::to_string(number) + " has a quote that does not end");
    if (sheet.head.empty()) {
      sheet.head = std::move(*cells);
      check_head(sheet);
      continue;
    }
    if (cells->size() != sheet.head.size()) {
      throw Failure(kFailed, in_quotes(path) + ": line " + std::to_string(number) + " has " +
                                 counted(int64_t(cells->size()), "cell") + ", the head has " +
                                 std::to_string(sheet.head.size()));
    }
    sheet.rows.push_back(std::move(*cells));
    sheet.lines.push_back(number);
  }
  if (sheet.rows.empty())
    throw Failure(kFailed, in_quotes(path) + ": holds no recordings: a head such as wet,dry,drive and rows are needed");
  return sheet;
}

std::optional<size_t> column(const Sheet& sheet, const std::string& name) {
  for (size_t i = 0; i < sheet.head.size(); ++i)
    if (sheet.head[i] == name) return i;
  for (size_t i = 0; i < sheet.head.size(); ++i) {
    const std::string head = lower_case(sheet.head[i]);
    if (head == lower_case(name) || head == name + "_file" || head == name + " file") return i;
  }
  return std::nullopt;
}

size_t needed_column(const Sheet& sheet, const std::string& name) {
  if (const auto found = column(sheet, name)) return *found;
  std::string names;
  for (const std::string& cell : sheet.head) names += (names.empty() ? "" : ", ") + cell;
  throw Failure(kFailed, in_quotes(sheet.path) + ": has no column '" + name + "'; its columns are " + names);
}

// A name, quoted for CSV if necessary.
std::string quoted(const std::string& name) {
  if (name.find_first_of(",;\"\t") == std::string::npos) return name;
  std::string cell = "\"";
  for (const char c : name) cell += c == '"' ? std::string("\"\"") : std::string(1, c);
  return cell + "\"";
}

// A cell as a number; with a decimal comma if the separator is a semicolon or tab.
std::optional<double> parse_number(const Sheet& sheet, std::string cell) {
  if (sheet.separator != ',' && cell.find('.') == std::string::npos) std::replace(cell.begin(), cell.end(), ',', '.');
  const char *begin = cell.data() + cell.starts_with('+'), *end = cell.data() + cell.size();
  double value = 0;
  const auto [stop, error] = std::from_chars(begin, end, value);
  if (error != std::errc() || stop != end || !std::isfinite(value)) return std::nullopt;
  return value;
}

double number_in(const Sheet& sheet, size_t row, size_t column) {
  const std::string& cell = sheet.rows[row][column];
  if (const std::optional<double> value = parse_number(sheet, cell)) return *value;
  throw Failure(kFailed, in_quotes(sheet.path) + ": line " + std::to_string(sheet.lines[row]) + ", column '" +
                             sheet.head[column] + "': a knob's position must be a number, found '" + cell + "'");
}

// Whether the column is a remark or empty: no cell below the header is a number.
bool is_text(const Sheet& sheet, size_t column) {
  return std::none_of(sheet.rows.begin(), sheet.rows.end(),
                      [&](const Cells& row) { return parse_number(sheet, row[column]).has_value(); });
}

TableRow files_of(const Sheet& sheet, size_t row) {
  const auto path_in = [&](const char* name) {
    const std::string& cell = sheet.rows[row][needed_column(sheet, name)];
    if (cell.empty()) {
      throw Failure(kFailed, in_quotes(sheet.path) + ": line " + std::to_string(sheet.lines[row]) + " names no " +
                                 name + " file");
    }
    return sheet.path.parent_path() / cell;
  };
  return {path_in("wet"), path_in("dry"), {}};
}

// Checks all files before reading the first one, because a table may take minutes.
void check_files(const Sheet& sheet, const std::vector<TableRow>& rows) {
  std::string missing;
  for (size_t r = 0; r < rows.size(); ++r) {
    for (const std::filesystem::path& path : {rows[r].wet, rows[r].dry}) {
      std::error_code ignored;
      if (std::filesystem::exists(path, ignored)) continue;
      missing += (missing.empty() ? "" : ", ") + in_quotes(path) + " (line " + std::to_string(sheet.lines[r]) + ")";
    }
  }
  if (!missing.empty()) throw Failure(kFailed, in_quotes(sheet.path) + ": there is no file " + missing);
}

std::vector<std::string> repeated_files(const Sheet& sheet, const std::vector<TableRow>& rows) {
  std::vector<std::string> sentences;
  for (size_t r = 0; r < rows.size(); ++r) {
    for (size_t other = 0; other < r; ++other) {
      if (rows[r].wet != rows[other].wet) continue;
      const std::string lines =
          "lines " + std::to_string(sheet.lines[other]) + " and " + std::to_string(sheet.lines[r]);
      if (rows[r].positions != rows[other].positions) {
        throw Failure(kFailed, in_quotes(sheet.path) + ": " + lines + " have one wet file, " +
                                   in_quotes(rows[r].wet.filename()) + ", at two settings");
      }
      sentences.push_back(lines + " have the same wet file, " + in_quotes(rows[r].wet.filename()) +
                          "; it counts twice");
      break;
    }
  }
  return sentences;
}

}  // namespace

std::vector<capture::Setting> TakeTable::settings() const {
  std::vector<capture::Setting> all;
  for (const TableRow& row : rows) {
    all.emplace_back();
    for (size_t k = 0; k < knobs.size(); ++k) all.back().push_back(knobs[k].normalised(row.positions[k]));
  }
  return all;
}

TakeTable read_take_table(const std::filesystem::path& path) {
  const Sheet sheet = read_sheet(path);
  TakeTable table;
  for (size_t r = 0; r < sheet.rows.size(); ++r) table.rows.push_back(files_of(sheet, r));
  check_files(sheet, table.rows);
  std::optional<size_t> text_column;
  for (size_t c = 0; c < sheet.head.size(); ++c) {
    if (c == needed_column(sheet, "wet") || c == needed_column(sheet, "dry")) continue;
    if (is_text(sheet, c)) {
      if (sheet.head[c].empty()) continue;
      text_column = c;
      table.remarks.push_back("'" + sheet.head[c] + "' holds no numbers; it does not become a knob");
      continue;
    }
    if (sheet.head[c].empty())
      throw Failure(kFailed, in_quotes(path) + ": column " + std::to_string(c + 1) + " has numbers and no name");
    std::vector<double> positions;
    for (size_t r = 0; r < sheet.rows.size(); ++r) positions.push_back(number_in(sheet, r, c));
    const auto [least, most] = std::minmax_element(positions.begin(), positions.end());
    if (*least == *most) {
      table.remarks.push_back("'" + sheet.head[c] + "' is the same in all rows; it does not become a knob");
      continue;
    }
    table.knobs.push_back({sheet.head[c], *least, *most});
    for (size_t r = 0; r < sheet.rows.size(); ++r) table.rows[r].positions.push_back(positions[r]);
  }
  if (table.knobs.empty() && text_column)
    number_in(sheet, 0, *text_column);  // throws, because the column was probably
                                        // meant to be a knob
  for (std::string& sentence : repeated_files(sheet, table.rows)) table.remarks.push_back(std::move(sentence));
  return table;
}

TakeTable read_test_table(const std::filesystem::path& path, const std::vector<capture::Knob>& knobs) {
  const Sheet sheet = read_sheet(path);
  TakeTable table;
  table.knobs = knobs;
  for (size_t r = 0; r < sheet.rows.size(); ++r) {
    table.rows.push_back(files_of(sheet, r));
    for (const capture::Knob& knob : knobs)
      table.rows.back().positions.push_back(number_in(sheet, r, needed_column(sheet, knob.name)));
  }
  check_files(sheet, table.rows);
  return table;
}

capture::Knob parse_knob_range(const std::string& text) {
  const size_t equals = text.find('='), dots = text.find("..");
  capture::Knob knob{text.substr(0, equals), 0, 0};
  const auto read = [&](size_t begin, size_t end, double& value) {
    const auto [stop, error] = std::from_chars(text.data() + begin, text.data() + end, value);
    return error == std::errc() && stop == text.data() + end && std::isfinite(value);
  };
  if (equals == std::string::npos || equals == 0 || dots == std::string::npos || dots < equals ||
      !read(equals + 1, dots, knob.min) || !read(dots + 2, text.size(), knob.max) || !(knob.min < knob.max)) {
    throw Failure(kUsage, "--plan: '" + text + "' must be a knob and its range, as in drive=0..10");
  }
  return knob;
}

std::string plan_as_csv(const std::vector<capture::Knob>& knobs, const std::vector<capture::Setting>& settings) {
  std::string text = "wet,dry";
  for (const capture::Knob& knob : knobs) text += "," + quoted(knob.name);
  text += "\n";
  for (size_t i = 0; i < settings.size(); ++i) {
    char name[64];
    std::snprintf(name, sizeof name, "take_%02zu.wav,dry.wav", i + 1);
    text += name;
    for (size_t k = 0; k < knobs.size(); ++k)
      text += "," + number(knobs[k].min + settings[i][k] * (knobs[k].max - knobs[k].min), 4);
    text += "\n";
  }
  return text;
}

}  // namespace coil::cli
