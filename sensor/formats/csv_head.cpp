// Tries each separator, and chooses the one under which the first row of data has the most data cells and a row of
// names above it.
#include "sensor/formats/csv_head.h"

#include <algorithm>
#include <set>
#include <unordered_set>

#include "base/error.h"
#include "sensor/formats/number.h"
#include "sensor/formats/timestamp.h"

namespace coil::sensor {
namespace {

constexpr std::string_view kSeparators = ",;\t|";
constexpr size_t kMostLines = 100;  // of a head, at most
constexpr size_t kLinesUntilSure = 12;
constexpr size_t kShownText = 60;

using Cells = std::vector<std::string>;

Cells cells_of(std::string_view line, char separator) {
  Cells cells;
  std::string scratch;
  const std::string error = split_csv(line, separator, scratch,
                                      [&](std::string_view text, bool, size_t) { cells.emplace_back(trimmed(text)); });
  return error.empty() ? cells : Cells();
}

// A header may be inside a comment.
std::string_view without_mark(std::string_view line) {
  if (!line.starts_with('#')) return line;
  return trimmed(
      line.substr(line.find_first_not_of("# ") == std::string_view::npos ? line.size() : line.find_first_not_of("# ")));
}

bool is_blank(std::string_view line) { return trimmed(line).empty(); }

std::optional<char> separator_said_by(std::string_view line) {
  const std::string_view text = trimmed(line);
  if (text.size() != 5 && text.size() != 4) return std::nullopt;
  if ((text[0] | 32) != 's' || (text[1] | 32) != 'e' || (text[2] | 32) != 'p' || text[3] != '=') return std::nullopt;
  if (text.size() == 5) return text[4] == '"' ? std::nullopt : std::optional(text[4]);
  return line.ends_with('\t') ? '\t' : ',';
}

bool has_digit(std::string_view cell) {
  return std::any_of(cell.begin(), cell.end(), [](char c) { return c >= '0' && c <= '9'; });
}

bool is_datum(std::string_view cell, bool comma_is_decimal) {
  if (!has_digit(cell) || stands_for_number(cell)) return false;
  return parse_written_number(cell, comma_is_decimal) || (cell.size() >= 10 && parse_timestamp(cell)) ||
         is_time_of_day(cell);
}

// Dates that need --time-format count as data too: only digits and date separators.
bool looks_like_date(std::string_view cell) {
  size_t digits = 0;
  for (const char c : cell) {
    if (c >= '0' && c <= '9')
      ++digits;
    else if (std::string_view("/.-: TZ").find(c) == std::string_view::npos)
      return false;
  }
  return digits >= 4 && digits + 2 <= cell.size();
}

size_t count_data(const Cells& cells, char separator) {
  return size_t(std::count_if(cells.begin(), cells.end(), [&](const std::string& cell) {
    return is_datum(cell, separator != ',') || looks_like_date(cell);
  }));
}

bool is_unit(std::string_view cell) {
  static const std::unordered_set<std::string_view> kUnits = {
      "",      "-",    "%",  "C",     "F",    "K",    "V",    "mV",   "A",    "mA",      "W",   "kW",  "MW",   "Wh",
      "kWh",   "MWh",  "Hz", "kHz",   "Pa",   "hPa",  "kPa",  "mbar", "bar",  "psi",     "m",   "mm",  "cm",   "km",
      "m/s",   "km/h", "kn", "mph",   "s",    "ms",   "min",  "h",    "d",    "g",       "kg",  "t",   "l",    "L",
      "l/s",   "l/h",  "m3", "m3/h",  "lx",   "lux",  "ppm",  "ppb",  "dB",   "dBm",     "rpm", "deg", "degC", "degF",
      "Deg C", "J",    "kJ", "N",     "Nm",   "Ohm",  "TS",   "RN",   "Avg",  "Smp",     "Min", "Max", "Tot",  "UTC",
      "VA",    "var",  "pH", "uS/cm", "mg/l", "g/m3", "W/m2", "mm/h", "date", "datetime"};
  if (kUnits.contains(cell)) return true;
  if (cell.size() > 16) return false;
  const bool in_brackets = (cell.front() == '[' && cell.back() == ']') || (cell.front() == '(' && cell.back() == ')');
  return in_brackets || cell.starts_with("\xc2\xb0") || cell.starts_with("\xc2\xb5") || cell.starts_with("\xce\xbc") ||
         cell.find('%') != std::string_view::npos || cell.starts_with("yyyy") || cell.starts_with("YYYY") ||
         cell.starts_with("dd") || cell.starts_with("hh:mm");
}

bool are_units(const Cells& cells) {
  return std::all_of(cells.begin(), cells.end(), is_unit) &&
         std::any_of(cells.begin(), cells.end(), [](const std::string& cell) { return !cell.empty(); });
}

bool has_empty(const Cells& cells) {
  return std::any_of(cells.begin(), cells.end(), [](const std::string& cell) { return cell.empty(); });
}

void complete_names(CsvHead& head) {
  std::set<std::string> names;
  for (const std::string& name : head.columns) {
    head.has_name.push_back(!name.empty());
    if (name.empty() || names.insert(name).second) continue;
    throw Error("CSV: two columns have the name '" + name + "'; every column needs its own name");
  }
  for (size_t i = 0; i < head.columns.size(); ++i) {
    if (head.has_name[i]) continue;
    head.columns[i] = "column_" + std::to_string(i + 1);
    while (!names.insert(head.columns[i]).second) head.columns[i] += '_';
  }
}

// Whether a number uses this character as its decimal mark.
bool has_decimal(std::span<const std::string> lines, char separator, char mark) {
  for (const std::string& line : lines) {
    for (const std::string& cell : cells_of(line, separator)) {
      const size_t at = cell.find(mark);
      if (at != std::string::npos && cell.find_first_of(",.", at + 1) == std::string::npos &&
          parse_written_number(cell, true))
        return true;
    }
  }
  return false;
}

CsvHead head_of(std::span<const std::string> lines, char separator, size_t header) {
  CsvHead head;
  head.separator = separator;
  head.before.assign(lines.begin(), lines.begin() + ptrdiff_t(header));
  head.header = lines[header];
  head.columns = cells_of(without_mark(head.header), head.separator);
  head.lines = header + 1;
  for (; head.lines < lines.size(); ++head.lines) {
    const Cells below = cells_of(without_mark(lines[head.lines]), head.separator);
    if (below.size() != head.columns.size() || count_data(below, head.separator) > 0 || !are_units(below)) break;
    head.units.push_back(lines[head.lines]);
  }
  head.decimal_comma = head.separator == ';' || has_decimal(lines.subspan(head.lines), head.separator, ',');
  if (head.separator == ',' || has_decimal(lines.subspan(head.lines), head.separator, '.')) head.decimal_comma = false;
  complete_names(head);
  return head;
}

}  // namespace

bool ends_in_quotes(std::string_view line, std::string_view separators, bool begins_in_quotes) {
  bool inside = begins_in_quotes;
  for (size_t at = line.find('"'); at != std::string_view::npos; at = line.find('"', at + 1)) {
    if (!inside)
      inside = at == 0 || separators.find(line[at - 1]) != std::string_view::npos;
    else if (at + 1 < line.size() && line[at + 1] == '"')
      ++at;
    else
      inside = false;
  }
  return inside;
}

// If the line does not contain the separator, it is one cell for every separator, and is parsed only once.
const CsvHeadFinder::Row& CsvHeadFinder::row(std::span<const std::string> lines, size_t place, char separator) {
  while (rows_.size() <= place) rows_.emplace_back();
  const std::string_view text = without_mark(lines[place]);
  const std::optional<char> key =
      text.find(separator) == std::string_view::npos ? std::nullopt : std::optional(separator);
  const auto [at, is_new] = rows_[place].try_emplace(key);
  Row& row = at->second;
  if (!is_new) return row;
  row.cells = cells_of(text, separator);
  row.data = count_data(row.cells, separator);
  row.has_known = std::any_of(row.cells.begin(), row.cells.end(), knows_);
  row.are_units = row.data == 0 && sensor::are_units(row.cells);
  row.has_empty = sensor::has_empty(row.cells);
  return row;
}

// The row of names for the row of data at `place`.
std::optional<size_t> CsvHeadFinder::header_above(std::span<const std::string> lines, size_t place, char separator) {
  const size_t width = row(lines, place, separator).cells.size();
  std::optional<size_t> header;
  for (size_t above = place; above-- > 0;) {
    const Row& names = row(lines, above, separator);
    if (names.cells.size() != width || (!names.has_known && names.data > 0) || is_blank(lines[above]) ||
        separator_said_by(lines[above]) || (width == 1 && lines[above].find_first_of(kSeparators) != std::string::npos))
      continue;
    if (names.has_known) header = above;
    if (names.has_known && !names.are_units) break;
    // Names come above units rather than below them, and none of them is empty.
    const Row* before = header ? &row(lines, *header, separator) : nullptr;
    const bool is_better =
        !before || (!before->has_known && (before->are_units || (before->has_empty && !names.has_empty)));
    if (is_better) header = above;
  }
  return header;
}

// The head under this separator: the header is among the rows above the first one with data. Rows before `first_new`
// were examined before.
std::optional<CsvHeadFinder::Found> CsvHeadFinder::find_under(std::span<const std::string> lines, size_t first_new,
                                                              char separator) {
  std::optional<Found> first;
  for (size_t i = first_new; i < lines.size(); ++i) {
    const Row& data = row(lines, i, separator);
    if (data.data == 0 || data.has_known || lines[i].starts_with('#')) continue;
    const std::optional<size_t> header = header_above(lines, i, separator);
    if (!header) continue;
    Found found{separator, *header, data.data};
    if (row(lines, *header, separator).has_known) return found;
    found.is_sure = data.cells.size() != 2 || count_data({data.cells.front()}, separator) > 0;
    if (!first) first = found;
  }
  return first;
}

std::optional<CsvHeadFinder::Found> CsvHeadFinder::find_best(std::span<const std::string> lines, bool at_end,
                                                             std::string_view separators) {
  const size_t first_new =
      at_end || lines.size() <= kLinesUntilSure || lines.size() >= kMostLines ? 0 : lines.size() - 1;
  std::optional<Found> best;
  for (const char separator : separators) {
    const std::optional<Found> found = find_under(lines, first_new, separator);
    if (found && (!best || found->data > best->data)) best = found;
  }
  return best;
}

// If no row of data has names above it, there are no names, or no such row has arrived yet. `first`: the first line of
// text.
std::optional<CsvHeadFinder::Found> CsvHeadFinder::find_names_alone(std::span<const std::string> lines, size_t first,
                                                                    std::string_view separators, bool is_last_chance) {
  const auto most_cells = [&](size_t place) {
    return *std::max_element(separators.begin(), separators.end(), [&](char a, char b) {
      return row(lines, place, a).cells.size() < row(lines, place, b).cells.size();
    });
  };
  const char separator = most_cells(first);
  const Row& names = row(lines, first, separator);
  const size_t data = names.has_known || lines[first].starts_with('#') ? 0 : names.data;
  if (data > 0 && (data == names.cells.size() || is_last_chance)) {
    throw Error("CSV: there is no header: the first line is '" + lines[first].substr(0, kShownText) +
                "'; wanted are the names of the columns, as time" + separator + "value");
  }
  if (!is_last_chance) return std::nullopt;
  for (size_t i = 0; i < lines.size(); ++i) {
    const char own = most_cells(i);
    if (row(lines, i, own).has_known) return Found{own, i, 1};
  }
  return Found{separator, first, 0};
}

std::optional<CsvHead> CsvHeadFinder::find(std::span<const std::string> lines, bool at_end) {
  std::string candidates(kSeparators);
  std::optional<size_t> first;  // line of text
  for (size_t i = 0; i < lines.size() && !first; ++i) {
    if (is_blank(lines[i])) continue;
    const std::optional<char> said = separator_said_by(lines[i]);
    if (!said)
      first = i;
    else if (candidates.find(*said) == std::string::npos)
      candidates += *said;
  }
  if (!first) return at_end ? std::optional(CsvHead()) : std::nullopt;
  // Only a line of data may complete a head.
  const bool has_data = std::any_of(candidates.begin(), candidates.end(), [&](char separator) {
    if (!lines.back().starts_with('#')) return row(lines, lines.size() - 1, separator).data > 0;
    return count_data(cells_of(lines.back(), separator), separator) > 0;
  });
  const bool is_last_chance = at_end || lines.size() >= kMostLines;
  if (!has_data && lines.size() > 1 && !is_last_chance) return std::nullopt;
  if (const std::optional<Found> best = find_best(lines, at_end, candidates)) {
    if (!best->is_sure && !at_end && lines.size() < kLinesUntilSure) return std::nullopt;
    return head_of(lines, best->separator, best->header);
  }
  const std::optional<Found> names = find_names_alone(lines, *first, candidates, is_last_chance);
  return names ? std::optional(head_of(lines, names->separator, names->header)) : std::nullopt;
}

}  // namespace coil::sensor
