// Invariants for any stream of bytes that is read as records, however damaged. Shared by the fuzzers and a test.
#pragma once

#include <algorithm>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "sensor/formats/added_names.h"
#include "sensor/formats/line_cutter.h"
#include "sensor/formats/record_cutter.h"
#include "sensor/formats/schema.h"

namespace coil::test {

inline void require(bool holds, const std::string& what) {
  if (!holds) throw std::logic_error(what);
}

struct CutStream {
  std::vector<std::string> texts;  // the records' texts; malformed ones start with '!'
  std::string lines;               // the input's lines that are records, concatenated
  std::string refusal;             // why the head cannot be understood
};

// The lines of a header whose quoted cells contain line ends; they are skipped where the header is repeated.
inline std::vector<std::string> lines_of_long_header(const sensor::RecordCutter& records,
                                                     const sensor::Format& format) {
  std::vector<std::string> lines;
  for (const std::string& head : records.head_lines()) {
    if (head.find('\n') == std::string::npos || !format.is_no_record(head)) continue;
    for (size_t at = 0, end = 0; end != std::string::npos; at = end + 1) {
      end = head.find('\n', at);
      lines.push_back(head.substr(at, end - at));
    }
  }
  return lines;
}

// Runs both cutters, with `step` bytes per call, then one more, and so on. `see` is called for each record; if it is
// empty, lines are not collected either.
inline CutStream cut_stream(std::string_view bytes, const std::string& format, size_t step,
                            const sensor::Schema& schema,
                            const std::function<void(sensor::Format&, const sensor::Message&)>& see = {}) {
  CutStream stream;
  sensor::LineCutter lines;
  sensor::RecordCutter records(format, [&](std::string_view name) { return schema.knows(name); });
  std::vector<sensor::Cut> cuts;
  int64_t end_byte = 0, number = 0;
  const auto take = [&] {
    for (const sensor::Cut& cut : cuts) {
      stream.texts.push_back((cut.error.empty() ? "" : "!") + cut.message->text);
      if (see && cut.error.empty()) see(*records.format(), *cut.message);
    }
    cuts.clear();
    records.release();
  };
  std::vector<std::string> texts;
  const auto read = [&](bool at_end) {
    for (sensor::Line line; lines.next(line, at_end);) {
      require(line.end_byte > end_byte && line.end_byte <= int64_t(bytes.size()), "a line ends where it cannot");
      end_byte = line.end_byte;
      sensor::Message message{{}, std::move(line.text), -1, ++number};
      if (line.is_too_long) message.trouble = "too long";
      records.add(message, cuts);
      take();
      if (see) texts.push_back(std::move(message.text));
    }
  };
  try {
    for (std::string_view left = bytes; !left.empty(); ++step) {
      const size_t count = std::min(left.size(), step);
      lines.add(left.substr(0, count));
      read(false);
      left.remove_prefix(count);
    }
    read(true);
    records.finish(cuts);
    take();
  } catch (const Error& error) {
    stream.refusal = error.what();
    return stream;
  }
  require(end_byte == int64_t(bytes.size()) || bytes.size() - size_t(end_byte) <= 3,
          "bytes at the end belong to no line");
  if (!records.format()) return stream;
  const std::vector<std::string> header = lines_of_long_header(records, *records.format());
  for (const std::string& text : texts) {
    for (std::string_view left = text; !left.empty();) {  // if CR ends lines, they may contain LF
      const std::string_view line = left.substr(0, left.find('\n'));
      const bool is_of_header = std::find(header.begin(), header.end(), line) != header.end();
      if (!is_of_header && !records.format()->is_no_record(line)) stream.lines += line;
      left.remove_prefix(std::min(left.size(), line.size() + 1));
    }
  }
  return stream;
}

inline std::string without_separators(std::string text) {
  std::erase_if(text, [](char c) { return std::string_view(" \t\r\n,[]\x1e").find(c) != std::string_view::npos; });
  return text;
}

// Everything that was read must be readable again from the written form.
inline void check_record(sensor::Format& format, const sensor::Message& message, const sensor::Schema& schema,
                         bool& has_header, std::string& head) {
  sensor::Record record, again;
  const std::string error = format.parse(message.text, record);
  if (!error.empty()) return;
  sensor::Selection selection;
  std::string what;
  schema.select(record, "", selection, what);
  const sensor::AddedNames names(sensor::AddedNames().clashes(record, ""));
  const sensor::Added added{names.of("score"), sensor::Field::Kind::number, 0.5, {}};
  if (!has_header) head = format.header(record, {&added, 1}).value_or("");
  has_header = true;
  std::string text;
  format.write(record, {&added, 1}, true, text);
  const bool is_csv = std::string_view(format.name()) == "csv";
  const std::string wrong = format.parse(text, again);
  if (is_csv) {  // the cell after the header's cells is the added one
    require(wrong.find(" cells, the header has ") != std::string::npos, "CSV: a cell too many is not noticed: " + text);
  } else {
    require(wrong.empty(), "what was written cannot be read: " + text + ": " + wrong);
    require(again.fields.size() == record.fields.size() + 1, "fields were lost: " + text);
    for (size_t i = 0; i < record.fields.size(); ++i) {
      require(record.fields[i].name == again.fields[i].name && record.fields[i].kind == again.fields[i].kind,
              "a field is another one: " + text);
    }
    require(again.time_ns == record.time_ns, "the time is another one: " + text);
  }
  if (!sensor::find_repeated_name(record).empty()) return;
  const auto ndjson = sensor::make_format("ndjson");
  std::string converted;
  ndjson->write(record, {}, false, converted);
  const bool keeps_names = record.measurement.empty() && !record.time_ns;
  require(!keeps_names || ndjson->parse(converted, again).empty(), "the record as NDJSON cannot be read: " + converted);
}

inline void check_stream(std::string_view bytes, const std::string& format) {
  const sensor::Schema schema({});
  bool has_header = false;
  std::string head;
  const CutStream whole =
      cut_stream(bytes, format, bytes.size() + 1, schema, [&](sensor::Format& used, const sensor::Message& message) {
        check_record(used, message, schema, has_header, head);
      });
  const CutStream pieces = cut_stream(bytes, format, 1 + bytes.size() % 7, schema);
  require(pieces.texts == whole.texts && pieces.refusal == whole.refusal, "records depend on how the bytes come");
  if (!whole.refusal.empty() || !has_header) return;
  std::string out = head;
  for (const std::string& text : whole.texts) out += text;
  const std::string came = without_separators(whole.lines), went = without_separators(out);
  size_t at = 0;
  for (const char c : went) at += at < came.size() && came[at] == c;
  require(at == came.size(), "not all that came is in a record: " + came.substr(at, 40));
}

}  // namespace coil::test
