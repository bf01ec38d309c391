// Reading and writing of tables of recordings.
#include "cli/capture/take_table.h"

#include <algorithm>
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

// One line of CSV: commas, quotes around cells that hold commas.
Cells split(const std::string& line) {
  Cells cells(1);
  bool quoted = false;
  for (const char c : line) {
    if (c == '"')
      quoted = !quoted;
    else if (c == ',' && !quoted)
      cells.emplace_back();
    else if (c != '\r')
      cells.back() += c;
  }
  for (std::string& cell : cells) {
    cell.erase(0, std::min(cell.find_first_not_of(" \t"), cell.size()));
    cell.erase(cell.find_last_not_of(" \t") + 1);
  }
  return cells;
}

struct Sheet {
  std::filesystem::path path;
  Cells head;
  std::vector<Cells> rows;
  std::vector<size_t> lines;  // of the rows, for messages
};

Sheet read_sheet(const std::filesystem::path& path) {
  std::ifstream file(path);
  if (!file) throw Failure(kFailed, in_quotes(path) + ": cannot be opened");
  Sheet sheet{path, {}, {}, {}};
  size_t number = 0;
  for (std::string line; std::getline(file, line);) {
    ++number;
    if (number == 1 && line.starts_with("\xef\xbb\xbf")) line.erase(0, 3);
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    Cells cells = split(line);
    if (sheet.head.empty()) {
      sheet.head = std::move(cells);
      continue;
    }
    if (cells.size() != sheet.head.size()) {
      throw Failure(kFailed, in_quotes(path) + ": line " + std::to_string(number) + " has " +
                                 counted(int64_t(cells.size()), "cell") + ", the head has " +
                                 std::to_string(sheet.head.size()));
    }
    sheet.rows.push_back(std::move(cells));
    sheet.lines.push_back(number);
  }
  if (sheet.rows.empty())
    throw Failure(kFailed, in_quotes(path) + ": holds no recordings: a head such as wet,dry,drive and rows are needed");
  return sheet;
}

std::optional<size_t> column(const Sheet& sheet, const std::string& name) {
  for (size_t i = 0; i < sheet.head.size(); ++i)
    if (sheet.head[i] == name || sheet.head[i] == name + "_file") return i;
  return std::nullopt;
}

size_t needed_column(const Sheet& sheet, const std::string& name) {
  if (const auto found = column(sheet, name)) return *found;
  std::string names;
  for (const std::string& cell : sheet.head) names += (names.empty() ? "" : ", ") + cell;
  throw Failure(kFailed, in_quotes(sheet.path) + ": has no column '" + name + "'; its columns are " + names);
}

double number_in(const Sheet& sheet, size_t row, size_t column) {
  const std::string& cell = sheet.rows[row][column];
  double value = 0;
  const auto [end, error] = std::from_chars(cell.data(), cell.data() + cell.size(), value);
  if (error != std::errc() || end != cell.data() + cell.size() || !std::isfinite(value)) {
    throw Failure(kFailed, in_quotes(sheet.path) + ": line " + std::to_string(sheet.lines[row]) + ", column '" +
                               sheet.head[column] + "': a knob's position must be a number, found '" + cell + "'");
  }
  return value;
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
  for (size_t c = 0; c < sheet.head.size(); ++c) {
    if (c == needed_column(sheet, "wet") || c == needed_column(sheet, "dry")) continue;
    std::vector<double> positions;
    for (size_t r = 0; r < sheet.rows.size(); ++r) positions.push_back(number_in(sheet, r, c));
    const auto [least, most] = std::minmax_element(positions.begin(), positions.end());
    if (*least == *most) {
      table.constant_columns.push_back(sheet.head[c]);
      continue;
    }
    table.knobs.push_back({sheet.head[c], *least, *most});
    for (size_t r = 0; r < sheet.rows.size(); ++r) table.rows[r].positions.push_back(positions[r]);
  }
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
  for (const capture::Knob& knob : knobs) text += "," + knob.name;
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
