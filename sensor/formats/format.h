// What a format can do: read a text as a record, write a result. Formats: NDJSON, CSV with header, InfluxDB line
// protocol.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "sensor/records/record.h"

namespace coil::sensor {

class Format {
 public:
  // What is open at the end of a line.
  struct Open {
    bool in_quotes = false;
    int depth = 0;  // of objects and arrays
  };

  virtual ~Format() = default;

  virtual const char* name() const = 0;  // "ndjson", "csv", "line"

  // How many of the first lines describe those that follow, as a CSV header does; nullopt: more lines are needed,
  // behind these, never with `at_end`. Throws Error when they cannot be understood. One thread.
  virtual std::optional<size_t> take_head(std::span<const std::string> /*lines*/, bool /*at_end*/) { return 0; }
  // Whether a record that lies on this line goes on in the next one. `open`: what was open before it, and is behind it.
  // [any thread]
  virtual bool goes_on(std::string_view line, Open& open) const = 0;
  // Whether a line that would belong to an open record is a whole record itself: then the open one will never end. [any
  // thread]
  virtual bool stands_alone(std::string_view line) const;
  // Of a format with columns, once its head is known: their names; whether the line is surely a row of them; whether
  // rows of another one mean the same here; and a record as a row, without what there is no column for. [any thread]
  virtual std::span<const std::string> columns() const { return {}; }
  virtual bool is_row(std::string_view /*line*/) const { return false; }
  virtual bool has_rows_of(const Format& /*other*/) const { return true; }
  virtual std::string row_of(const Record& /*record*/) const { return {}; }
  // Empty lines, comments and what else is no record and means nothing. [any thread]
  virtual bool is_no_record(std::string_view line) const;
  // Calls `found` for each record of a text that may hold several. [any thread]
  virtual void cut(std::string_view text, const std::function<void(std::string_view)>& found) const { found(text); }
  // A text that is a value alone, as simple devices send it, as a record; nullopt: it is something else. [any thread]
  virtual std::optional<std::string> record_of_value(std::string_view /*text*/) const { return std::nullopt; }

  // Empty: `record` holds the text's fields; else what is wrong with it. [any thread]
  virtual std::string parse(std::string_view text, Record& record) const = 0;

  // What comes before the first result, without the end of line; none: nothing does. `record`: the first that will be
  // written. One thread.
  virtual std::optional<std::string> header(const Record& /*record*/, std::span<const Added> /*added*/) {
    return std::nullopt;
  }
  // Appends one record, without its end. `as_it_came`: it was read by this format, and its text is kept to the byte.
  // [any thread]
  virtual void write(const Record& record, std::span<const Added> added, bool as_it_came, std::string& to) const = 0;

  // Of a format whose header says for ever what can be written: whether it has this added field, and the fields of a
  // record of another format that it has no place for. [any thread]
  virtual bool has_fixed_columns() const { return false; }
  virtual bool has_column(std::string_view /*added*/) const { return true; }
  virtual std::vector<const Field*> left_out(const Record& /*record*/) const { return {}; }
};

// A name that two fields of the record have, or an empty text; a tag and a field may share one. [any thread]
std::string_view find_repeated_name(const Record& record);

// `knows`: whether an option names a field, or it is called as times are: by this a header is told from other lines.
std::unique_ptr<Format> make_ndjson();
std::unique_ptr<Format> make_csv(std::function<bool(std::string_view)> knows);
std::unique_ptr<Format> make_line_protocol();

// By name: "ndjson", "csv", "line"; null: there is none.
std::unique_ptr<Format> make_format(
    std::string_view name, std::function<bool(std::string_view)> knows = [](std::string_view) { return false; });
// The one that this line alone is a record of, NDJSON or line protocol; null: neither. `text`: the line.
std::unique_ptr<Format> detect_format(std::string_view text);

}  // namespace coil::sensor
