// Keeps the header of each file whose columns are not those of the first.
#include "sensor/formats/file_headers.h"

#include <algorithm>

namespace coil::sensor {
namespace {

// Columns that the first file does not have; empty: it has them all.
std::string missing_columns(const Format& first, const Format& format) {
  std::string names;
  for (const std::string& column : format.columns()) {
    if (std::find(first.columns().begin(), first.columns().end(), column) != first.columns().end()) continue;
    names += (names.empty() ? "'" : ", '") + column + "'";
  }
  return names;
}

}  // namespace

FileHeaders::Line FileHeaders::take(const Format& first, const Message& message, std::string& moved, std::string& what) {
  what.clear();
  const auto found = files_.find(message.file);
  if (found == files_.end()) return first.is_header(message.text) ? Line::kNone : Line::kAsItIs;
  File& file = found->second;
  if (!file.format) {
    // A file that was truncated goes on with rows if whoever writes it does not know.
    if (first.is_row(message.text)) {
      files_.erase(found);
      return Line::kAsItIs;
    }
    file.format = make_format(first.name());
  }
  if (!file.has_rows) {
    if (file.format->take_header(message.text)) return Line::kNone;
    file.has_rows = true;
    if (std::ranges::equal(file.format->columns(), first.columns())) {
      files_.erase(found);
      return Line::kAsItIs;
    }
    if (const std::string names = missing_columns(first, *file.format); !names.empty()) {
      what = "the header has columns that the one that came first has not: " + names + "; they are left out";
    }
  }
  Record record;
  if (std::string error = file.format->parse(message.text, record); !error.empty()) {
    what = std::move(error);
    return Line::kMalformed;
  }
  moved = first.row_of(record);
  return Line::kMoved;
}

}  // namespace coil::sensor
